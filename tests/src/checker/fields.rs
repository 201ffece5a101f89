//! Sessions: fields accumulate, and a deletion ends everything for good. C1, C2, C4, C6, C7.

use std::collections::{BTreeMap, HashSet};

use super::{
    Limits, Report, Rule,
    expiry::{Standing, Standings, expires},
    finals::last_read,
    order::{KeyLog, Read, WriteId},
};
use crate::history::{Action, Micros, Op, Outcome};

/// Judges a session's history.
pub(super) fn check(log: &KeyLog<'_>, standings: &Standings, limits: &Limits, report: &mut Report) {
    let ends = Ends::of(log);
    let last = |read: &Read<'_>| log.quiesced.is_some_and(|at| read.op.invoked >= at);
    for read in log
        .reads
        .iter()
        .filter(|read| read.op.quorum.strict && !last(read))
    {
        sees_what_was_acknowledged(log, standings, &ends, read, report);
    }
    for read in log.reads.iter().filter(|read| !last(read)) {
        if !may_miss_prolonging(log, read, limits) {
            sees_what_its_token_names(log, standings, &ends, read, report);
        }
    }
    sessions_never_go_back(log, standings, &ends, limits, report);
    if let Some(last) = last_read(log, report) {
        ends_as_it_should(log, standings, &ends, limits, last, report);
    }
}

/// When the session was destroyed, if it was.
struct Ends {
    /// The earliest answer to a deletion, with the replicas that hold it, by that number.
    acked: BTreeMap<u8, Micros>,
    /// When the first deletion that may have happened was invoked.
    possible: Option<Micros>,
}

impl Ends {
    fn of(log: &KeyLog<'_>) -> Self {
        let mut ends = Self {
            acked: BTreeMap::new(),
            possible: None,
        };
        for write in log.writes.iter().filter(|write| write.is_delete()) {
            ends.possible.get_or_insert(write.op.invoked);
            if write.op.is_ok() {
                let held = if write.op.quorum.strict {
                    write.op.quorum.w
                } else {
                    0
                };
                let at = ends.acked.entry(held).or_insert(Micros::MAX);
                *at = write.op.returned.min(*at);
            }
        }
        ends
    }

    /// Whether a deletion was acknowledged before this read began, by replicas that it must meet.
    fn binds(&self, read: &Read<'_>) -> bool {
        let quorum = read.op.quorum;
        self.acked
            .iter()
            .any(|(held, at)| held + quorum.r > quorum.n && *at < read.op.invoked)
    }

    /// Whether the session may have been gone when this read was answered.
    fn allows_gone(&self, read: &Read<'_>) -> bool {
        self.possible.is_some_and(|at| at <= read.op.returned)
    }
}

/// C7, and C2 while the run goes on.
fn sees_what_was_acknowledged(
    log: &KeyLog<'_>,
    standings: &Standings,
    ends: &Ends,
    read: &Read<'_>,
    report: &mut Report,
) {
    if ends.binds(read) {
        if !read.view.is_empty() {
            let text = "it shows a session that had been destroyed".to_owned();
            report.broken(Rule::NoResurrection, log.key, Some(read.op.id), text);
        }
        return;
    }
    if may_miss(standings, ends, read) {
        return;
    }
    let quorum = read.op.quorum;
    let shown: HashSet<WriteId> = read.view.iter().copied().collect();
    for (id, write) in log.writes.iter().enumerate() {
        if write.op.invoked >= read.op.invoked {
            break;
        }
        let binding = write.op.is_ok()
            && write.op.quorum.strict
            && write.op.returned < read.op.invoked
            && write.op.quorum.w + quorum.r > quorum.n;
        if binding && !shown.contains(&(id as WriteId)) {
            let mine = write.op.session == read.op.session;
            let rule = if mine {
                Rule::Sessions
            } else {
                Rule::RegularRead
            };
            missed(log, standings, read, id as WriteId, rule, report);
        }
    }
}

/// Whether a read that shows nothing may have met a replica that holds what the token names, and takes the
/// session for expired: a deadline that was once set is over, and others that prolonged it are not named
/// by the token.
fn may_miss_prolonging(log: &KeyLog<'_>, read: &Read<'_>, limits: &Limits) -> bool {
    let over = read.op.returned.saturating_add(limits.clock_bound);
    let known = log.ops.iter().filter(|op| op.invoked <= read.op.returned);
    read.view.is_empty() && known.filter_map(|op| expires(op)).any(|at| at <= over)
}

/// Whether a read meets a replica of every write that set a deadline.
fn meets_prolonging(log: &KeyLog<'_>, read: &Read<'_>) -> bool {
    let mut setting = log.ops.iter().filter(|op| expires(op).is_some());
    setting.all(|op| op.quorum.strict && op.quorum.w + read.op.quorum.r > op.quorum.n)
}

/// C6 at any R: a read that carries the token of a write shows it, and after a logout nothing.
fn sees_what_its_token_names(
    log: &KeyLog<'_>,
    standings: &Standings,
    ends: &Ends,
    read: &Read<'_>,
    report: &mut Report,
) {
    let Action::GetAfter { write } = read.op.action else {
        return;
    };
    let own = |op: &&&Op| op.id == write && op.is_ok() && op.returned <= read.op.invoked;
    let Some(op) = log.ops.iter().find(own) else {
        let text = format!("its token is of op {write}, no earlier write of the key");
        return report.broken(Rule::Malformed, log.key, Some(read.op.id), text);
    };
    // A touch is no value; whether its deadline holds is another rule.
    let Some(id) = log.writes.iter().position(|node| node.op.id == op.id) else {
        return;
    };
    if log.writes[id].is_delete() {
        if !read.view.is_empty() && !standings.may_have_lapsed(read.op.id) {
            let text = format!("it shows the session that op {write} had destroyed");
            report.broken(Rule::NoResurrection, log.key, Some(read.op.id), text);
        }
    } else if !read.view.contains(&(id as WriteId)) && !may_miss(standings, ends, read) {
        missed(log, standings, read, id as WriteId, Rule::Sessions, report);
    }
}

/// C6: what a session has seen stays seen, and gone stays gone.
fn sessions_never_go_back(
    log: &KeyLog<'_>,
    standings: &Standings,
    ends: &Ends,
    limits: &Limits,
    report: &mut Report,
) {
    let first_seen = log.reads.iter().filter(|read| !read.view.is_empty());
    let first_seen = first_seen
        .map(|read| read.op.returned)
        .min()
        .unwrap_or(Micros::MAX);
    let mut before: BTreeMap<u32, &Read<'_>> = BTreeMap::new();
    let mut in_order: Vec<_> = log
        .reads
        .iter()
        .filter(|read| read.op.quorum.strict)
        .collect();
    in_order.sort_by_key(|read| read.op.returned);
    for read in in_order {
        let Some(earlier) = before.insert(read.op.session, read) else {
            continue;
        };
        let meets = earlier.op.quorum.r + read.op.quorum.r > read.op.quorum.n;
        if !meets || earlier.op.returned > read.op.invoked {
            continue;
        }
        if may_miss(standings, ends, read) || ends.binds(read) {
            continue;
        }
        // What it has seen is there still; that it was prolonged may be known elsewhere.
        if !meets_prolonging(log, read) && may_miss_prolonging(log, read, limits) {
            continue;
        }
        let was_there = first_seen < earlier.op.invoked;
        let by_deletion = standings.of_read(earlier.op.id) == Standing::Live;
        if was_there && by_deletion && earlier.view.is_empty() && !read.view.is_empty() {
            let text = format!("it shows a session that op {} saw destroyed", earlier.op.id);
            report.broken(Rule::NoResurrection, log.key, Some(read.op.id), text);
        }
        let shown: HashSet<WriteId> = read.view.iter().copied().collect();
        for id in earlier.view.iter().filter(|id| !shown.contains(id)) {
            missed(log, standings, read, *id, Rule::Sessions, report);
        }
    }
}

/// C1, C2 and C4.
fn ends_as_it_should(
    log: &KeyLog<'_>,
    standings: &Standings,
    ends: &Ends,
    limits: &Limits,
    last: &Read<'_>,
    report: &mut Report,
) {
    if !ends.acked.is_empty() {
        if !last.view.is_empty() {
            let text = "the session is there, and its destruction was acknowledged".to_owned();
            report.broken(Rule::NoResurrection, log.key, Some(last.op.id), text);
        }
        return;
    }
    if may_miss(standings, ends, last) {
        return;
    }
    let shown: HashSet<WriteId> = last.view.iter().copied().collect();
    for (id, write) in log.writes.iter().enumerate() {
        let id = id as WriteId;
        if write.is_delete() || shown.contains(&id) {
            continue;
        }
        match write.op.outcome {
            Outcome::Ok { .. } => missed(log, standings, last, id, Rule::NoLoss, report),
            _ if write.must_stay(limits) => {
                missed(log, standings, last, id, Rule::ExactSiblings, report);
            }
            _ => {}
        }
    }
}

/// Whether a read may lack fields: it shows nothing and the session may have been destroyed or have
/// expired, or it may be another life than the one that began.
fn may_miss(standings: &Standings, ends: &Ends, read: &Read<'_>) -> bool {
    let may_be_gone = ends.allows_gone(read) || standings.of_read(read.op.id) != Standing::Live;
    (read.view.is_empty() && may_be_gone) || standings.may_have_lapsed(read.op.id)
}

fn missed(
    log: &KeyLog<'_>,
    standings: &Standings,
    read: &Read<'_>,
    write: WriteId,
    rule: Rule,
    report: &mut Report,
) {
    if read.view.is_empty() && standings.has_deadlines() {
        let text = format!(
            "the session is gone before its deadline; {} was in it",
            log.name(write)
        );
        report.broken(Rule::Expiry, log.key, Some(read.op.id), text);
    } else {
        let text = format!("the session lacks {}", log.name(write));
        report.broken(rule, log.key, Some(read.op.id), text);
    }
}
