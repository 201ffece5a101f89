//! A node whose clock has become right a moment ago: its peers still take another one for the decider.

use super::*;

const KEY: &str = "sess:announced";

/// A cluster of three, its key's decider, and another node. The decider may decide in 100 ms.
fn just_right() -> (Cluster, u8, u8) {
    let mut cluster = Cluster::new(3);
    let first_of = |partition| ring_of(3).primaries(partition)[0];
    let ring = ring_of(3);
    let first = first_of(ring.partition_of(henge_ring::Token::of(KEY.as_bytes())));
    let decider = ring.member(first).id.0[0];
    let other = decider % 3 + 1;
    cluster.run(other, KEY, put("0")).expect("written");
    let from_ms = cluster.now.mono_ms + 100;
    let stamps = Arc::clone(&cluster.engine(id(decider)).parts.clock);
    stamps.set_deciding_from(from_ms);
    (cluster, decider, other)
}

/// Begins a compare and set from "0".
fn swap(cluster: &mut Cluster, at: u8, options: Options) {
    let operation = Operation::ReplaceField {
        name: b"",
        before: Some(b"0"),
        after: b"1",
    };
    let request = Request {
        key: KEY.as_bytes(),
        operation,
        options,
    };
    cluster.begin(at, &request, Engine::submit);
    cluster.deliver();
}

fn answers(cluster: &mut Cluster, at: u8) -> Vec<Result<Done, Failure>> {
    let mut completions = Vec::new();
    cluster.engine(id(at)).take_completions(&mut completions);
    completions.into_iter().map(|it| it.1.result).collect()
}

#[test]
fn it_decides_when_its_peers_have_heard_and_not_before() {
    let (mut cluster, decider, other) = just_right();
    let told = |cluster: &mut Cluster, astray| {
        for peer in (1..=3).filter(|peer| *peer != decider) {
            cluster.engine(id(peer)).peer_astray(id(decider), astray);
        }
    };
    told(&mut cluster, true);
    swap(&mut cluster, decider, Options::default());
    swap(&mut cluster, other, Options::default());
    let answered = answers(&mut cluster, other);
    assert!(
        matches!(&answered[..], [Ok(done)] if done.applied),
        "{answered:?}"
    );
    told(&mut cluster, false);
    cluster.pass(95);
    assert!(answers(&mut cluster, decider).is_empty());
    cluster.pass(10);
    let answered = answers(&mut cluster, decider);
    assert!(
        matches!(&answered[..], [Ok(done)] if !done.applied),
        "one wins: {answered:?}"
    );
    assert_eq!(cluster.get(decider, KEY).as_deref(), Some(&b"1"[..]));
}

#[test]
fn what_is_forwarded_to_it_waits_too_and_is_not_refused() {
    let (mut cluster, _, other) = just_right();
    swap(&mut cluster, other, Options::default());
    assert!(answers(&mut cluster, other).is_empty());
    cluster.pass(105);
    let answered = answers(&mut cluster, other);
    assert!(
        matches!(&answered[..], [Ok(done)] if done.applied),
        "{answered:?}"
    );
}

#[test]
fn who_cannot_wait_is_told_that_nothing_was_done() {
    let (mut cluster, decider, _) = just_right();
    let impatient = Options {
        timeout_ms: Some(50),
        ..Options::default()
    };
    swap(&mut cluster, decider, impatient);
    cluster.pass(55);
    let answered = answers(&mut cluster, decider);
    assert!(
        matches!(
            answered[..],
            [Err(Failure::Failed {
                needed: 2,
                got: 0,
                ..
            })]
        ),
        "{answered:?}"
    );
    assert_eq!(cluster.get(decider, KEY).as_deref(), Some(&b"0"[..]));
}

#[test]
fn what_needs_no_decider_does_not_wait() {
    let (mut cluster, decider, _) = just_right();
    cluster.run(decider, KEY, put("2")).expect("written");
    assert_eq!(cluster.get(decider, KEY).as_deref(), Some(&b"2"[..]));
    assert_eq!(cluster.now.mono_ms, 1_000, "at once");
}
