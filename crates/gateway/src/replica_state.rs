//! What one replica holds of a key, for `HENGE.EXPLAIN` and `/v1/explain`.

use henge_node::ReplicaView;
use henge_versioning::{NEVER, RecordRef};
use serde::Serialize;

/// One replica's record, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReplicaState {
    /// The replica.
    pub(crate) node: String,
    /// Primary number, from 0.
    pub(crate) place: usize,
    /// `alive`, `dead`, `expired`, `absent` or `unreachable`.
    pub(crate) state: &'static str,
    /// Stamp of the life it belongs to: hybrid time and actor.
    pub(crate) epoch: Option<String>,
    /// Milliseconds since 1970; `None` if there is none.
    pub(crate) deadline_ms: Option<u64>,
    /// Milliseconds left; -1 without a deadline.
    pub(crate) ttl_ms: Option<i64>,
    /// Digest of the record: equal ones mean equal records.
    pub(crate) digest: Option<String>,
    /// Bytes of the record.
    pub(crate) size: Option<usize>,
    /// Why it did not answer.
    pub(crate) reason: Option<String>,
}

impl ReplicaState {
    /// Describes a view at `now_ms`.
    pub(crate) fn of(view: &ReplicaView, now_ms: u64) -> Self {
        let nothing = |state, reason| Self {
            node: view.node.to_string(),
            place: view.place,
            state,
            epoch: None,
            deadline_ms: None,
            ttl_ms: None,
            digest: None,
            size: None,
            reason,
        };
        let bytes = match &view.record {
            Err(reason) => return nothing("unreachable", Some(reason.clone())),
            Ok(None) => return nothing("absent", None),
            Ok(Some(bytes)) => bytes,
        };
        match RecordRef::parse(bytes) {
            Err(error) => nothing("unreachable", Some(error.to_string())),
            Ok(record) => Self {
                size: Some(bytes.len()),
                ..nothing(state(&record, now_ms), None)
            }
            .described(&record, now_ms),
        }
    }

    fn described(mut self, record: &RecordRef<'_>, now_ms: u64) -> Self {
        let (epoch, at) = (record.epoch(), record.deadline().at);
        self.epoch = Some(format!("{:016x}-{:016x}", epoch.time.0, epoch.actor.0));
        self.deadline_ms = (at != NEVER).then_some(at);
        self.ttl_ms = Some(match at {
            NEVER => -1,
            at => i64::try_from(at.saturating_sub(now_ms)).unwrap_or(i64::MAX),
        });
        self.digest = Some(format!("{:016x}", record.digest()));
        self
    }
}

/// `alive`, `dead`, `expired`, or `absent`: nothing that a reader could see.
pub(crate) fn state(record: &RecordRef<'_>, now_ms: u64) -> &'static str {
    match () {
        () if record.is_dead() => "dead",
        () if record.is_live(now_ms) => "alive",
        () if record.deadline().at <= now_ms => "expired",
        () => "absent",
    }
}
