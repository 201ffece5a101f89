//! Offering an owner what this node holds of a partition that it does not own.

use henge_ring::Partition;

use crate::{
    reconcile::{Answer, Ask, Mark, Records, Replica, Words, limits},
    snapshot::DigestRule,
};

/// The offer of one partition to one owner, under way.
pub(super) struct Offer {
    partition: Partition,
    at_ms: u64,
    rule: DigestRule,
    /// Where this node's own log ended before the first record was offered.
    level: Mark,
    /// Where the scan goes on; `None` at the end.
    after: Option<u64>,
    /// Tokens that the owner asked for.
    lacking: Vec<u64>,
    pushed: u64,
    kept_all: bool,
}

/// What is to be done next.
pub(super) enum Step {
    Ask(Ask),
    /// The owner holds all of it.
    Done {
        level: Mark,
        pushed: u64,
    },
}

impl Offer {
    pub(super) fn begin(
        partition: Partition,
        at_ms: u64,
        rule: DigestRule,
        replica: &dyn Replica,
    ) -> (Self, Ask) {
        let mut offer = Self {
            partition,
            at_ms,
            rule,
            level: Mark {
                life: replica.life(),
                position: replica.log_end(partition),
            },
            after: None,
            lacking: Vec::new(),
            pushed: 0,
            kept_all: true,
        };
        let ask = offer.page(None, replica);
        (offer, ask)
    }

    pub(super) fn partition(&self) -> Partition {
        self.partition
    }

    /// Takes in an answer; `None` if it does not fit, or the owner could not keep something.
    pub(super) fn answered(&mut self, answer: &Answer, replica: &dyn Replica) -> Option<Step> {
        match answer {
            Answer::Lacks(tokens) => self.lacking = tokens.0.clone(),
            Answer::Taken { refused, .. } => self.kept_all &= *refused == 0,
            _ => return None,
        }
        if !self.lacking.is_empty() {
            return Some(Step::Ask(self.push(replica)));
        }
        if let Some(after) = self.after {
            return Some(Step::Ask(self.page(Some(after), replica)));
        }
        self.kept_all.then_some(Step::Done {
            level: self.level,
            pushed: self.pushed,
        })
    }

    fn page(&mut self, after: Option<u64>, replica: &dyn Replica) -> Ask {
        let mut entries = Vec::new();
        // Keys that share a token stay together, so a page may end late: one less leaves room.
        let most = limits::ENTRIES / 2;
        self.after = replica.scan(self.partition, after, most, &mut |held| {
            if self.rule.counts(held.removable_at_ms, self.at_ms) {
                entries.push((held.token, held.digest));
            }
        });
        Ask::Offer {
            partition: self.partition.0,
            at_ms: self.at_ms,
            entries: Words::of_pairs(entries),
        }
    }

    fn push(&mut self, replica: &dyn Replica) -> Ask {
        let (mut records, mut bytes) = (Records::new(), 0);
        while bytes < limits::RECORD_BYTES
            && let Some(token) = self.lacking.pop()
        {
            replica.at(token, &mut |key, record, _| {
                if bytes < limits::RECORD_BYTES {
                    bytes += key.len() + record.len();
                    records.push((key.to_vec().into(), record.to_vec().into()));
                } else {
                    // Keys that share a token, and large ones: the next round offers them again.
                    self.kept_all = false;
                }
            });
        }
        self.pushed += records.len() as u64;
        Ask::Take {
            partition: self.partition.0,
            at_ms: self.at_ms,
            records,
        }
    }
}
