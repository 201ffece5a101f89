//! What goes with which tick, and to whom.

use super::*;

const A: Slot = 1;
const B: Slot = 2;

fn peers() -> Peers {
    let mut peers = Peers::new(Arc::default());
    for (slot, number) in (0..).zip([1, 2, 3]) {
        assert_eq!(peers.slot_or_new(NodeId([number; 16])), slot);
        peers.set_up(slot, slot > 0);
    }
    peers
}

fn message(op: u64) -> Message<'static> {
    Message::Read {
        op,
        digest: 0,
        key: b"sess:a",
    }
}

/// Slots that get a batch now, with its length in bytes.
fn drained(peers: &mut Peers) -> Vec<(Slot, usize)> {
    let mut sent = Vec::new();
    peers.drain(&mut |id, batch| {
        sent.push((id, batch.len()));
        true
    });
    let slots = sent.iter().map(|(id, len)| (peers.slot(id), *len));
    slots
        .map(|(slot, len)| (slot.expect("known"), len))
        .collect()
}

#[test]
fn what_nobody_waits_for_goes_with_the_next_tick_at_the_latest() {
    let mut peers = peers();
    peers.send(A, &message(1));
    peers.send_soon(B, &message(1));
    let [(A, one)] = drained(&mut peers)[..] else {
        panic!("one batch, to the peer that somebody waits for");
    };
    assert!(peers.has_batches(), "the driver is told to come again");
    assert_eq!(drained(&mut peers), []);
    peers.end_tick();
    assert_eq!(drained(&mut peers), [(B, one)]);
    assert!(!peers.has_batches());
}

#[test]
fn it_goes_at_once_where_something_urgent_goes_too() {
    let mut peers = peers();
    peers.send_soon(A, &message(1));
    peers.send(A, &message(2));
    peers.send_soon(A, &message(3));
    assert!(matches!(drained(&mut peers)[..], [(A, _)]));
    assert!(!peers.has_batches());
}

#[test]
fn a_tick_stays_with_the_peer_it_began_with() {
    let mut peers = peers();
    for _ in 0..8 {
        let (first, other) = if peers.cost(A) < peers.cost(B) {
            (A, B)
        } else {
            (B, A)
        };
        peers.send(first, &message(1));
        assert!(peers.cost(first) < peers.cost(other));
        drained(&mut peers);
        peers.end_tick();
    }
}

#[test]
fn peers_take_turns() {
    let mut peers = peers();
    let mut firsts = [0; 2];
    for _ in 0..64 {
        assert_ne!(peers.cost(A), peers.cost(B));
        firsts[usize::from(peers.cost(B) < peers.cost(A))] += 1;
        peers.end_tick();
    }
    assert_eq!(firsts, [32, 32]);
}

#[test]
fn the_peer_of_the_last_ticks_copies_is_next() {
    let mut peers = peers();
    for _ in 0..5 {
        let (awaited, other) = if peers.cost(A) < peers.cost(B) {
            (A, B)
        } else {
            (B, A)
        };
        peers.send(awaited, &message(1));
        peers.send_soon(other, &message(1));
        assert!(matches!(drained(&mut peers)[..], [(to, _)] if to == awaited));
        peers.end_tick();
        assert_eq!(peers.cost(other), 0, "its batch goes anyway");
    }
}

#[test]
fn a_lost_peer_takes_its_batch_along() {
    let mut peers = peers();
    peers.send_soon(A, &message(1));
    peers.set_up(A, false);
    peers.end_tick();
    assert_eq!(drained(&mut peers), []);
    assert!(!peers.has_batches());
}

/// A write of so many bytes, less what it takes besides its value.
fn large(bytes: usize) -> Vec<u8> {
    vec![7; bytes]
}

fn write(record: &[u8]) -> Message<'_> {
    Message::Write {
        op: 1,
        hint_for: None,
        key: b"sess:a",
        record,
    }
}

#[test]
fn what_is_said_of_the_next_message_goes_in_the_same_batch() {
    let mut peers = peers();
    // Either ends just below the length at which a batch is closed.
    let value = large(FULL - 40);
    peers.send(A, &write(&value));
    for ahead in [Message::Under { sets: &[7; 64] }, Message::Decided] {
        peers.send(A, &ahead);
    }
    peers.send(A, &write(b"small"));
    assert_eq!(drained_within(&mut peers, 9).len(), 1);
}

/// Sends to A what there is room for: so many batches. Their lengths.
fn drained_within(peers: &mut Peers, mut room: usize) -> Vec<usize> {
    let mut sent = Vec::new();
    peers.drain(&mut |_, batch| {
        let fits = room > 0;
        if fits {
            room -= 1;
            sent.push(batch.len());
        }
        fits
    });
    peers.end_tick();
    sent
}

#[test]
fn a_large_batch_is_closed_and_goes_before_what_comes_after_it() {
    let mut peers = peers();
    let value = large(FULL / 2);
    for _ in 0..5 {
        peers.send(A, &write(&value));
    }
    let sent = drained(&mut peers);
    let lengths: Vec<_> = sent.iter().map(|(_, bytes)| bytes / (FULL / 2)).collect();
    assert_eq!(lengths, [2, 2, 1]);
    assert!(!peers.has_batches());
}

#[test]
fn what_there_is_no_room_for_waits_and_goes_in_order() {
    let mut peers = peers();
    let value = large(FULL);
    for _ in 0..3 {
        peers.send(A, &write(&value));
    }
    peers.send(A, &message(1));
    assert_eq!(drained_within(&mut peers, 1).len(), 1);
    assert!(
        !peers.has_batches(),
        "an answer will tell that there is room"
    );
    peers.send(A, &message(2));
    assert_eq!(drained_within(&mut peers, 0), []);
    let rest = drained_within(&mut peers, 9);
    assert!(
        matches!(rest[..], [a, b, small] if a >= FULL && b >= FULL && small < 100),
        "{rest:?}"
    );
    assert_eq!(drained(&mut peers), []);
}

#[test]
fn so_much_waits_and_the_rest_is_dropped_and_counted() {
    let mut peers = peers();
    let value = large(FULL);
    let most = MOST_HELD / FULL;
    for _ in 0..most + 3 {
        peers.send(A, &write(&value));
        assert_eq!(drained_within(&mut peers, 0), []);
    }
    // Each is a little longer than its value.
    assert_eq!(drained_within(&mut peers, 99).len(), most - 1);
    assert_eq!(peers.counters.batches_dropped.get(), 4);
    peers.send(A, &message(1));
    assert_eq!(
        drained_within(&mut peers, 9).len(),
        1,
        "and then it goes on"
    );
}

#[test]
fn what_waits_for_a_lost_peer_is_forgotten() {
    let mut peers = peers();
    peers.send(A, &write(&large(FULL)));
    assert_eq!(drained_within(&mut peers, 0), []);
    peers.set_up(A, false);
    peers.set_up(A, true);
    assert_eq!(drained(&mut peers), []);
    peers.send(A, &message(1));
    assert!(matches!(drained(&mut peers)[..], [(A, bytes)] if bytes < 100));
}
