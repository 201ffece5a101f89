//! Replies leave in the order of commands, whatever the order of endings.

use henge_node::Done;
use proptest::prelude::*;

use super::*;

fn done(applied: bool) -> Outcome {
    Outcome {
        result: Ok(Done {
            applied,
            ..Done::default()
        }),
        receipt: None,
    }
}

fn with<T>(output: &mut BytesMut, act: impl FnOnce(&mut Destination<'_>) -> T) -> T {
    act(&mut Destination {
        output,
        protocol: Protocol::Resp2,
        now_ms: 0,
    })
}

#[test]
fn a_late_head_holds_back_what_is_finished() {
    let (mut queue, mut output) = (ReplyQueue::new(), BytesMut::new());
    let first = queue.begin_request(Shape::Applied, Footprint::Write(1), false);
    let second = queue.begin_steps(Footprint::Read(3), false);
    with(&mut output, |to| {
        queue.answer(Reply::Simple("PONG"), false, to)
    });
    with(&mut output, |to| {
        queue.end_steps(second, Reply::Integer(7), to)
    });
    assert!(output.is_empty() && queue.held() > 0 && queue.len() == 3);
    with(&mut output, |to| queue.end_request(first, done(true), to));
    assert_eq!(&output[..], b":1\r\n:7\r\n+PONG\r\n");
    assert!(queue.is_empty() && queue.held() == 0);
}

#[test]
fn muted_replies_are_not_written_but_keep_their_place() {
    let (mut queue, mut output) = (ReplyQueue::new(), BytesMut::new());
    let first = queue.begin_request(Shape::Ok, Footprint::Write(1), true);
    with(&mut output, |to| queue.answer(Reply::OK, false, to));
    with(&mut output, |to| queue.end_request(first, done(true), to));
    assert_eq!(&output[..], b"+OK\r\n");
}

#[test]
fn an_ending_that_nobody_waits_for_is_ignored() {
    let (mut queue, mut output) = (ReplyQueue::new(), BytesMut::new());
    with(&mut output, |to| queue.end_request(0, done(true), to));
    with(&mut output, |to| queue.end_request(99, done(true), to));
    let number = queue.begin_request(Shape::Ok, Footprint::None, false);
    with(&mut output, |to| queue.end_request(number, done(true), to));
    with(&mut output, |to| queue.end_request(number, done(true), to));
    assert_eq!(&output[..], b"+OK\r\n");
}

#[test]
fn conflicts_end_with_their_command() {
    let (mut queue, mut output) = (ReplyQueue::new(), BytesMut::new());
    let head = queue.begin_request(Shape::Value, Footprint::Read(5), false);
    let write = queue.begin_request(Shape::Ok, Footprint::Write(7), false);
    assert!(queue.conflicts(Footprint::Read(7)) && queue.conflicts(Footprint::Write(5)));
    assert!(!queue.conflicts(Footprint::Read(5)) && !queue.conflicts(Footprint::Write(9)));
    assert!(queue.conflicts(Footprint::Read(0)) && queue.conflicts(Footprint::Exclusive));
    with(&mut output, |to| queue.end_request(write, done(true), to));
    assert!(
        !queue.conflicts(Footprint::Write(7)),
        "it has ended, though it is not answered"
    );
    with(&mut output, |to| queue.end_request(head, done(true), to));
    assert!(!queue.conflicts(Footprint::Exclusive));
}

proptest! {
    #[test]
    fn any_order_of_endings_gives_the_order_of_commands(order in Just((0..20_u32).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut queue, mut output) = (ReplyQueue::new(), BytesMut::new());
        queue.oldest = u32::MAX - 5;
        let numbers: Vec<u32> = order.iter().map(|_| queue.begin_steps(Footprint::None, false)).collect();
        for at in order {
            let reply = Reply::Integer(i64::from(at));
            with(&mut output, |to| queue.end_steps(numbers[at as usize], reply, to));
        }
        let wanted: String = (0..20).map(|at| format!(":{at}\r\n")).collect();
        prop_assert_eq!(&output[..], wanted.as_bytes());
        prop_assert_eq!(queue.held(), 0);
    }
}
