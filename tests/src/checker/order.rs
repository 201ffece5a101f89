//! The order between the writes of one key, as clients made it.

use std::collections::{HashMap, hash_map};

use super::{Limits, Report, Rule};
use crate::history::{Action, Element, Micros, Op, OpId, Outcome};

/// A write: its position in [`KeyLog::writes`].
pub(super) type WriteId = u32;

/// Everything that happened to one key.
#[derive(Debug)]
pub(super) struct KeyLog<'h> {
    pub(super) key: &'h str,
    /// All operations, in the order of invocation.
    pub(super) ops: Vec<&'h Op>,
    /// Writes that may have happened and change the value: puts and deletions that were not
    /// answered *failed*, in the order of invocation.
    pub(super) writes: Vec<WriteNode<'h>>,
    /// Successful reads, in the order of invocation.
    pub(super) reads: Vec<Read<'h>>,
    /// When the run quiesced.
    pub(super) quiesced: Option<Micros>,
}

/// A write with those it replaces.
#[derive(Debug)]
pub(super) struct WriteNode<'h> {
    pub(super) op: &'h Op,
    /// The writes that its context showed.
    pub(super) parents: Vec<WriteId>,
    /// Whether some read has shown it.
    pub(super) seen: bool,
    /// Whether a strict read of most replicas has.
    pub(super) seen_by_most: bool,
}

/// A read with the writes it showed.
#[derive(Debug)]
pub(super) struct Read<'h> {
    pub(super) op: &'h Op,
    pub(super) view: Vec<WriteId>,
}

impl WriteNode<'_> {
    pub(super) fn is_delete(&self) -> bool {
        matches!(self.op.action, Action::Delete { .. })
    }

    /// Whether it must stay although nobody knows its outcome: it was seen.
    pub(super) fn must_stay(&self, limits: &Limits) -> bool {
        let seen = if limits.disk_lost {
            self.seen_by_most
        } else {
            self.seen
        };
        seen && limits.seen_stays
    }

    /// The element written; 0 for a deletion.
    pub(super) fn element(&self) -> Element {
        match self.op.action {
            Action::Put { element, .. } => element,
            _ => 0,
        }
    }
}

impl<'h> KeyLog<'h> {
    /// Sorts the operations of one key into writes and reads, and resolves contexts. Reports what
    /// cannot be resolved: phantoms (C3) and contradictions (C0).
    pub(super) fn build(
        key: &'h str,
        ops: Vec<&'h Op>,
        quiesced: Option<Micros>,
        report: &mut Report,
    ) -> Self {
        let mut log = Self {
            key,
            ops,
            writes: Vec::new(),
            reads: Vec::new(),
            quiesced,
        };
        let written = log.collect_writes(report);
        log.collect_reads(&written, report);
        log.resolve_contexts(report);
        log
    }

    /// Reads that started after the run quiesced.
    pub(super) fn final_read(&self) -> Option<&Read<'h>> {
        let quiesced = self.quiesced?;
        self.reads
            .iter()
            .rev()
            .find(|read| read.op.invoked >= quiesced)
    }

    /// What a write put there, for messages.
    pub(super) fn name(&self, write: WriteId) -> String {
        let node = &self.writes[write as usize];
        match node.op.action {
            Action::Delete { .. } => format!("deletion (op {})", node.op.id),
            _ => format!("{} (op {})", node.element(), node.op.id),
        }
    }

    /// Who wrote which element; `None` for a write answered *failed*.
    fn collect_writes(&mut self, report: &mut Report) -> HashMap<Element, Option<WriteId>> {
        let mut written = HashMap::new();
        for op in &self.ops {
            if op.returned < op.invoked {
                let text = "it returned before it was invoked".to_owned();
                report.broken(Rule::Malformed, self.key, Some(op.id), text);
            }
            let happened = !matches!(op.outcome, Outcome::Failed { .. });
            let id = self.writes.len() as WriteId;
            if let Action::Put { element, .. } = op.action {
                if let hash_map::Entry::Vacant(first) = written.entry(element) {
                    first.insert(happened.then_some(id));
                } else {
                    let text = format!("element {element} is written twice");
                    report.broken(Rule::Malformed, self.key, Some(op.id), text);
                }
            }
            if happened && matches!(op.action, Action::Put { .. } | Action::Delete { .. }) {
                self.writes.push(WriteNode {
                    op,
                    parents: Vec::new(),
                    seen: false,
                    seen_by_most: false,
                });
            }
        }
        written
    }

    fn collect_reads(&mut self, written: &HashMap<Element, Option<WriteId>>, report: &mut Report) {
        for op in &self.ops {
            let Some(shown) = op.shown() else { continue };
            let mut view = Vec::with_capacity(shown.len());
            let by_most = op.quorum.strict && 2 * op.quorum.r > op.quorum.n;
            for element in shown {
                let problem = match written.get(element) {
                    None => "was never written to this key",
                    Some(None) => "was answered failed",
                    Some(Some(id)) => {
                        let write = &mut self.writes[*id as usize];
                        write.seen = true;
                        write.seen_by_most |= by_most;
                        if write.op.invoked <= op.returned {
                            view.push(*id);
                            continue;
                        }
                        "was written only later"
                    }
                };
                let text = format!("it shows {element}, which {problem}");
                report.broken(Rule::NoPhantom, self.key, Some(op.id), text);
            }
            self.reads.push(Read { op, view });
        }
    }

    fn resolve_contexts(&mut self, report: &mut Report) {
        let views: HashMap<OpId, &Read<'_>> =
            self.reads.iter().map(|read| (read.op.id, read)).collect();
        for write in &mut self.writes {
            let (Action::Put { context, .. } | Action::Delete { context }) = write.op.action else {
                continue;
            };
            let Some(context) = context else { continue };
            match views.get(&context) {
                Some(read) if read.op.returned <= write.op.invoked => {
                    write.parents.clone_from(&read.view);
                }
                _ => {
                    let text =
                        format!("its context is of op {context}, no earlier read of the key");
                    report.broken(Rule::Malformed, self.key, Some(write.op.id), text);
                }
            }
        }
    }
}

/// Searches downwards in the order of writes, from what replaces to what is replaced.
#[derive(Debug)]
pub(super) struct Below {
    /// Which search marked each write last.
    marks: Vec<u32>,
    search: u32,
    stack: Vec<WriteId>,
}

impl Below {
    /// Able to search among the writes of this log.
    pub(super) fn new(log: &KeyLog<'_>) -> Self {
        Self {
            marks: vec![0; log.writes.len()],
            search: 0,
            stack: Vec::new(),
        }
    }

    /// Marks these writes and all that they replaced, directly or not, and forgets the marks of the
    /// search before. Writes invoked before `floor` are not reached: nothing can replace a write
    /// that was invoked after it.
    pub(super) fn mark_from(
        &mut self,
        log: &KeyLog<'_>,
        from: impl IntoIterator<Item = WriteId>,
        floor: Micros,
    ) {
        self.search += 1;
        self.push(log, from, floor);
        self.drain(log, floor);
    }

    /// As [`mark_from`](Self::mark_from), without the writes themselves unless another of them
    /// replaced them.
    pub(super) fn mark_under(
        &mut self,
        log: &KeyLog<'_>,
        of: impl IntoIterator<Item = WriteId>,
        floor: Micros,
    ) {
        self.search += 1;
        for write in of {
            self.push(
                log,
                log.writes[write as usize].parents.iter().copied(),
                floor,
            );
        }
        self.drain(log, floor);
    }

    /// Whether the last search reached this write.
    pub(super) fn reached(&self, write: WriteId) -> bool {
        self.marks[write as usize] == self.search
    }

    fn push(&mut self, log: &KeyLog<'_>, ids: impl IntoIterator<Item = WriteId>, floor: Micros) {
        for id in ids {
            let mark = &mut self.marks[id as usize];
            if *mark != self.search && log.writes[id as usize].op.invoked >= floor {
                *mark = self.search;
                self.stack.push(id);
            }
        }
    }

    fn drain(&mut self, log: &KeyLog<'_>, floor: Micros) {
        while let Some(id) = self.stack.pop() {
            self.push(log, log.writes[id as usize].parents.iter().copied(), floor);
        }
    }
}

/// When the oldest of these writes was invoked: how deep a search for them has to go.
pub(super) fn oldest(log: &KeyLog<'_>, writes: &[WriteId]) -> Micros {
    writes
        .iter()
        .map(|id| log.writes[*id as usize].op.invoked)
        .min()
        .unwrap_or(Micros::MAX)
}
