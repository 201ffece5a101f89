//! Mistakes in what newcomers pull: the answers to questions about moving partitions.

use henge_repair::transfer::News;
use henge_versioning::RecordRef;
use serde::{Deserialize, Serialize};

use super::Planted;

/// An answer in its wire format, as `crates/node/src/engine/calls.rs` has it.
#[derive(Serialize, Deserialize)]
struct Answer {
    have: u64,
    news: News,
    page: Option<Page>,
    rest_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Page {
    next: Option<u64>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Makes the planted mistake, if it is one of these, of an answer on its way.
pub(in crate::sim) fn answer(planted: Planted, bytes: &mut Vec<u8>) {
    let keeps: fn(&[u8]) -> bool = match planted {
        Planted::SwitchedBeforeTransfer => |_| false,
        Planted::TombstoneNotMoved => {
            |record| RecordRef::parse(record).is_ok_and(|record| !record.is_dead())
        }
        _ => return,
    };
    if bytes.is_empty() {
        return; // there is none
    }
    let mut answer = whole(bytes);
    let Some(page) = &mut answer.page else { return };
    page.records.retain(|(_, record)| keeps(record));
    if let Ok(changed) = postcard::to_allocvec(&answer) {
        *bytes = changed;
    }
}

/// The answer in these bytes, all of it.
///
/// # Panics
/// If anything is left over, or missing. Once a field had been added to the wire format and not here:
/// what was written back lacked it, nobody could read it, so no newcomer ever got a page, and two
/// mistakes went unnoticed because they were no longer made.
fn whole(bytes: &[u8]) -> Answer {
    let answer = postcard::take_from_bytes(bytes);
    match answer {
        Ok((answer, [])) => answer,
        _ => panic!("an answer about moving partitions has another format than the exam knows"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, News, Page, Planted, answer};

    #[test]
    fn a_page_loses_what_it_should_and_nothing_else() {
        let page = Page {
            next: Some(7),
            records: vec![(b"key".to_vec(), b"no record at all".to_vec())],
        };
        let whole = Answer {
            have: 3,
            news: News::default(),
            page: Some(page),
            rest_ms: 0,
        };
        let bytes = postcard::to_allocvec(&whole).expect("it can be encoded");
        let mut same = bytes.clone();
        answer(Planted::FenceOff, &mut same);
        assert_eq!(same, bytes);
        let mut emptied = bytes;
        answer(Planted::SwitchedBeforeTransfer, &mut emptied);
        let emptied: Answer = postcard::from_bytes(&emptied).expect("it is an answer");
        let page = emptied.page.expect("it still has a page");
        assert_eq!(
            (emptied.have, page.next, page.records.len()),
            (3, Some(7), 0)
        );
    }
}
