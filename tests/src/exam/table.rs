//! The questions.

use super::{Check, Question};
use crate::{
    checker::Rule,
    history::Quorum,
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

/// What is on the lists and is not asked here, and why.
pub const NOT_ASKED: &[(&str, &str)] = &[
    (
        "6.4-17 gossip accepts a lower incarnation",
        "links tell the simulated engines who is up, no gossip runs; incarnations are kept by the \
         library under crates/membership, whose tests gossip",
    ),
    (
        "6.4-20 two nodes start with one id",
        "an actor is the hash of node id and boot, and messages are routed by node id: two such nodes \
         cannot be told apart here; the hello refuses a peer with one's own id (crates/rpc)",
    ),
    (
        "4.4 blind touches allowed",
        "whether a touch reads first is decided in the engine, under the key's lock: nothing outside \
         could make it touch blindly; crates/node/src/engine/tests/sessions.rs holds it",
    ),
];

/// All questions, in the order of the lists.
pub const QUESTIONS: &[Question] = &[
    Question {
        name: "node-as-actor",
        listed: "6.4-1",
        planted: Planted::NodeAsActor,
        breaks: "one dot names one value, also after the store has forgotten",
        expected: &[TWO_VALUES],
        plan: visited,
    },
    Question {
        name: "actor-kept-after-wipe",
        listed: "6.4-2",
        planted: Planted::ActorKeptAfterWipe,
        breaks: "one dot names one value, also after a lost disk",
        expected: &[TWO_VALUES],
        plan: usual,
    },
    Question {
        name: "ack-before-sync",
        listed: "6.4-3",
        planted: Planted::AckBeforeSync,
        breaks: "what was acknowledged survives a crash",
        expected: GONE,
        plan: usual,
    },
    Question {
        name: "stamp-before-sync",
        listed: "6.4-4",
        planted: Planted::StampBeforeSync,
        breaks: "a stamp leaves a node only when the store holds it",
        expected: &[TWO_VALUES],
        plan: usual,
    },
    Question {
        name: "hint-dropped-before-ack",
        listed: "6.4-5",
        planted: Planted::HintDroppedBeforeAck,
        breaks: "a hint is kept until its target has it",
        expected: &[LOSS, STALE, EXPIRY, SIBLINGS],
        plan: hints_alone,
    },
    Question {
        name: "responders-counted",
        listed: "6.4-6",
        planted: Planted::RespondersCounted,
        breaks: "an acknowledgement counts for one place, once",
        expected: GONE,
        plan: usual,
    },
    Question {
        name: "tombstone-reaped",
        listed: "6.4-7, 4.4",
        planted: Planted::TombstoneReaped,
        breaks: "a logout stays as long as a copy could be live",
        expected: BACK,
        plan: sessions,
    },
    Question {
        name: "grace-too-short",
        listed: "4.4",
        planted: Planted::GraceTooShort,
        breaks: "a tombstone's grace is longer than the session's time",
        expected: BACK,
        plan: sessions,
    },
    Question {
        name: "reaped-when-owners-have-it",
        listed: "4.4",
        planted: Planted::ReapedWhenOwnersHaveIt,
        breaks: "a tombstone outlives the hints that know less",
        expected: BACK,
        plan: sessions,
    },
    Question {
        name: "tombstone-not-moved",
        listed: "6.4-8",
        planted: Planted::TombstoneNotMoved,
        breaks: "who takes over a partition takes over its tombstones",
        expected: &[RESURRECTION, SESSIONS, STALE, NOT_HELD],
        plan: sessions_changing,
    },
    Question {
        name: "tombstone-unread",
        listed: "6.4-9",
        planted: Planted::TombstoneUnread,
        breaks: "a read counts tombstones like everything else",
        expected: &[RESURRECTION, SESSIONS, STALE],
        plan: sessions,
    },
    Question {
        name: "switched-before-transfer",
        listed: "6.4-10, 2.3",
        planted: Planted::SwitchedBeforeTransfer,
        breaks: "a set retires only when the next one holds its data",
        expected: GONE,
        plan: changing,
    },
    Question {
        name: "joiner-without-writes",
        listed: "6.4-11",
        planted: Planted::JoinerWithoutWrites,
        breaks: "both sets get every write while a partition moves",
        expected: GONE,
        plan: changing,
    },
    Question {
        name: "hint-lost-on-leave",
        listed: "6.4-12",
        planted: Planted::HintLostOnLeave,
        breaks: "who leaves hands over what others lack",
        expected: &[LOSS, STALE, EXPIRY, SIBLINGS],
        plan: changing_without_anti_entropy,
    },
    Question {
        name: "vector-instead-of-dots",
        listed: "6.4-13",
        planted: Planted::VectorInsteadOfDots,
        breaks: "a write replaces exactly what its writer has seen",
        expected: &[RESURRECTION, SIBLINGS, BESIDE],
        plan: siblings,
    },
    Question {
        name: "sibling-dropped",
        listed: "6.4-14",
        planted: Planted::SiblingDropped,
        breaks: "concurrent values all stay",
        expected: GONE,
        plan: siblings,
    },
    Question {
        name: "deadline-by-local-clock",
        listed: "6.4-15",
        planted: Planted::DeadlineByLocalClock,
        breaks: "a session lives as long as it was told, by any clock within the bound",
        expected: &[EXPIRY],
        plan: sessions,
    },
    Question {
        name: "recovery-truncates",
        listed: "6.4-16",
        planted: Planted::RecoveryTruncates,
        breaks: "a store comes back whole, or its node comes back as another",
        expected: GONE,
        plan: usual,
    },
    Question {
        name: "stale-comparison",
        listed: "6.4-18",
        planted: Planted::StaleComparison,
        breaks: "anti-entropy compares what is there",
        expected: &[NOT_EQUAL, CONVERGENCE],
        plan: anti_entropy_alone,
    },
    Question {
        name: "failed-for-unknown",
        listed: "6.4-19",
        planted: Planted::FailedForUnknown,
        breaks: "what was answered *failed* is never seen",
        expected: &[PHANTOM],
        plan: usual,
    },
    Question {
        name: "fence-off",
        listed: "2.3",
        planted: Planted::FenceOff,
        breaks: "a replica serves nobody who does not know its sets",
        expected: GONE,
        plan: turning_over_unnoticed,
    },
    Question {
        name: "one-source",
        listed: "2.3",
        planted: Planted::OneSource,
        breaks: "a newcomer reads a write quorum of the old set",
        expected: GONE,
        plan: changing_without_anti_entropy,
    },
    Question {
        name: "lost-counts-as-kept",
        listed: "more",
        planted: Planted::LostCountsAsKept,
        breaks: "who acknowledges a write holds it",
        expected: &[NOT_HELD],
        plan: usual,
    },
    Question {
        name: "last-writer-wins",
        listed: "more",
        planted: Planted::LastWriterWins,
        breaks: "a replica's write is a merge",
        expected: GONE,
        plan: usual,
    },
    Question {
        name: "repair-overwrites",
        listed: "more",
        planted: Planted::RepairOverwrites,
        breaks: "a repair is a merge",
        expected: GONE,
        plan: usual,
    },
    Question {
        name: "forward-repeated",
        listed: "more",
        planted: Planted::ForwardRepeated,
        breaks: "a client's request is carried out once",
        expected: &[SIBLINGS, BESIDE, RESURRECTION, CONVERGENCE],
        plan: siblings,
    },
    Question {
        name: "clock-beyond-bound",
        listed: "4.5",
        planted: Planted::ClockBeyondBound,
        breaks: "clocks are within the bound",
        expected: &[EXPIRY],
        plan: sessions,
    },
    Question {
        name: "clock-guard-off",
        listed: "more",
        planted: Planted::ClockGuardOff,
        breaks: "a node whose clock is wrong decides nothing by it",
        expected: &[EXPIRY, RESURRECTION, SESSIONS, STALE, LOSS],
        plan: jumping,
    },
    Question {
        name: "token-ignored",
        listed: "more",
        planted: Planted::TokenIgnored,
        breaks: "a read with a token shows what it names, at R=1 too",
        expected: &[SESSIONS, RESURRECTION, EXPIRY],
        plan: with_tokens,
    },
    Question {
        name: "owner-forgotten",
        listed: "more",
        planted: Planted::OwnerForgotten,
        breaks: "who is logged out everywhere is logged in nowhere",
        expected: &[Check::Always("logged out everywhere")],
        plan: users,
    },
    Question {
        name: "lying-replica",
        listed: "more",
        planted: Planted::LyingReplica,
        breaks: "who acknowledges a write holds it",
        expected: &[NOT_HELD],
        plan: usual,
    },
    Question {
        name: "silent-loss",
        listed: "more",
        planted: Planted::SilentLoss,
        breaks: "who lost its store says so",
        expected: GONE,
        plan: usual,
    },
];
