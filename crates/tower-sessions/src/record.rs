//! From a session to what lies in the store, and back: its data as JSON, its expiry as the deadline.

use std::collections::HashMap;

use henge_node::ValueSession;
use henge_versioning::NEVER;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::{
    session::{Id, Record},
    session_store::{Error, Result},
};

/// In the data of a session that is somebody's: whose, as the store knows. It is not written again with
/// every save.
pub(crate) const OWNER: &str = "henge.principal";

/// The data of a session that is, or becomes, `owner`'s.
pub(crate) fn encode(record: &Record, owner: Option<&str>) -> Result<Vec<u8>> {
    let data = record.data.iter().filter(|(name, _)| *name != OWNER);
    let mut data: HashMap<&str, &Value> =
        data.map(|(name, value)| (name.as_str(), value)).collect();
    let owner = owner.map(Value::from);
    data.extend(owner.as_ref().map(|owner| (OWNER, owner)));
    serde_json::to_vec(&data).map_err(|error| Error::Encode(error.to_string()))
}

/// Whose session a record is as it was loaded.
pub(crate) fn owner(record: &Record) -> Option<&str> {
    record.data.get(OWNER)?.as_str()
}

/// A user by the field that names one.
pub(crate) fn user(field: &Value) -> Option<String> {
    match field {
        Value::String(name) => Some(name.clone()).filter(|name| !name.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Milliseconds since 1970; what lies before is over.
pub(crate) fn deadline(expiry: OffsetDateTime) -> u64 {
    u64::try_from(expiry.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// The session in what is stored.
pub(crate) fn decode(id: Id, session: &ValueSession) -> Result<Record> {
    let Some(value) = &session.value else {
        let text = "it is no plain value: something else writes under this prefix";
        return Err(Error::Decode(text.to_owned()));
    };
    let data = serde_json::from_slice(value).map_err(|error| Error::Decode(error.to_string()))?;
    Ok(Record {
        id,
        data,
        expiry_date: expiry(session.deadline),
    })
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

    fn stored(deadline: u64, value: &[u8]) -> ValueSession {
        let value = Some(value.to_vec());
        ValueSession { value, deadline }
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let session = session(1_700_000_000_123);
        let at = deadline(session.expiry_date);
        assert_eq!(at, 1_700_000_000_123);
        let bytes = encode(&session, None).expect("encodes");
        let decoded = decode(Id(7), &stored(at, &bytes)).expect("decodes");
        assert_eq!(decoded, session);
    }

    #[test]
    fn an_owner_is_kept_beside_the_data_and_replaced() {
        let mut session = session(1_700_000_000_123);
        for name in ["ada", "grace"] {
            let bytes = encode(&session, Some(name)).expect("encodes");
            session = decode(Id(7), &stored(NEVER, &bytes)).expect("decodes");
            assert_eq!(owner(&session), Some(name));
        }
        let bytes = encode(&session, None).expect("encodes");
        let none = decode(Id(7), &stored(NEVER, &bytes)).expect("decodes");
        assert_eq!(owner(&none), None);
        assert_eq!(none.data.len(), 1);
    }

    #[test]
    fn users_are_text_or_numbers() {
        let named = [serde_json::json!("ada"), serde_json::json!(42)];
        let named: Vec<_> = named.iter().map(user).collect();
        assert_eq!(named, [Some("ada".to_owned()), Some("42".to_owned())]);
        for other in [
            serde_json::json!(null),
            serde_json::json!(""),
            serde_json::json!({}),
        ] {
            assert_eq!(user(&other), None);
        }
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
            let decoded = decode(Id(7), &stored(NEVER, value));
            assert!(matches!(decoded, Err(Error::Decode(_))), "{decoded:?}");
        }
        let fields = ValueSession {
            value: None,
            deadline: NEVER,
        };
        assert!(decode(Id(7), &fields).is_err());
    }
}
