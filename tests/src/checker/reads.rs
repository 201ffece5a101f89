//! What reads may show while the run goes on, for siblings: C5, C6, C7, and C2 in passing. Reads
//! after the end are judged by what must be there in the end, so that one loss has one name.

use std::collections::HashMap;

use super::{
    Report, Rule,
    expiry::{Standing, Standings},
    order::{Below, KeyLog, Read, WriteId, oldest},
};
use crate::history::{OpId, Quorum};

/// Writes that must be visible, none of which replaced another; one list for each number of
/// replicas that are known to hold them. A read of `r` of `n` replicas is bound by those that at
/// least `n - r + 1` replicas hold: then the two sets meet.
#[derive(Clone, Debug, Default)]
struct Known {
    at_least: Vec<Vec<WriteId>>,
}

impl Known {
    /// What binds a read with this quorum.
    fn binding(&self, quorum: Quorum) -> &[WriteId] {
        let held = usize::from(quorum.n.saturating_sub(quorum.r)) + 1;
        self.at_least.get(held - 1).map_or(&[], Vec::as_slice)
    }

    /// At least `held` replicas hold these.
    fn learn(&mut self, log: &KeyLog<'_>, below: &mut Below, writes: &[WriteId], held: u8) {
        let held = usize::from(held);
        if self.at_least.len() < held {
            self.at_least.resize(held, Vec::new());
        }
        for frontier in &mut self.at_least[..held] {
            for write in writes {
                advance(log, below, frontier, *write);
            }
        }
    }
}

/// Adds a write to a list of mutually concurrent ones and drops those it replaced.
fn advance(log: &KeyLog<'_>, below: &mut Below, frontier: &mut Vec<WriteId>, write: WriteId) {
    below.mark_from(log, [write], oldest(log, frontier));
    frontier.retain(|other| !below.reached(*other));
    below.mark_from(log, frontier.iter().copied(), oldest(log, &[write]));
    if !below.reached(write) {
        frontier.push(write);
    }
}

/// Something begins or ends.
enum Event<'l, 'h> {
    Invoked(&'l Read<'h>),
    Shown(&'l Read<'h>),
    Acked(WriteId),
}

/// Judges every read of a key that keeps siblings.
pub(super) fn check(log: &KeyLog<'_>, standings: &Standings, report: &mut Report) {
    let mut sweep = Sweep::new(log);
    for event in events(log) {
        match event {
            Event::Invoked(read) => sweep.invoked(read),
            Event::Acked(write) => sweep.acked(write),
            Event::Shown(read) => {
                let lapsed = standings.of_read(read.op.id) != Standing::Live
                    || standings.may_have_lapsed(read.op.id);
                sweep.shown(read, lapsed, report);
            }
        }
    }
}

/// All events in order of time. What begins at the moment in which something else ends counts as
/// concurrent with it.
fn events<'l, 'h>(log: &'l KeyLog<'h>) -> Vec<Event<'l, 'h>> {
    let mut events = Vec::with_capacity(2 * log.ops.len());
    for read in &log.reads {
        events.push((read.op.invoked, 0, Event::Invoked(read)));
        events.push((read.op.returned, 1, Event::Shown(read)));
    }
    for (id, write) in log.writes.iter().enumerate() {
        if write.op.is_ok() {
            events.push((write.op.returned, 1, Event::Acked(id as WriteId)));
        }
    }
    events.sort_by_key(|(at, order, _)| (*at, *order));
    events.into_iter().map(|(_, _, event)| event).collect()
}

struct Sweep<'l, 'h> {
    log: &'l KeyLog<'h>,
    below: Below,
    /// What anybody was told.
    everyone: Known,
    /// What each session wrote or saw.
    sessions: HashMap<u32, Known>,
    /// What bound each read in flight when it began.
    in_flight: HashMap<OpId, Vec<WriteId>>,
}

impl<'l, 'h> Sweep<'l, 'h> {
    fn new(log: &'l KeyLog<'h>) -> Self {
        Self {
            log,
            below: Below::new(log),
            everyone: Known::default(),
            sessions: HashMap::new(),
            in_flight: HashMap::new(),
        }
    }

    fn invoked(&mut self, read: &Read<'_>) {
        if read.op.quorum.strict {
            self.in_flight
                .insert(read.op.id, self.everyone.binding(read.op.quorum).to_vec());
        }
    }

    fn acked(&mut self, write: WriteId) {
        let op = self.log.writes[write as usize].op;
        if op.quorum.strict {
            let own = self.sessions.entry(op.session).or_default();
            own.learn(self.log, &mut self.below, &[write], op.quorum.w);
            self.everyone
                .learn(self.log, &mut self.below, &[write], op.quorum.w);
        }
    }

    fn shown(&mut self, read: &Read<'_>, lapsed: bool, report: &mut Report) {
        self.shows_no_value_beside_its_successor(read, report);
        if !read.op.quorum.strict {
            return;
        }
        let told = self.in_flight.remove(&read.op.id).unwrap_or_default();
        let mine = self.sessions.get(&read.op.session);
        let mine = mine
            .map(|known| known.binding(read.op.quorum).to_vec())
            .unwrap_or_default();
        let last = self.log.quiesced.is_some_and(|at| read.op.invoked >= at);
        if !lapsed && !last {
            let told: Vec<_> = told.into_iter().filter(|id| !mine.contains(id)).collect();
            self.shows_what_must_be_visible(read, &mine, Rule::Sessions, report);
            self.shows_what_must_be_visible(read, &told, Rule::RegularRead, report);
        }
        let own = self.sessions.entry(read.op.session).or_default();
        own.learn(self.log, &mut self.below, &read.view, read.op.quorum.r);
    }

    /// C5.
    fn shows_no_value_beside_its_successor(&mut self, read: &Read<'_>, report: &mut Report) {
        if read.view.len() < 2 {
            return;
        }
        let floor = oldest(self.log, &read.view);
        self.below
            .mark_under(self.log, read.view.iter().copied(), floor);
        for write in read.view.iter().filter(|id| self.below.reached(**id)) {
            let text = format!("it shows {} beside what replaced it", self.log.name(*write));
            report.broken(Rule::SiblingBound, self.log.key, Some(read.op.id), text);
        }
    }

    /// C6 and C7: each of these writes is shown, or something that replaced it; and nothing that a
    /// deletion among them removed (C2).
    fn shows_what_must_be_visible(
        &mut self,
        read: &Read<'_>,
        must: &[WriteId],
        rule: Rule,
        report: &mut Report,
    ) {
        let log = self.log;
        let (deletions, puts): (Vec<WriteId>, Vec<WriteId>) = must
            .iter()
            .partition(|id| log.writes[**id as usize].is_delete());
        let floor = oldest(log, &puts);
        let deleted_meanwhile = deletions_between(log, floor, read.op.returned);
        self.below.mark_from(
            log,
            read.view.iter().copied().chain(deleted_meanwhile),
            floor,
        );
        for write in puts.iter().filter(|id| !self.below.reached(**id)) {
            let text = format!(
                "it misses {}, and shows nothing that replaced it",
                log.name(*write)
            );
            report.broken(rule, log.key, Some(read.op.id), text);
        }
        self.below
            .mark_under(log, deletions, oldest(log, &read.view));
        for write in read.view.iter().filter(|id| self.below.reached(**id)) {
            let text = format!("it shows {}, which had been deleted", log.name(*write));
            report.broken(Rule::NoResurrection, log.key, Some(read.op.id), text);
        }
    }
}

/// Deletions invoked within these times: they may have taken effect, whatever was answered.
fn deletions_between(log: &KeyLog<'_>, from: u64, to: u64) -> impl Iterator<Item = WriteId> {
    let start = log.writes.partition_point(|write| write.op.invoked < from);
    let rest = log.writes[start..].iter().enumerate();
    rest.take_while(move |(_, write)| write.op.invoked <= to)
        .filter(|(_, write)| write.is_delete())
        .map(move |(at, _)| (start + at) as WriteId)
}
