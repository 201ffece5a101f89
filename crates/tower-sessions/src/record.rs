//! From a session to what lies in the store, and back: its data as JSON, its expiry as the deadline.

use henge_versioning::{NEVER, RecordRef};
use time::OffsetDateTime;
use tower_sessions_core::{
    session::{Id, Record},
    session_store::{Error, Result},
};

pub(crate) fn encode(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec(&record.data).map_err(|error| Error::Encode(error.to_string()))
}

/// Milliseconds since 1970; what lies before is over.
pub(crate) fn deadline(expiry: OffsetDateTime) -> u64 {
    u64::try_from(expiry.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// The session in a stored record, unless it is over.
pub(crate) fn decode(id: Id, bytes: &[u8], now_ms: u64) -> Result<Option<Record>> {
    let record = RecordRef::parse(bytes).map_err(|error| Error::Decode(error.to_string()))?;
    if !record.is_live(now_ms) {
        return Ok(None);
    }
    let Some(value) = record.value() else {
        let text = "it is no plain value: something else writes under this prefix";
        return Err(Error::Decode(text.to_owned()));
    };
    let data = serde_json::from_slice(value).map_err(|error| Error::Decode(error.to_string()))?;
    Ok(Some(Record {
        id,
        data,
        expiry_date: expiry(record.deadline().at),
    }))
}

/// The time that a deadline stands for; the latest there is for one that never comes.
fn expiry(deadline_ms: u64) -> OffsetDateTime {
    let latest = time::PrimitiveDateTime::MAX.assume_utc();
    if deadline_ms == NEVER {
        return latest;
    }
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(deadline_ms) * 1_000_000).unwrap_or(latest)
}

#[cfg(test)]
mod tests {
    use henge_versioning::{ActorId, HlcTime, Stamp, delta};

    use super::*;

    fn session(expiry_ms: i64) -> Record {
        let data = [("user".to_owned(), serde_json::json!({ "name": "ada" }))];
        let expiry = i128::from(expiry_ms) * 1_000_000;
        Record {
            id: Id(7),
            data: data.into_iter().collect(),
            expiry_date: OffsetDateTime::from_unix_timestamp_nanos(expiry).expect("in range"),
        }
    }

    fn stored(deadline: u64, value: &[u8]) -> Vec<u8> {
        let epoch = Stamp {
            time: HlcTime(1),
            actor: ActorId(1),
        };
        let mut bytes = Vec::new();
        delta::begin(&mut bytes, epoch, deadline, value);
        bytes
    }

    #[test]
    fn a_session_comes_back_as_it_was_until_it_expires() {
        let session = session(1_700_000_000_123);
        let at = deadline(session.expiry_date);
        assert_eq!(at, 1_700_000_000_123);
        let bytes = stored(at, &encode(&session).expect("encodes"));
        let decoded = decode(Id(7), &bytes, at - 1).expect("decodes");
        assert_eq!(decoded, Some(session));
        assert_eq!(decode(Id(7), &bytes, at).expect("decodes"), None);
    }

    #[test]
    fn times_outside_of_what_the_store_has() {
        assert_eq!(deadline(session(-5).expiry_date), 0);
        let latest = time::PrimitiveDateTime::MAX.assume_utc();
        assert_eq!(expiry(NEVER), latest);
        assert_eq!(expiry(NEVER - 1), latest);
    }

    #[test]
    fn what_something_else_has_written_is_an_error_and_no_session() {
        for value in [&b"not json"[..], b"[1]", b""] {
            let decoded = decode(Id(7), &stored(NEVER, value), 5);
            assert!(matches!(decoded, Err(Error::Decode(_))), "{decoded:?}");
        }
        assert!(decode(Id(7), b"\xff", 5).is_err());
    }
}
