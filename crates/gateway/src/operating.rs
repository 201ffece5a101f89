//! What operators ask of one node's replicas, as JSON for both doors: how far anti-entropy has come,
//! exports, changes.

use base64::{Engine, engine::general_purpose::STANDARD};
use henge_node::{ChangesPage, ExportPage, Exported, Handle};
use henge_versioning::{NEVER, RecordRef};
use serde_json::{Value, json};

use crate::replica_state::state;

/// `{"totals": {…}, "peers": [{"node", "up", "left", "round_age_ms", "next_round_ms"}]}`.
pub(crate) fn repair_json(node: &Handle) -> Value {
    let (totals, peers) = node.repair_progress();
    let totals = totals
        .each()
        .map(|(name, _, count)| (name.to_owned(), count.into()));
    let peers = peers.iter().map(|peer| {
        json!({
            "node": peer.peer.to_string(),
            "up": peer.is_up,
            "left": peer.left,
            "round_age_ms": peer.round_age_ms,
            "next_round_ms": peer.next_in_ms,
        })
    });
    json!({
        "node": node.info().id.to_string(),
        "totals": totals.collect::<serde_json::Map<_, _>>(),
        "peers": peers.collect::<Vec<_>>(),
    })
}

/// `{"records": […], "next": token or null}`; a token is text, since JSON's numbers are too short.
pub(crate) fn export_json(page: &ExportPage, now_ms: u64) -> Value {
    let records = page.records.iter().map(|it| record_json(it, now_ms));
    json!({
        "records": records.collect::<Vec<_>>(),
        "next": page.next.map(|token| token.to_string()),
    })
}

/// `{"life", "next", "end", "changes": [{"seq", …}]}`.
pub(crate) fn changes_json(page: &ChangesPage, now_ms: u64) -> Value {
    let changes = page.changes.iter().map(|(seq, exported)| {
        let mut change = record_json(exported, now_ms);
        change["seq"] = (*seq).into();
        change
    });
    json!({
        "life": page.life.to_string(),
        "next": page.next,
        "end": page.end,
        "changes": changes.collect::<Vec<_>>(),
    })
}

/// One record: its key (`key_base64` if it is no text), its state, its time, its values in base64,
/// and the whole of it as replicas keep it.
fn record_json(exported: &Exported, now_ms: u64) -> Value {
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let mut shown = json!({ "record": base64(&exported.record) });
    match std::str::from_utf8(&exported.key) {
        Ok(key) => shown["key"] = key.into(),
        Err(_) => shown["key_base64"] = base64(&exported.key).into(),
    }
    let Ok(record) = RecordRef::parse(&exported.record) else {
        return shown;
    };
    let at = record.deadline().at;
    shown["state"] = state(&record, now_ms).into();
    shown["deadline_ms"] = (at != NEVER).then_some(at).into();
    let changed = record.newest().time.millis();
    // A destroyed session does not tell when it was.
    shown["changed_ms"] = (changed > 0).then_some(changed).into();
    shown["values"] = record.siblings().map(base64).collect();
    let fields = record.fields().filter(|(name, _)| !name.is_empty());
    let fields = fields.map(|(name, value)| {
        let name = String::from_utf8_lossy(name).into_owned();
        (name, Value::from(base64(value)))
    });
    shown["fields"] = fields.collect::<serde_json::Map<_, _>>().into();
    shown
}
