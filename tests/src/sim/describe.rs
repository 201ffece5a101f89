//! Messages and records for people: what traces and scenario transcripts show.

use henge_repair::reconcile::{Answer, Ask as Question, Records};
use henge_rpc::{Message, Messages, Replies, Reply, WireError, WriteStatus};
use henge_versioning::{Form, RecordRef};

use super::ask::{Ask, What};

/// A question of anti-entropy.
pub(super) fn question(bytes: &[u8]) -> String {
    match Question::decode(bytes) {
        Err(error) => error.to_string(),
        Ok(Question::RollUps { partitions, .. }) => format!("equal in {partitions:?}?"),
        Ok(Question::Symbols {
            partition,
            from,
            count,
            ..
        }) => format!("symbols {from} to {} of {partition}?", from + count - 1),
        Ok(Question::Changes {
            partition, since, ..
        }) => format!("changes of {partition} from {since}?"),
        Ok(Question::List { partition, .. }) => format!("everything in {partition}?"),
        Ok(Question::Records { partition, .. }) => format!("records of {partition}?"),
        Ok(Question::Offer { partition, .. }) => format!("offers records of {partition}"),
        Ok(Question::Take { records, .. }) => format!("take {}", all(&records)),
    }
}

/// An answer of anti-entropy.
pub(super) fn answer(bytes: &[u8]) -> String {
    match Answer::decode(bytes) {
        Err(error) => error.to_string(),
        Ok(Answer::RollUps { compared, .. }) => format!("{compared:?}"),
        Ok(Answer::Symbols { members, .. }) => format!("symbols of {members} records"),
        Ok(Answer::Listed { entries, .. }) => format!("{} records", entries.pairs().count()),
        Ok(Answer::Records { records, .. }) => all(&records),
        Ok(Answer::Lacks(tokens)) => format!("lacks {}", tokens.0.len()),
        Ok(Answer::Taken { kept, refused }) => format!("kept {kept}, refused {refused}"),
        Ok(other @ (Answer::Gap | Answer::Stale | Answer::Refused(_))) => format!("{other:?}"),
    }
}

fn all(records: &Records) -> String {
    let all = records.iter();
    let all = all.map(|(key, bytes)| format!("{} {}", text(key), record(bytes)));
    all.collect::<Vec<_>>().join("; ")
}

/// A batch of messages, in order.
pub(super) fn batch(bytes: &[u8]) -> String {
    let one = |message: Result<Message<'_>, WireError>| match message {
        Ok(Message::Write {
            hint_for,
            key,
            record: bytes,
            ..
        }) => {
            let hint = hint_for
                .map(|node| format!(" (for n{})", node.0[0]))
                .unwrap_or_default();
            format!("write{hint} {} {}", text(key), record(bytes))
        }
        Ok(Message::Read { key, .. }) => format!("read {}", text(key)),
        Ok(Message::Repair { key, record: bytes }) => {
            format!("repair {} {}", text(key), record(bytes))
        }
        Ok(Message::Forward { .. }) => "please coordinate".to_owned(),
        Ok(Message::Forwarded { .. }) => "coordinated".to_owned(),
        Ok(Message::View { .. }) => "under another ring".to_owned(),
        Ok(Message::Under { sets }) => format!("in {} sets", sets.len() / 8),
        Ok(Message::Decided) => "decided".to_owned(),
        Err(error) => error.to_string(),
    };
    // Every batch begins with the ring's tag.
    let messages = Messages::new(bytes).enumerate();
    let told = messages.filter(|(at, it)| *at > 0 || !matches!(it, Ok(Message::View { .. })));
    told.map(|(_, message)| one(message))
        .collect::<Vec<_>>()
        .join("; ")
}

/// A batch of answers, in order.
pub(super) fn replies(bytes: &[u8]) -> String {
    let one = |reply: Result<Reply<'_>, WireError>| match reply {
        Ok(Reply::Wrote {
            status: WriteStatus::Applied,
            ..
        }) => "kept".to_owned(),
        Ok(Reply::Wrote { .. }) => "absorbed".to_owned(),
        Ok(Reply::Refused { reason, .. }) => format!("refused: {reason:?}"),
        Ok(Reply::Same { .. }) => "the same".to_owned(),
        Ok(Reply::Absent { .. }) => "nothing".to_owned(),
        Ok(Reply::Record { record: bytes, .. }) => record(bytes),
        Err(error) => error.to_string(),
    };
    Replies::new(bytes).map(one).collect::<Vec<_>>().join("; ")
}

/// A record's content, without its stamps.
pub(super) fn record(bytes: &[u8]) -> String {
    let Ok(record) = RecordRef::parse(bytes) else {
        return "broken".to_owned();
    };
    if record.is_dead() {
        return "destroyed".to_owned();
    }
    let values: Vec<String> = match record.form() {
        Form::Empty => Vec::new(),
        Form::Value => record.value().map(text).into_iter().collect(),
        Form::Fields => record.fields().map(|(_, value)| text(value)).collect(),
        Form::Siblings => record.siblings().map(text).collect(),
    };
    format!("{{{}}}", values.join(" "))
}

/// A request.
pub(super) fn ask(ask: &Ask) -> String {
    let what = match &ask.what {
        What::Get => "get".to_owned(),
        What::PutSibling(element, _) | What::PutRegister(element) => format!("put {element}"),
        What::PutField(element, _) => format!("put {element}"),
        What::DeleteSiblings(_) => "delete what was seen".to_owned(),
        What::Touch(at) => format!("touch {at}"),
        What::Logout => "log out".to_owned(),
    };
    format!("{} {what}", ask.key)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
