//! Mistakes in what nodes tell each other: batches on their way in, answers on their way out.

use henge_rpc::{Message, Messages, Replies, Reply, WriteStatus};
use henge_store::{Key, Store};
use henge_versioning::RecordRef;

use super::{super::node::Node, Planted};

/// Makes the planted mistake, if it is one of these, of a batch that reaches a node: returns what
/// the engine gets instead, and appends what is answered without it.
pub(in crate::sim) fn receive(
    planted: Planted,
    node: &Node,
    joined_late: bool,
    batch: &[u8],
    replies: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let mut rest = Vec::new();
    let mut under = false;
    for message in Messages::new(batch).flatten() {
        let passed = match (planted, message) {
            (Planted::LyingReplica, Message::Write { op, .. }) => lie(op, replies),
            (Planted::JoinerWithoutWrites, Message::Write { op, .. }) if joined_late && under => {
                lie(op, replies)
            }
            (
                Planted::LastWriterWins,
                Message::Write {
                    op, key, record, ..
                },
            ) if !replaces(node, key, record) => lie(op, replies),
            (Planted::LastWriterWins, Message::Repair { key, record })
                if !replaces(node, key, record) =>
            {
                None
            }
            (Planted::RepairOverwrites, Message::Repair { key, .. }) => {
                forget(node, key);
                Some(message)
            }
            (Planted::FenceOff, message) => unfenced(node, message, replies),
            _ => Some(message),
        };
        under = matches!(message, Message::Under { .. })
            || under && matches!(message, Message::Decided);
        if let Some(message) = passed {
            // What was decoded within the limits can be encoded within them.
            message.encode(&mut rest).ok()?;
        }
    }
    Some(rest)
}

/// Answers a write that is not carried out.
fn lie<'a>(op: u64, replies: &mut Vec<u8>) -> Option<Message<'a>> {
    say(
        replies,
        &Reply::Wrote {
            op,
            status: WriteStatus::Applied,
        },
    );
    None
}

fn say(replies: &mut Vec<u8>, reply: &Reply<'_>) {
    // Replies of fixed length and records that were stored are within the limits.
    let encoded = reply.encode(replies);
    debug_assert!(encoded.is_ok());
}

fn is_tombstone(record: &[u8]) -> bool {
    RecordRef::parse(record).is_ok_and(|record| record.is_dead())
}

/// Whether an incoming record takes the place of the present one, which then goes.
fn replaces(node: &Node, key: &[u8], incoming: &[u8]) -> bool {
    let Ok(incoming) = RecordRef::parse(incoming) else {
        return true;
    };
    let present = node.store.record(key);
    let newer = present.is_none_or(|present| {
        RecordRef::parse(&present).is_ok_and(|it| it.newest() < incoming.newest())
    });
    if newer {
        forget(node, key);
    }
    newer
}

/// The record under a key is gone.
fn forget(node: &Node, key: &[u8]) {
    let key = Key::new(key);
    if let Some(digest) = node.store.digest(key) {
        node.store.remove(key, digest);
    }
}

/// A request that passes the fence: a write dressed up as a hint for this very node, which needs no
/// ring; a read answered by the store.
fn unfenced<'a>(node: &Node, message: Message<'a>, replies: &mut Vec<u8>) -> Option<Message<'a>> {
    match message {
        Message::Write {
            op,
            hint_for: None,
            key,
            record,
        } => Some(Message::Write {
            op,
            hint_for: Some(node.id),
            key,
            record,
        }),
        Message::Read { op, digest, key } => {
            let record = node.store.record(key);
            let reply = match (&record, node.store.digest(Key::new(key))) {
                (Some(_), Some(held)) if held == digest => Reply::Same { op },
                (Some(record), _) => Reply::Record { op, record },
                (None, _) => Reply::Absent { op },
            };
            say(replies, &reply);
            None
        }
        message => Some(message),
    }
}

/// Makes the planted mistake of a node's answers on their way back.
pub(in crate::sim) fn answer(planted: Planted, replies: &mut Vec<u8>) {
    if planted != Planted::TombstoneUnread {
        return;
    }
    let mut rest = Vec::new();
    for reply in Replies::new(replies).flatten() {
        match reply {
            Reply::Record { op, record } if is_tombstone(record) => {
                say(&mut rest, &Reply::Absent { op });
            }
            reply => say(&mut rest, &reply),
        }
    }
    *replies = rest;
}

/// Answers to every write of a batch, as if it had been kept.
pub(in crate::sim) fn as_if_kept(batch: &[u8]) -> Vec<u8> {
    let mut replies = Vec::new();
    for message in Messages::new(batch).flatten() {
        if let Message::Write { op, .. } = message {
            let nothing = lie(op, &mut replies);
            debug_assert!(nothing.is_none());
        }
    }
    replies
}

/// The acknowledgements among a node's answers.
pub(in crate::sim) fn acknowledgements(replies: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for reply in Replies::new(replies).flatten() {
        if matches!(reply, Reply::Wrote { .. }) {
            say(&mut kept, &reply);
        }
    }
    kept
}

/// Whether a batch holds records for a key's own place, as hints on their way home do.
pub(in crate::sim) fn has_writes(batch: &[u8]) -> bool {
    let own = |message| matches!(message, Ok(Message::Write { hint_for: None, .. }));
    Messages::new(batch).any(own)
}
