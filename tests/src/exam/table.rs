//! The questions.

use super::{
    Check,
    Made::{AtLogout, InCluster, InGossip},
    Question,
};
use crate::{
    checker::Rule,
    gossip,
    history::Quorum,
    logout::Policy,
    sim::{Convergence, Fault, FaultKind, Plan, Planted, Weather, Workload},
};

const LOSS: Check = Check::Promise(Rule::NoLoss);
const RESURRECTION: Check = Check::Promise(Rule::NoResurrection);
const SESSIONS: Check = Check::Promise(Rule::Sessions);
const STALE: Check = Check::Promise(Rule::RegularRead);
const EXPIRY: Check = Check::Promise(Rule::Expiry);
const PHANTOM: Check = Check::Promise(Rule::NoPhantom);
const SIBLINGS: Check = Check::Promise(Rule::ExactSiblings);
const BESIDE: Check = Check::Promise(Rule::SiblingBound);
const CONVERGENCE: Check = Check::Promise(Rule::Convergence);
const TWO_VALUES: Check = Check::Always("one stamp names two values");
const NOT_HELD: Check = Check::Always("said that it holds");
const OLDER_NEWS: Check = Check::Always("declared down by older news");
const CAME_BACK: Check = Check::Always("came back after its logout");
const NOT_EQUAL: Check = Check::Always("the replicas did not become equal");

/// What a client may see of a write that is gone.
const GONE: &[Check] = &[NOT_HELD, LOSS, STALE, SESSIONS, EXPIRY];

/// What a client may see of a session that came back.
const BACK: &[Check] = &[RESURRECTION, SESSIONS, STALE];

fn usual(seed: u64) -> Plan {
    Plan::draw(seed, Workload::Mixed)
}

fn sessions(seed: u64) -> Plan {
    Plan::draw(seed, Workload::Sessions)
}

fn jumping(seed: u64) -> Plan {
    sessions(seed).with_clock_jumps()
}

fn with_tokens(seed: u64) -> Plan {
    sessions(seed).with_tokens()
}

fn users(seed: u64) -> Plan {
    Plan::draw(seed, Workload::Principals)
}

fn siblings(seed: u64) -> Plan {
    Plan::draw(seed, Workload::Siblings)
}

fn changing(seed: u64) -> Plan {
    usual(seed).with_changes()
}

fn sessions_changing(seed: u64) -> Plan {
    sessions(seed).with_changes()
}

fn visited(seed: u64) -> Plan {
    siblings(seed).with_a_visit()
}

fn without_anti_entropy(seed: u64) -> Plan {
    Plan {
        convergence: Convergence::WithoutAntiEntropy,
        ..usual(seed)
    }
}

/// Writes that live with fallbacks alone, and a network that loses three messages of ten: whoever
/// drops a hint too early loses it for good. Nobody dies, because hints are kept in memory.
fn hints_alone(seed: u64) -> Plan {
    let plan = without_anti_entropy(seed);
    let faults = plan.faults.into_iter();
    let lives = |fault: &Fault| !matches!(fault.kind, FaultKind::Crash(_));
    Plan {
        quorum: Quorum {
            w: 1,
            strict: false,
            ..plan.quorum
        },
        weather: Weather {
            loss: 300,
            ..plan.weather
        },
        faults: faults.filter(lives).collect(),
        ..plan
    }
}

/// Most of a partition's set changes, one member after the other, and nothing but the transfer
/// brings newcomers what they lack.
fn turning_over(seed: u64) -> Plan {
    without_anti_entropy(seed).with_turnover()
}

/// The same, and one founder goes on by the ring that was, because nobody can tell it.
fn turning_over_unnoticed(seed: u64) -> Plan {
    turning_over(seed).with_one_uninformed()
}

fn changing_without_anti_entropy(seed: u64) -> Plan {
    without_anti_entropy(seed).with_changes()
}

fn anti_entropy_alone(seed: u64) -> Plan {
    usual(seed).with_anti_entropy_alone()
}

/// All questions, in the order of the lists.
pub const QUESTIONS: &[Question] = &[
    Question {
        name: "node-as-actor",
        listed: "6.4-1",
        made: InCluster(Planted::NodeAsActor, visited),
        breaks: "one dot names one value, also after the store has forgotten",
        expected: &[TWO_VALUES],
    },
    Question {
        name: "actor-kept-after-wipe",
        listed: "6.4-2",
        made: InCluster(Planted::ActorKeptAfterWipe, usual),
        breaks: "one dot names one value, also after a lost disk",
        expected: &[TWO_VALUES],
    },
    Question {
        name: "ack-before-sync",
        listed: "6.4-3",
        made: InCluster(Planted::AckBeforeSync, usual),
        breaks: "what was acknowledged survives a crash",
        expected: GONE,
    },
    Question {
        name: "stamp-before-sync",
        listed: "6.4-4",
        made: InCluster(Planted::StampBeforeSync, usual),
        breaks: "a stamp leaves a node only when the store holds it",
        expected: &[TWO_VALUES],
    },
    Question {
        name: "hint-dropped-before-ack",
        listed: "6.4-5",
        made: InCluster(Planted::HintDroppedBeforeAck, hints_alone),
        breaks: "a hint is kept until its target has it",
        expected: &[LOSS, STALE, EXPIRY, SIBLINGS],
    },
    Question {
        name: "responders-counted",
        listed: "6.4-6",
        made: InCluster(Planted::RespondersCounted, usual),
        breaks: "an acknowledgement counts for one place, once",
        expected: GONE,
    },
    Question {
        name: "tombstone-reaped",
        listed: "6.4-7, 4.4",
        made: InCluster(Planted::TombstoneReaped, sessions),
        breaks: "a logout stays as long as a copy could be live",
        expected: BACK,
    },
    Question {
        name: "grace-too-short",
        listed: "4.4",
        made: InCluster(Planted::GraceTooShort, sessions),
        breaks: "a tombstone's grace is longer than the session's time",
        expected: BACK,
    },
    Question {
        name: "reaped-when-owners-have-it",
        listed: "4.4",
        made: InCluster(Planted::ReapedWhenOwnersHaveIt, sessions),
        breaks: "a tombstone outlives the hints that know less",
        expected: BACK,
    },
    Question {
        name: "blind-touches",
        listed: "4.4",
        made: AtLogout(Policy::BlindTouches),
        breaks: "what a tombstone must outlive was seen by a read quorum",
        expected: &[CAME_BACK],
    },
    Question {
        name: "tombstone-not-moved",
        listed: "6.4-8",
        made: InCluster(Planted::TombstoneNotMoved, sessions_changing),
        breaks: "who takes over a partition takes over its tombstones",
        expected: &[RESURRECTION, SESSIONS, STALE, NOT_HELD],
    },
    Question {
        name: "tombstone-unread",
        listed: "6.4-9",
        made: InCluster(Planted::TombstoneUnread, sessions),
        breaks: "a read counts tombstones like everything else",
        expected: &[RESURRECTION, SESSIONS, STALE],
    },
    Question {
        name: "switched-before-transfer",
        listed: "6.4-10, 2.3",
        made: InCluster(Planted::SwitchedBeforeTransfer, changing),
        breaks: "a set retires only when the next one holds its data",
        expected: GONE,
    },
    Question {
        name: "joiner-without-writes",
        listed: "6.4-11",
        made: InCluster(Planted::JoinerWithoutWrites, changing),
        breaks: "both sets get every write while a partition moves",
        expected: GONE,
    },
    Question {
        name: "hint-lost-on-leave",
        listed: "6.4-12",
        made: InCluster(Planted::HintLostOnLeave, changing_without_anti_entropy),
        breaks: "who leaves hands over what others lack",
        expected: &[LOSS, STALE, EXPIRY, SIBLINGS],
    },
    Question {
        name: "vector-instead-of-dots",
        listed: "6.4-13",
        made: InCluster(Planted::VectorInsteadOfDots, siblings),
        breaks: "a write replaces exactly what its writer has seen",
        expected: &[RESURRECTION, SIBLINGS, BESIDE],
    },
    Question {
        name: "sibling-dropped",
        listed: "6.4-14",
        made: InCluster(Planted::SiblingDropped, siblings),
        breaks: "concurrent values all stay",
        expected: GONE,
    },
    Question {
        name: "deadline-by-local-clock",
        listed: "6.4-15",
        made: InCluster(Planted::DeadlineByLocalClock, sessions),
        breaks: "a session lives as long as it was told, by any clock within the bound",
        expected: &[EXPIRY],
    },
    Question {
        name: "recovery-truncates",
        listed: "6.4-16",
        made: InCluster(Planted::RecoveryTruncates, usual),
        breaks: "a store comes back whole, or its node comes back as another",
        expected: GONE,
    },
    Question {
        name: "older-life-believed",
        listed: "6.4-17",
        made: InGossip(gossip::Planted::OlderLifeBelieved),
        breaks: "the death of a process does not kill the one started after it",
        expected: &[OLDER_NEWS],
    },
    Question {
        name: "refutation-ignored",
        listed: "6.4-17",
        made: InGossip(gossip::Planted::RefutationIgnored),
        breaks: "who has refuted a suspicion is not declared down by it",
        expected: &[OLDER_NEWS],
    },
    Question {
        name: "stale-comparison",
        listed: "6.4-18",
        made: InCluster(Planted::StaleComparison, anti_entropy_alone),
        breaks: "anti-entropy compares what is there",
        expected: &[NOT_EQUAL, CONVERGENCE],
    },
    Question {
        name: "failed-for-unknown",
        listed: "6.4-19",
        made: InCluster(Planted::FailedForUnknown, usual),
        breaks: "what was answered *failed* is never seen",
        expected: &[PHANTOM],
    },
    Question {
        name: "one-id-twice",
        listed: "6.4-20",
        made: InCluster(Planted::OneIdTwice, siblings),
        breaks: "one dot names one value: no two nodes write under one id",
        expected: &[TWO_VALUES],
    },
    Question {
        name: "fence-off",
        listed: "2.3",
        made: InCluster(Planted::FenceOff, turning_over_unnoticed),
        breaks: "a replica serves nobody who does not know its sets",
        expected: GONE,
    },
    Question {
        name: "one-source",
        listed: "2.3",
        made: InCluster(Planted::OneSource, changing_without_anti_entropy),
        breaks: "a newcomer reads a write quorum of the old set",
        expected: GONE,
    },
    Question {
        name: "lost-counts-as-kept",
        listed: "more",
        made: InCluster(Planted::LostCountsAsKept, usual),
        breaks: "who acknowledges a write holds it",
        expected: &[NOT_HELD],
    },
    Question {
        name: "last-writer-wins",
        listed: "more",
        made: InCluster(Planted::LastWriterWins, usual),
        breaks: "a replica's write is a merge",
        expected: GONE,
    },
    Question {
        name: "repair-overwrites",
        listed: "more",
        made: InCluster(Planted::RepairOverwrites, usual),
        breaks: "a repair is a merge",
        expected: GONE,
    },
    Question {
        name: "forward-repeated",
        listed: "more",
        made: InCluster(Planted::ForwardRepeated, siblings),
        breaks: "a client's request is carried out once",
        expected: &[SIBLINGS, BESIDE, RESURRECTION, CONVERGENCE],
    },
    Question {
        name: "clock-beyond-bound",
        listed: "4.5",
        made: InCluster(Planted::ClockBeyondBound, sessions),
        breaks: "clocks are within the bound",
        expected: &[EXPIRY],
    },
    Question {
        name: "clock-guard-off",
        listed: "more",
        made: InCluster(Planted::ClockGuardOff, jumping),
        breaks: "a node whose clock is wrong decides nothing by it",
        expected: &[EXPIRY, RESURRECTION, SESSIONS, STALE, LOSS],
    },
    Question {
        name: "token-ignored",
        listed: "more",
        made: InCluster(Planted::TokenIgnored, with_tokens),
        breaks: "a read with a token shows what it names, at R=1 too",
        expected: &[SESSIONS, RESURRECTION, EXPIRY],
    },
    Question {
        name: "owner-forgotten",
        listed: "more",
        made: InCluster(Planted::OwnerForgotten, users),
        breaks: "who is logged out everywhere is logged in nowhere",
        expected: &[Check::Always("logged out everywhere")],
    },
    Question {
        name: "lying-replica",
        listed: "more",
        made: InCluster(Planted::LyingReplica, usual),
        breaks: "who acknowledges a write holds it",
        expected: &[NOT_HELD],
    },
    Question {
        name: "silent-loss",
        listed: "more",
        made: InCluster(Planted::SilentLoss, usual),
        breaks: "who lost its store says so",
        expected: GONE,
    },
];
