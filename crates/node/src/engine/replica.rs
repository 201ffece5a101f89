//! This node as a replica: messages of other coordinators, and their answers to ours.

use henge_coordinator::{OpId, Refusal};
use henge_ring::{NodeId, Token};
use henge_rpc::{Message, Messages, Refusal as Refused, Replies, Reply, WireError, WriteStatus};
use henge_store::{Decision, Key, StoreError, Warm};
use henge_versioning::{Merge, RecordRef, merge_records};

use super::{Engine, Now, coordinate_read::Answer, operation::InFlight};
use crate::Kind;

/// Messages in a batch from which on warming the store's caches pays.
const WARM_FROM: usize = 4;

impl Engine {
    /// A batch from a peer; answers are appended to `replies`, which travels back.
    pub fn receive_batch(&mut self, now: Now, from: NodeId, batch: &[u8], replies: &mut Vec<u8>) {
        self.adopt(now);
        self.sender_tag = 0;
        (self.under, self.decided) = (None, false);
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.clear();
        let mut only_reads = true;
        tokens.extend(Messages::new(batch).map(|message| {
            only_reads &= matches!(message, Ok(Message::Read { .. } | Message::View { .. }));
            token_of(&message)
        }));
        // One after the other the keys would wait for memory one after the other.
        if tokens.len() >= WARM_FROM {
            let wanted = if only_reads {
                Warm::Digests
            } else {
                Warm::Updates
            };
            self.parts.store.warm(keys(&tokens), wanted);
        }
        for (message, &token) in Messages::new(batch).zip(&tokens) {
            let Ok(message) = message else {
                // The rest of the batch cannot be told apart any more; its sender times out.
                self.parts.counters.bad_messages.add(1);
                break;
            };
            self.parts.counters.messages_handled.add(1);
            self.receive(now, from, &message, token, replies);
        }
        self.tokens = tokens;
    }

    fn receive(
        &mut self,
        now: Now,
        from: NodeId,
        message: &Message<'_>,
        token: Token,
        replies: &mut Vec<u8>,
    ) {
        match *message {
            Message::Write {
                op,
                hint_for,
                key,
                record,
            } => {
                let decided = std::mem::take(&mut self.decided);
                if hint_for.is_none() && self.is_refused(now, from, token, (op, decided), replies) {
                    return;
                }
                let answer = self.keep(now, Key { bytes: key, token }, record);
                if let (Some(owner), Ok(_)) = (hint_for, &answer) {
                    let owner = self.peers.slot_or_new(owner);
                    self.keep_hint(now, owner, key);
                }
                let reply = match &answer {
                    Ok(status) => Reply::Wrote {
                        op,
                        status: *status,
                    },
                    Err(NotKept::Refused(reason)) => Reply::Refused {
                        op,
                        reason: *reason,
                    },
                    Err(NotKept::Overruled(by)) => Reply::Record { op, record: by },
                };
                self.answer(&reply, replies);
            }
            Message::Read { op, digest, key } => {
                if self.is_refused(now, from, token, (op, false), replies) {
                    return;
                }
                self.show(op, digest, Key { bytes: key, token }, replies);
            }
            Message::Repair { key, record } => {
                // Unasked for and unconfirmed: a refusal is made good by the next read.
                let _ = self.keep(now, Key { bytes: key, token }, record);
            }
            Message::Forward { op, request } => self.coordinate_for(now, from, op, request),
            Message::Decided => self.decided = true,
            Message::Forwarded { op, outcome } => self.forward_answered(from, op, outcome),
            Message::View { tag } => self.sender_tag = tag,
            Message::Under { sets } => {
                let digests = sets.chunks_exact(8).filter_map(|it| it.first_chunk());
                self.under = Some(digests.map(|it| u64::from_le_bytes(*it)).collect());
            }
        }
    }

    /// The fence: refuses a request that does not count in every set which is active here, and a decided
    /// write that counts in any other as well. Nothing to look at where the sender has the same ring and no
    /// partition moves.
    #[inline]
    fn is_refused(
        &mut self,
        now: Now,
        from: NodeId,
        token: Token,
        (op, decided): (u64, bool),
        replies: &mut Vec<u8>,
    ) -> bool {
        let under = match &self.under {
            Some(_) => self.under.take(),
            None => None,
        };
        let same_ring = self.sender_tag == self.snapshot.tag && !self.in_motion;
        if same_ring && (!decided || under.is_none()) {
            return false;
        }
        let refused = self.snapshot.tag != 0 && !self.admits(token, under.as_deref(), decided);
        if refused {
            self.parts.counters.stale_refused.add(1);
            let reason = Refused::Stale;
            self.answer(&Reply::Refused { op, reason }, replies);
        }
        if self.sender_tag != self.snapshot.tag {
            self.ask_news(now, from);
        }
        refused
    }

    /// A peer's answers to one of our batches.
    pub fn receive_replies(&mut self, now: Now, from: NodeId, replies: &[u8]) {
        self.adopt(now);
        let Some(from) = self.peers.slot(&from) else {
            return;
        };
        for reply in Replies::new(replies) {
            let Ok(reply) = reply else {
                self.parts.counters.bad_messages.add(1);
                return;
            };
            match reply {
                Reply::Wrote { op, .. } => self.kept_by(now, OpId(op), from),
                Reply::Refused { op, reason } => self.refused_by(now, OpId(op), from, reason),
                Reply::Same { op } => self.read_answered(now, OpId(op), from, Answer::Same),
                Reply::Absent { op } => self.read_answered(now, OpId(op), from, Answer::Absent),
                Reply::Record { op, record } => {
                    self.read_answered(now, OpId(op), from, Answer::Record(record));
                }
            }
        }
    }

    fn kept_by(&mut self, now: Now, id: OpId, from: super::Slot) {
        if self.sampling.is_sampled_write(id) {
            self.sampling.write_heard(now, from);
        }
        match self.operations.get_mut(id) {
            Some(InFlight::Write(_)) => self.write_acked(now, id, from),
            Some(InFlight::Read(_)) => self.read_repaired(now, id, from, true),
            Some(InFlight::Hint(_)) => self.hint_acked(id, from),
            Some(InFlight::Forward(_) | InFlight::Held(_) | InFlight::Probe(_)) | None => {}
        }
    }

    fn refused_by(&mut self, now: Now, id: OpId, from: super::Slot, reason: Refused) {
        self.sampling.refused(id, from);
        let for_nobody = matches!(
            self.operations.get(id),
            Some(InFlight::Hint(_) | InFlight::Probe(_))
        );
        if reason == Refused::Stale && !for_nobody {
            return self.refused_as_stale(now, id, from);
        }
        match self.operations.get_mut(id) {
            Some(InFlight::Write(_)) => self.write_refused(now, id, from, refusal(reason)),
            Some(InFlight::Read(_)) => self.read_answered(now, id, from, Answer::No),
            Some(InFlight::Hint(_)) => self.hint_due(now, id),
            Some(InFlight::Probe(_)) => self.give_up_probe(id),
            Some(InFlight::Forward(_) | InFlight::Held(_)) | None => {}
        }
    }

    /// Merges a record that a coordinator sent.
    pub(super) fn keep(
        &mut self,
        now: Now,
        key: Key<'_>,
        record: &[u8],
    ) -> Result<WriteStatus, NotKept> {
        let incoming = RecordRef::parse(record).map_err(|_| NotKept::Refused(Refused::Other))?;
        if self
            .parts
            .clock
            .observe(incoming.newest().time, now.wall_ms)
            .is_err()
        {
            self.parts.counters.skew_refused.add(1);
            return Err(NotKept::Refused(Refused::Skew));
        }
        let (mut status, mut overruling) = (WriteStatus::Applied, None);
        let buckets = &self.buckets;
        let merged = self.parts.store.update(key, &mut |present, out| {
            let Some(present) = present.map(|stored| stored.record()) else {
                return Decision::Put(incoming);
            };
            if present.is_dead() && !incoming.is_dead() && present.epoch() >= incoming.epoch() {
                status = WriteStatus::Absorbed;
            } else if present.epoch() > incoming.epoch()
                && buckets.of(key.bytes).kind == Kind::Session
            {
                overruling = Some(present.as_bytes().to_vec());
                return Decision::Keep;
            }
            match merge_records(present, incoming, out) {
                Merge::Joined => Decision::Write,
                Merge::Incoming => Decision::Put(incoming),
                Merge::Unchanged => Decision::Keep,
            }
        });
        match (merged, overruling) {
            (Ok(_), Some(by)) => {
                self.parts.counters.overruled.add(1);
                Err(NotKept::Overruled(by))
            }
            (Ok(_), None) => Ok(status),
            (Err(StoreError::Full { .. }), _) => {
                self.parts.counters.full_refused.add(1);
                Err(NotKept::Refused(Refused::Full))
            }
            (Err(_), _) => Err(NotKept::Refused(Refused::Other)),
        }
    }

    /// Answers a read: the same as the reader holds, or the record.
    fn show(&self, op: u64, digest: u64, key: Key<'_>, replies: &mut Vec<u8>) {
        if !self.filled {
            return self.answer(
                &Reply::Refused {
                    op,
                    reason: Refused::NotReady,
                },
                replies,
            );
        }
        match self.parts.store.digest(key) {
            None => self.answer(&Reply::Absent { op }, replies),
            Some(held) if held == digest => self.answer(&Reply::Same { op }, replies),
            Some(_) => self.parts.store.read(key, &mut |stored| {
                let record = stored.map(|stored| stored.bytes);
                let reply =
                    record.map_or(Reply::Absent { op }, |record| Reply::Record { op, record });
                self.answer(&reply, replies);
            }),
        }
    }

    fn answer(&self, reply: &Reply<'_>, replies: &mut Vec<u8>) {
        if let Err(error) = reply.encode(replies) {
            debug_assert!(false, "what is stored was checked on its way in: {error}");
            self.parts.counters.bad_messages.add(1);
        }
    }
}

/// Why a replica has not kept a record.
pub(super) enum NotKept {
    /// It could not.
    Refused(Refused),
    /// This is a later life of the session: the record would never be seen beside it. Somebody began
    /// that life who knew of one before, and whoever sent the record did not.
    Overruled(Vec<u8>),
}

/// What a message has that is about no key.
const NO_KEY: Token = Token(0);

/// The tokens worth warming: not that of the tag with which every batch begins.
#[inline]
fn keys(tokens: &[Token]) -> &[Token] {
    match tokens {
        [NO_KEY, keys @ ..] => keys,
        keys => keys,
    }
}

/// The token of the key a message is about, or [`NO_KEY`].
fn token_of(message: &Result<Message<'_>, WireError>) -> Token {
    match message {
        Ok(
            Message::Write { key, .. } | Message::Read { key, .. } | Message::Repair { key, .. },
        ) => Token::of(key),
        Ok(
            Message::Forward { .. }
            | Message::Forwarded { .. }
            | Message::View { .. }
            | Message::Under { .. }
            | Message::Decided,
        )
        | Err(_) => NO_KEY,
    }
}

fn refusal(reason: Refused) -> Refusal {
    match reason {
        Refused::Full => Refusal::Full,
        Refused::NotReady | Refused::Stale => Refusal::Layout,
        Refused::Skew => Refusal::Skew,
        Refused::TooLarge | Refused::Other => Refusal::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_batch_is_not_warmed_and_every_key_is() {
        let mut batch = Vec::new();
        let view = Message::View { tag: 7 };
        view.encode(&mut batch).expect("short");
        for key in [b"a", b"b"] {
            let read = Message::Read {
                op: 1,
                digest: 0,
                key,
            };
            read.encode(&mut batch).expect("short");
        }
        let tokens: Vec<_> = Messages::new(&batch).map(|it| token_of(&it)).collect();
        assert_eq!(tokens.len(), 3);
        assert_eq!(keys(&tokens), [Token::of(b"a"), Token::of(b"b")]);
        assert_eq!(keys(&tokens[1..]), &tokens[1..], "a batch without a tag");
    }
}
