//! What a peer with a valid hello, or a bug, can send: nothing may panic, grow or hang.

mod rig;

use std::time::Duration;

use bytes::Bytes;
use henge_rpc::{FrameError, LinkConfig, LinkDown};
use proptest::prelude::*;
use rig::{End, HIGH, end, local, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const APPLY: u32 = 0;
const SCAN: u32 = 2;
const PING: u32 = 4;

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32 + 1).to_le_bytes().to_vec();
    frame.push(tag);
    frame.extend_from_slice(body);
    frame
}

/// A request as tarpc's client would encode it, with a deadline of our choice.
fn request(id: u64, seconds: u64, nanos: u32, method: u32, payload: &[u8]) -> Vec<u8> {
    let (trace_id, span_id, unsampled) = ([0u8; 16], 0u64, 1u32);
    let head = (
        0u32,
        (seconds, nanos),
        (trace_id, span_id, unsampled),
        id,
        method,
    );
    let mut body = postcard::to_stdvec(&head).expect("encodes");
    body.extend_from_slice(payload);
    framed(1, &body)
}

fn raw_peer(config: LinkConfig) -> (DuplexStream, End) {
    let (raw, ours) = duplex(64 * 1024);
    (raw, end(ours, HIGH, config))
}

/// Reads and forgets, so that the other side can write.
fn drain(mut raw: tokio::io::ReadHalf<DuplexStream>) {
    tokio::task::spawn_local(async move {
        let mut sink = vec![0; 64 * 1024];
        while matches!(raw.read(&mut sink).await, Ok(n) if n > 0) {}
    });
}

#[test]
fn far_deadlines_are_harmless_and_counted() {
    local(async {
        let (mut raw, a) = raw_peer(LinkConfig::default());
        let three_years = 3 * 365 * 24 * 3600;
        for (id, seconds) in [(1, three_years), (2, 1 << 62), (3, u64::MAX), (4, 61)] {
            raw.write_all(&request(id, seconds, 0, APPLY, &[1, 7]))
                .await
                .expect("open");
        }
        raw.write_all(&request(5, 60, 0, APPLY, &[1, 7]))
            .await
            .expect("open");
        raw.write_all(&request(6, 1 << 62, 0, SCAN, &[0]))
            .await
            .expect("open");
        until("all are worked on", || {
            a.handler.applied.borrow().len() == 5 && a.handler.scans.get() == 1
        })
        .await;
        assert_eq!(
            (a.stats.deadlines_clamped.get(), a.stats.panics.get()),
            (5, 0)
        );
        assert!(a.link.is_up());
    });
}

#[test]
fn an_impossible_duration_closes_the_link_without_a_panic() {
    local(async {
        let (mut raw, a) = raw_peer(LinkConfig::default());
        raw.write_all(&request(1, u64::MAX, u32::MAX, PING, &[1]))
            .await
            .expect("open");
        a.link.ended().await;
        assert!(matches!(
            a.link.down(),
            Some(LinkDown::Frame(FrameError::Body(_)))
        ));
        assert_eq!(
            (a.stats.frames_malformed.get(), a.stats.panics.get()),
            (1, 0)
        );
    });
}

/// Found by the fuzzer once links pinged as soon as they were up: tarpc's own client panics here.
#[test]
fn an_answer_to_another_method_is_an_error_and_no_panic() {
    local(async {
        let (mut raw, a) = raw_peer(LinkConfig::default());
        let asking = a.link.scan(Bytes::new(), Duration::from_secs(60));
        let answering = async {
            let _ = raw.read(&mut [0; 64]).await.expect("open");
            // To the link's first ping, and to the question.
            for id in [0u64, 1] {
                let response = (id, 0u32, APPLY, Bytes::from_static(&[7]));
                let body = postcard::to_stdvec(&response).expect("encodes");
                raw.write_all(&framed(2, &body)).await.expect("open");
            }
        };
        let (asked, ()) = tokio::join!(asking, answering);
        let error = format!("{:?}", asked.expect_err("an answer of another kind"));
        assert!(
            error.contains("asked for Scan, the peer answered to Apply"),
            "{error}"
        );
        assert_eq!(a.stats.panics.get(), 0);
        assert!(a.link.is_up());
    });
}

#[test]
fn a_frame_of_four_gigabytes_is_refused_by_its_header() {
    local(async {
        let (mut raw, a) = raw_peer(LinkConfig::default());
        raw.write_all(&u32::MAX.to_le_bytes()).await.expect("open");
        a.link.ended().await;
        let error = FrameError::TooLarge {
            len: u32::MAX as usize,
            cap: 16 << 20,
        };
        assert_eq!(a.link.down(), Some(LinkDown::Frame(error)));
        assert_eq!(a.stats.frames_oversized.get(), 1);
    });
}

#[test]
fn frames_at_and_over_the_cap() {
    for (over, up) in [(0, true), (1, false)] {
        local(async {
            let config = LinkConfig {
                frame_cap: 1024,
                ..LinkConfig::default()
            };
            let (mut raw, a) = raw_peer(config);
            let empty = request(1, 1, 0, APPLY, &[0x80, 0x07]).len() - 4;
            let payload = 1024 - empty + over;
            let mut bytes = vec![(payload & 0x7f) as u8 | 0x80, (payload >> 7) as u8];
            bytes.resize(2 + payload, 3);
            raw.write_all(&request(1, 1, 0, APPLY, &bytes))
                .await
                .expect("open");
            until("applied or down", || {
                !a.handler.applied.borrow().is_empty() || !a.link.is_up()
            })
            .await;
            assert_eq!(a.link.is_up(), up, "{over} over");
        });
    }
}

#[test]
fn twenty_thousand_requests_in_flight_are_capped() {
    local(async {
        let (raw, a) = raw_peer(LinkConfig::default());
        let (read, mut write) = tokio::io::split(raw);
        drain(read);
        for id in 0..20_000 {
            write
                .write_all(&request(id, 10, 0, SCAN, &[0]))
                .await
                .expect("open");
        }
        until("all are taken", || a.stats.frames_in.get() == 20_000).await;
        assert_eq!(a.handler.scans.get(), 256);
        assert_eq!(a.stats.requests_throttled.get(), 20_000 - 256);
        write
            .write_all(&request(20_001, 10, 0, APPLY, &[1, 7]))
            .await
            .expect("open");
        until("a batch goes on", || a.handler.applied.borrow().len() == 1).await;
    });
}

#[test]
fn a_cancelled_request_makes_room() {
    local(async {
        let config = LinkConfig {
            control_requests: 1,
            ..LinkConfig::default()
        };
        let (raw, a) = raw_peer(config);
        let (read, mut write) = tokio::io::split(raw);
        drain(read);
        write
            .write_all(&request(1, 10, 0, SCAN, &[0]))
            .await
            .expect("open");
        write
            .write_all(&request(2, 10, 0, SCAN, &[0]))
            .await
            .expect("open");
        let cancel = postcard::to_stdvec(&(1u32, ([0u8; 16], 0u64, 1u32), 1u64)).expect("encodes");
        write.write_all(&framed(1, &cancel)).await.expect("open");
        until("the second was throttled", || {
            a.stats.requests_throttled.get() == 1
        })
        .await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        write
            .write_all(&request(3, 10, 0, SCAN, &[0]))
            .await
            .expect("open");
        until("the third is worked on", || a.handler.scans.get() == 2).await;
    });
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_throttled_then_cut() {
    local(async {
        let config = LinkConfig {
            frame_cap: 64 * 1024,
            output_cap: 256 * 1024,
            ..LinkConfig::default()
        };
        let (mut raw, a) = raw_peer(config);
        a.handler.answer_bytes.set(Some(60 * 1024));
        for id in 0..50 {
            raw.write_all(&request(id, 10, 0, APPLY, &[1, 7]))
                .await
                .expect("open");
        }
        until("all are taken", || a.stats.frames_in.get() == 50).await;
        let applied = a.handler.applied.borrow().len();
        assert!(
            (5..=7).contains(&applied),
            "{applied} answers of 60 KiB made for a 256 KiB cap"
        );
        assert_eq!(a.stats.requests_throttled.get(), 50 - applied as u64);
        assert!(a.link.is_up());
        let mut id = 50;
        while raw
            .write_all(&request(id, 10, 0, APPLY, &[1, 7]))
            .await
            .is_ok()
        {
            id += 1;
            assert!(id < 100_000, "never cut");
        }
        a.link.ended().await;
        let down = a.link.down();
        assert!(
            matches!(down, Some(LinkDown::Frame(FrameError::NotRead { .. }))),
            "{down:?}"
        );
    });
}

#[test]
fn answers_to_requests_never_made_are_ignored() {
    local(async {
        let (mut raw, a) = raw_peer(LinkConfig::default());
        for id in 100..1100u64 {
            let body = postcard::to_stdvec(&(id, 0u32, 4u32, 7u64)).expect("encodes");
            raw.write_all(&framed(2, &body)).await.expect("open");
        }
        until("all are taken", || a.stats.frames_in.get() == 1000).await;
        assert!(a.link.is_up());
    });
}

#[test]
fn unknown_tags_and_methods_close_the_link() {
    for frame in [framed(3, &[]), vec![0; 4], request(1, 1, 0, 5, &[])] {
        local(async {
            let (mut raw, a) = raw_peer(LinkConfig::default());
            raw.write_all(&frame).await.expect("open");
            a.link.ended().await;
            assert!(
                matches!(a.link.down(), Some(LinkDown::Frame(_))),
                "{:?}",
                a.link.down()
            );
            assert_eq!(a.stats.panics.get(), 0);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_frames_never_panic(
        frames in prop::collection::vec((1u8..4, prop::collection::vec(any::<u8>(), 0..60)), 1..20),
        mutate in any::<(u16, u8)>(),
    ) {
        local(async {
            let (raw, a) = raw_peer(LinkConfig::default());
            let (read, mut write) = tokio::io::split(raw);
            drain(read);
            // A true request with one byte changed goes deeper than noise does.
            let mut near_miss = request(1, 10, 0, SCAN, &[1, 7]);
            let at = 4 + usize::from(mutate.0) % (near_miss.len() - 4);
            near_miss[at] = mutate.1;
            let _ = write.write_all(&near_miss).await;
            for (tag, body) in &frames {
                let _ = write.write_all(&framed(*tag, body)).await;
            }
            drop(write);
            tokio::time::sleep(Duration::from_millis(5)).await;
            a.link.close(LinkDown::Closed);
            a.link.ended().await;
            assert_eq!(a.stats.panics.get(), 0);
        });
    }
}
