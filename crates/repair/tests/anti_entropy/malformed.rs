//! Bytes from a peer that lies: refused or answered, in bounded time, and never a panic.

use henge_repair::reconcile::{
    Answer, Answering, Ask, Begin, Local, Mark, Next, Session, answer, limits,
};
use henge_ring::Partition;
use henge_versioning::NEVER;
use proptest::prelude::*;

use crate::{
    copy::{Copy, record},
    sessions::{keys, snapshots},
};

fn copy() -> Copy {
    let mut copy = Copy::new(1);
    for key in keys(50) {
        copy.write(&key, &record(1, 1, NEVER, b"value"));
    }
    copy
}

/// Bytes that begin like a message and go on as they like.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (0u8..10, prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(tag, mut rest)| {
        rest.insert(0, tag);
        rest
    })
}

proptest! {
    #[test]
    fn any_question_is_answered_or_refused(bytes in bytes()) {
        let (mut copy, mut snapshots) = (copy(), snapshots());
        if let Ok(ask) = Ask::decode(&bytes) {
            prop_assert_eq!(Ask::decode(&ask.encode()), Ok(ask.clone()));
            let mut from = Answering { replica: &mut copy, snapshots: &mut snapshots };
            let reply = answer(ask, &mut from).encode();
            prop_assert!(Answer::decode(&reply).is_ok());
            prop_assert!(reply.len() <= limits::SYMBOLS * 16 + 100);
        }
    }

    #[test]
    fn any_answers_end_a_session(replies in prop::collection::vec(bytes(), 1..20), log: bool) {
        let (mut copy, mut snapshots) = (copy(), snapshots());
        let mut local = Local { replica: &mut copy, snapshots: &mut snapshots };
        let how = if log { Begin::Log(Mark { life: 1, position: 0 }) } else { Begin::Sketch };
        let (mut session, _) = Session::begin(Partition(5), 1, how, &mut local);
        for reply in replies {
            let Ok(reply) = Answer::decode(&reply) else { continue };
            match session.handle(reply, &mut local) {
                Ok(Next::Ask(ask)) => prop_assert!(Ask::decode(&ask.encode()).is_ok()),
                Ok(Next::Done(_)) | Err(_) => break,
            }
        }
    }
}
