//! Records, receipts and replicas' views as the maps that `HENGE.*` commands answer with.

use henge_node::{Done, Receipt, ReplicaAnswer, ReplicaRole, ReplicaView};
use henge_versioning::{Context, ContextKey, Form, RecordRef};

use super::{
    deadline::{Base, Unit, told},
    names,
    reply::Reply,
};
use crate::replica_state::ReplicaState;

fn pair(name: &str, value: Reply) -> (Reply, Reply) {
    (Reply::text(name), value)
}

/// What a reader sees: `values` (none, one, or siblings), `fields`, `ttl_ms` (-1: no deadline, -2:
/// absent); `context` and `receipt` where they were asked for.
pub(super) fn read(
    record: Option<RecordRef<'_>>,
    now_ms: u64,
    token: Option<String>,
    receipt: Option<&Receipt>,
) -> Reply {
    let values = record.map_or_else(Vec::new, |record| match record.form() {
        Form::Fields | Form::Empty => Vec::new(),
        Form::Value | Form::Siblings => record.siblings().map(Reply::text).collect(),
    });
    let fields = record.filter(|record| record.form() == Form::Fields);
    let fields = fields.map_or_else(Vec::new, |record| {
        record
            .fields()
            .map(|(name, value)| {
                let name = names::field_of(name).unwrap_or(name);
                (Reply::text(name), Reply::text(value))
            })
            .collect()
    });
    let ttl = record.map_or(-2, |record| {
        told(record.deadline().at, Unit::Millis, Base::Now, now_ms)
    });
    let mut pairs = vec![
        pair("values", Reply::Array(values)),
        pair("fields", Reply::Map(fields)),
        pair("ttl_ms", Reply::Integer(ttl)),
    ];
    pairs.extend(token.map(|token| pair("context", Reply::text(token))));
    pairs.extend(receipt.map(|receipt| pair("receipt", receipt_map(receipt))));
    Reply::Map(pairs)
}

/// What a write did: `applied`, `absorbed`; `context` and `receipt` where they were asked for.
pub(super) fn written(done: &Done, receipt: Option<&Receipt>, token: Option<String>) -> Reply {
    let mut pairs = vec![
        pair("applied", Reply::from(done.applied)),
        pair("absorbed", Reply::from(done.absorbed)),
    ];
    pairs.extend(token.map(|token| pair("context", Reply::text(token))));
    pairs.extend(receipt.map(|receipt| pair("receipt", receipt_map(receipt))));
    Reply::Map(pairs)
}

/// The token of what a record shows, for this key only. `None`: of more fields than it can name.
pub(crate) fn seal(record: Option<&[u8]>, secret: &ContextKey, key: &[u8]) -> Option<String> {
    let context = match record.and_then(|bytes| RecordRef::parse(bytes).ok()) {
        Some(record) => Context::of(record)?,
        None => Context::default(),
    };
    Some(context.seal(secret, key))
}

/// The token of what a write wrote, for this key only, if it was told so.
pub(crate) fn seal_written(
    receipt: Option<&Receipt>,
    secret: &ContextKey,
    key: &[u8],
) -> Option<String> {
    let written = receipt?.written.as_deref()?;
    Some(written.seal(secret, key))
}

fn receipt_map(receipt: &Receipt) -> Reply {
    let places = receipt.places.iter().map(|place| {
        let mut pairs = vec![pair("node", Reply::text(place.node.to_string()))];
        match place.role {
            ReplicaRole::Primary => pairs.push(pair("role", Reply::text("primary"))),
            ReplicaRole::FallbackFor(primary) => pairs.extend([
                pair("role", Reply::text("fallback")),
                pair("for", Reply::text(primary.to_string())),
            ]),
        }
        pairs.push(pair("answer", Reply::text(answer_name(place.answer))));
        Reply::Map(pairs)
    });
    Reply::Map(vec![
        pair("needed", Reply::Integer(i64::from(receipt.needed))),
        pair("places", Reply::Array(places.collect())),
    ])
}

/// What a replica said, in a word.
pub(crate) fn answer_name(answer: ReplicaAnswer) -> &'static str {
    match answer {
        ReplicaAnswer::InMemory => "memory",
        ReplicaAnswer::Durable => "durable",
        ReplicaAnswer::Pending => "pending",
        ReplicaAnswer::Failed => "failed",
    }
}

/// What one replica holds.
pub(super) fn replica(view: &ReplicaView, now_ms: u64) -> Reply {
    let state = ReplicaState::of(view, now_ms);
    let text = |text: Option<String>| text.map_or(Reply::Null, Reply::text);
    let number = |number: Option<u64>| number.map_or(Reply::Null, |n| Reply::Integer(n as i64));
    Reply::Map(vec![
        pair("node", Reply::text(&state.node)),
        pair("place", Reply::Integer(state.place as i64)),
        pair("state", Reply::text(state.state)),
        pair("epoch", text(state.epoch)),
        pair("deadline", number(state.deadline_ms)),
        pair("ttl_ms", state.ttl_ms.map_or(Reply::Null, Reply::Integer)),
        pair("digest", text(state.digest)),
        pair("size", number(state.size.map(|size| size as u64))),
        pair("reason", text(state.reason)),
    ])
}
