//! What the steps of a rotation do to a record, and what becomes of other operations under an old id.

use henge_versioning::delta;

use super::{Effect, Facts, limit};
use crate::{
    Condition, Expiry, Kind, Operation,
    hidden::Hidden,
    rotation::{PREDECESSOR_FIELD, SUCCESSOR_FIELD, Step, Successor, retired},
};

impl<'a> Facts<'a> {
    /// What the session is under now, if it was given a new id. One comparison for a plain value.
    #[inline]
    pub(super) fn successor(&self) -> Option<Successor<'a>> {
        match self.kind {
            Kind::Session => Hidden::of(self.present?.as_bytes())?.successor,
            _ => None,
        }
    }

    /// An operation under an old id: it belongs to the new one or, past the grace, to a session that is
    /// no more.
    #[cold]
    pub(super) fn decide_elsewhere(
        &self,
        operation: &Operation<'_>,
        successor: Successor<'_>,
        out: &mut Vec<u8>,
    ) -> Effect {
        if self.when.now_ms < successor.until_ms {
            out.extend_from_slice(successor.key);
            return Effect::Elsewhere;
        }
        match operation {
            Operation::PutFields { .. } | Operation::ReplaceField { .. } => Effect::Absorb,
            Operation::Put {
                condition: Condition::Always | Condition::Absent | Condition::Digest(0),
                ..
            } => Effect::Absorb,
            Operation::Modify {
                condition: Condition::Always | Condition::Absent | Condition::Digest(0),
                ..
            }
            | Operation::Exchange {
                value: Some(_),
                condition: Condition::Always | Condition::Absent | Condition::Digest(0),
                ..
            } => Effect::Absorb,
            _ => Effect::Decline,
        }
    }

    #[cold]
    pub(super) fn decide_step(&self, step: &Step<'_>, out: &mut Vec<u8>) -> Effect {
        match step {
            Step::Whole => Effect::Decline,
            Step::Succeed {
                fields,
                deadline,
                cap,
            } => self.succeed(fields, *deadline, *cap, out),
            Step::HandOver {
                to,
                until_ms,
                digest,
            } => self.hand_over(to, *until_ms, *digest, out),
            Step::Settle { predecessor } => self.settle(predecessor, out),
            Step::Retire { to } => self.retire(to, out),
        }
    }

    fn succeed(
        &self,
        fields: &[(&[u8], &[u8])],
        deadline: u64,
        cap: u64,
        out: &mut Vec<u8>,
    ) -> Effect {
        let wanted = |name: &[u8]| fields.iter().find(|(it, _)| *it == name);
        let is_same = |present: &[u8]| {
            wanted(PREDECESSOR_FIELD).is_some_and(|(_, predecessor)| *predecessor == present)
        };
        let before: Vec<_> = match self.present {
            None => Vec::new(),
            // An attempt of the same rotation was here.
            Some(record)
                if self.successor().is_none()
                    && self.live().is_some()
                    && record.field(PREDECESSOR_FIELD).is_some_and(is_same) =>
            {
                record.fields().map(|(name, _)| name).collect()
            }
            Some(_) => return Effect::Decline,
        };
        let gone = before.iter().filter(|name| wanted(name).is_none());
        let gone = gone.map(|name| (*name, None));
        let put = fields.iter().map(|(name, value)| (*name, Some(*value)));
        let all: Vec<_> = put.chain(gone).collect();
        let effect = self.put_fields(&all, Expiry::At(deadline.min(cap)), out);
        let life = self.live().map_or(self.next_life(), |it| it.epoch());
        // What has ended by now was buried, which no cap undoes.
        limit(life, cap, henge_versioning::NEVER, out);
        effect
    }

    fn hand_over(&self, to: &[u8], until_ms: u64, digest: u64, out: &mut Vec<u8>) -> Effect {
        let Some(record) = self.live() else {
            return Effect::Decline;
        };
        let holds = match self.successor() {
            Some(successor) => successor.key == to,
            None => self.digest == digest,
        };
        if !holds {
            return Effect::Decline;
        }
        let until_ms = self.successor().map_or(until_ms, |it| it.until_ms);
        let value = Successor { until_ms, key: to }.encode();
        let fields = [(SUCCESSOR_FIELD, Some(&value[..]))];
        delta::put_fields(out, record.epoch(), self.stamp, None, &fields);
        self.complete(record, None, out);
        Effect::Apply
    }

    fn settle(&self, predecessor: &[u8], out: &mut Vec<u8>) -> Effect {
        match self.live() {
            Some(record) if record.field(PREDECESSOR_FIELD) == Some(predecessor) => {
                // Not removed: what is left of that would have to be hidden just so.
                self.put_fields(&[(PREDECESSOR_FIELD, Some(b""))], Expiry::Keep, out)
            }
            _ => Effect::Decline,
        }
    }

    fn retire(&self, to: &[u8], out: &mut Vec<u8>) -> Effect {
        match (self.present, self.successor()) {
            (Some(record), Some(successor)) if successor.key == to => {
                delta::bury(out, retired(record.epoch()), self.tombstone_horizon());
                Effect::Apply
            }
            _ => Effect::Decline,
        }
    }
}
