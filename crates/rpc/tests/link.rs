//! Links: batches both ways, bounds, and every way to go down.

mod rig;

use std::{future::Future, io, pin::Pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use henge_rpc::{CallError, LinkConfig, LinkDown, SendRefusal};
use rig::{HIGH, LOW, Told, end, local, pair, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};

const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn batches_go_both_ways_over_one_pipe() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        for (from, text) in [(&a, "abc"), (&b, "xyz")] {
            from.link.try_send(Bytes::from(text), 1).expect("sent");
        }
        until("both answers", || {
            a.handler.replies().len() + b.handler.replies().len() == 2
        })
        .await;
        assert_eq!(
            *a.handler.told.borrow(),
            [Told::Up(HIGH), Told::Replies("cba".into())]
        );
        assert_eq!(
            *b.handler.told.borrow(),
            [Told::Up(LOW), Told::Replies("zyx".into())]
        );
        assert_eq!(*b.handler.applied.borrow(), ["abc"]);
        assert_eq!(
            (a.link.in_flight_bytes(), a.stats.batches_out.get()),
            (0, 1)
        );
        assert_eq!(
            (a.stats.batches_in.get(), a.stats.messages_out.get()),
            (1, 1)
        );
    });
}

#[test]
fn many_batches_in_flight_are_all_answered_and_share_writes() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        for number in 0..500u32 {
            a.link
                .try_send(Bytes::copy_from_slice(&number.to_be_bytes()), 1)
                .expect("sent");
        }
        until("500 answers", || a.handler.replies().len() == 500).await;
        assert_eq!(b.handler.applied.borrow().len(), 500);
        assert!(a.stats.writes.get() < 50, "{} writes", a.stats.writes.get());
        assert!(b.stats.writes.get() < 50, "{} writes", b.stats.writes.get());
    });
}

#[test]
fn a_batch_larger_than_the_pipe_arrives_whole() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        let batch: Bytes = (0..3_000_000u32).map(|n| n as u8).collect();
        a.link.try_send(batch.clone(), 1).expect("sent");
        until("the answer", || a.handler.replies().len() == 1).await;
        assert_eq!(*b.handler.applied.borrow(), [batch]);
    });
}

#[test]
fn control_calls_are_answered() {
    local(async {
        let (a, _b) = pair(LinkConfig::default());
        let log = a
            .link
            .exchange_log(Bytes::from_static(b"mine"), LIMIT)
            .await;
        assert_eq!(log.expect("answered"), "log:mine");
        assert_eq!(
            a.link
                .scan(Bytes::from_static(b"page"), LIMIT)
                .await
                .expect("answered"),
            "page"
        );
        let answer = a.link.reconcile(Bytes::from_static(b"why"), LIMIT).await;
        assert_eq!(answer.expect("answered"), "why");
        assert_eq!(
            a.link.ping(u64::MAX, LIMIT).await.expect("answered"),
            u64::MAX
        );
    });
}

#[test]
fn a_call_that_gets_no_answer_times_out_and_the_link_goes_on() {
    local(async {
        let (a, _b) = pair(LinkConfig::default());
        let outcome = a.link.scan(Bytes::new(), LIMIT).await;
        assert!(matches!(outcome, Err(CallError::TimedOut(LIMIT))));
        assert_eq!(a.link.ping(1, LIMIT).await.expect("answered"), 1);
    });
}

#[test]
fn a_panic_in_a_handler_fails_its_own_call_only() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        until("the first ping", || a.link.round_trip().is_some()).await;
        b.handler.panic_on_status.set(true);
        assert!(matches!(a.link.status(LIMIT).await, Err(CallError::Rpc(_))));
        b.handler.panic_on_status.set(false);
        b.handler.panic_on_apply.set(true);
        a.link.try_send(Bytes::from_static(b"x"), 1).expect("sent");
        until("the batch is lost", || a.handler.lost() == 1).await;
        b.handler.panic_on_apply.set(false);
        a.link.try_send(Bytes::from_static(b"ab"), 1).expect("sent");
        until("the answer", || a.handler.replies() == ["ba"]).await;
        assert_eq!(
            (b.stats.panics.get(), a.link.is_up(), b.link.is_up()),
            (2, true, true)
        );
    });
}

#[test]
fn an_answer_over_the_frame_cap_fails_its_own_batch_only() {
    local(async {
        let config = LinkConfig {
            frame_cap: 64 * 1024,
            ..LinkConfig::default()
        };
        let (a, b) = pair(config);
        b.handler.answer_bytes.set(Some(64 * 1024));
        a.link.try_send(Bytes::from_static(b"x"), 1).expect("sent");
        until("the batch is lost", || a.handler.lost() == 1).await;
        b.handler.answer_bytes.set(Some(63 * 1024));
        a.link.try_send(Bytes::from_static(b"x"), 1).expect("sent");
        until("the answer", || a.handler.replies().len() == 1).await;
        assert_eq!(b.stats.frames_oversized.get(), 1);
    });
}

#[test]
fn what_a_slow_peer_may_lag_is_bounded_and_the_batch_comes_back() {
    local(async {
        let (ours, _never_read) = duplex(1024);
        let config = LinkConfig {
            in_flight_bytes: 1000,
            ..LinkConfig::default()
        };
        let a = end(ours, HIGH, config);
        a.link.try_send(Bytes::from(vec![1; 600]), 1).expect("sent");
        a.link
            .try_send(Bytes::from(vec![2; 400]), 1)
            .expect("sent, to the byte");
        let back = a
            .link
            .try_send(Bytes::from(vec![3; 1]), 1)
            .expect_err("too much");
        assert_eq!(back.batch, vec![3; 1]);
        assert_eq!(
            back.why,
            SendRefusal::Lagging {
                in_flight: 1000,
                batch: 1,
                cap: 1000
            }
        );
        assert_eq!(a.stats.batches_unsent.get(), 1);
    });
}

#[test]
fn batches_at_and_over_the_frame_cap() {
    local(async {
        let config = LinkConfig {
            frame_cap: 4096,
            ..LinkConfig::default()
        };
        let (a, b) = pair(config);
        b.handler.answer_bytes.set(Some(1));
        let cap = 4096 - 128;
        a.link.try_send(Bytes::from(vec![1; cap]), 1).expect("fits");
        let back = a
            .link
            .try_send(Bytes::from(vec![1; cap + 1]), 1)
            .expect_err("does not fit");
        assert_eq!(
            back.why,
            SendRefusal::TooLarge {
                batch: cap + 1,
                cap
            }
        );
        until("the answer", || a.handler.replies().len() == 1).await;
    });
}

#[test]
fn batches_in_flight_are_counted_too() {
    local(async {
        let (ours, _never_read) = duplex(1024);
        let a = end(
            ours,
            HIGH,
            LinkConfig {
                in_flight_batches: 3,
                ..LinkConfig::default()
            },
        );
        for _ in 0..3 {
            a.link.try_send(Bytes::new(), 0).expect("sent");
        }
        let back = a.link.try_send(Bytes::new(), 0).expect_err("too many");
        assert_eq!(back.why, SendRefusal::TooMany(3));
    });
}

#[test]
fn a_cut_connection_loses_what_is_in_flight_then_tells_once() {
    local(async {
        let (ours, theirs) = duplex(64 * 1024);
        let a = end(ours, HIGH, LinkConfig::default());
        a.link
            .try_send(Bytes::from_static(b"four"), 1)
            .expect("sent");
        drop(theirs);
        a.link.ended().await;
        let down = Told::Down(HIGH, a.link.down().expect("down"));
        assert_eq!(
            *a.handler.told.borrow(),
            [Told::Up(HIGH), Told::Lost(4), down]
        );
        let back = a.link.try_send(Bytes::new(), 0).expect_err("down");
        assert_eq!(back.why, SendRefusal::Down);
        assert_eq!((a.link.in_flight_bytes(), a.stats.panics.get()), (0, 0));
    });
}

#[test]
fn closing_one_end_ends_both() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        a.link.close(LinkDown::Closed);
        a.link.ended().await;
        b.link.ended().await;
        assert_eq!(
            (a.handler.downs(), b.handler.downs()),
            (vec![LinkDown::Closed], vec![LinkDown::Ended])
        );
    });
}

#[test]
fn silence_is_noticed_within_two_seconds() {
    local(async {
        let (ours, mut theirs) = duplex(64 * 1024);
        let start = Instant::now();
        let a = end(ours, HIGH, LinkConfig::default());
        a.link.try_send(Bytes::from_static(b"x"), 1).expect("sent");
        a.link.ended().await;
        let waited = start.elapsed();
        assert_eq!(
            a.handler.downs(),
            [LinkDown::Silent(Duration::from_millis(1500))]
        );
        assert!((1500..=2000).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!(a.handler.lost(), 1);
        let mut sent = Vec::new();
        theirs
            .read_to_end(&mut sent)
            .await
            .expect("the socket is closed");
        assert!(!sent.is_empty());
    });
}

#[test]
fn a_link_without_work_stays_up_and_measures_the_round_trip() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(a.link.is_up() && b.link.is_up());
        assert!(a.link.round_trip().is_some());
        assert!(
            (10..=20).contains(&a.stats.frames_out.get()),
            "pings and answers of a minute at rest"
        );
    });
}

#[test]
fn silence_at_rest_is_noticed_with_the_next_ping() {
    local(async {
        let (ours, _theirs) = duplex(64 * 1024);
        let config = LinkConfig::default();
        let start = Instant::now();
        let a = end(ours, HIGH, config);
        a.link.ended().await;
        let waited = start.elapsed();
        assert_eq!(a.handler.downs(), [LinkDown::Silent(config.silence)]);
        // The first ping goes with the link's start.
        assert!(waited <= config.silence + config.ping_every, "{waited:?}");
    });
}

#[test]
fn a_batch_without_an_answer_is_lost_in_time() {
    local(async {
        let (ours, theirs) = duplex(64 * 1024);
        let a = end(ours, HIGH, LinkConfig::default());
        let (mut read, mut write) = tokio::io::split(theirs);
        // A peer that is alive (it sends pings of its own, say) but never answers: here, answers
        // to requests nobody made.
        tokio::task::spawn_local(async move {
            let mut sink = [0; 1024];
            loop {
                let answer = [4, 0, 0, 0, 2, 99, 0, 4];
                let mut frame = answer.to_vec();
                frame.push(0);
                frame[0] = 5;
                if write.write_all(&frame).await.is_err() {
                    return;
                }
                let pause = tokio::time::sleep(Duration::from_millis(100));
                tokio::pin!(pause);
                tokio::select! { _ = read.read(&mut sink) => {}, () = &mut pause => {} }
            }
        });
        let start = Instant::now();
        a.link.try_send(Bytes::from_static(b"x"), 1).expect("sent");
        until("the batch is lost", || a.handler.lost() == 1).await;
        assert!(
            (5000..5100).contains(&start.elapsed().as_millis()),
            "{:?}",
            start.elapsed()
        );
        assert!(a.link.is_up());
    });
}

/// Fails every write.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Broken {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_failed_write_takes_the_link_down_at_once() {
    local(async {
        let a = end(Broken, HIGH, LinkConfig::default());
        let start = Instant::now();
        a.link.ended().await;
        let kind = io::ErrorKind::ConnectionReset;
        assert!(matches!(&a.handler.downs()[..], [LinkDown::Failed { kind: k, .. }] if *k == kind));
        assert!(start.elapsed() < Duration::from_millis(10));
    });
}

#[test]
fn ended_can_be_awaited_by_many_and_after_the_fact() {
    local(async {
        let (a, _b) = pair(LinkConfig::default());
        let waits: Vec<Pin<Box<dyn Future<Output = ()>>>> = (0..3)
            .map(|_| {
                let link = Rc::clone(&a.link);
                Box::pin(async move { link.ended().await }) as Pin<Box<dyn Future<Output = ()>>>
            })
            .collect();
        let all = futures::future::join_all(waits);
        a.link.close(LinkDown::Closed);
        all.await;
        a.link.ended().await;
    });
}

/// Two nodes decided for one key, because one of them had said that it did not know the time yet and was
/// asked again only with the next ping, 10 s later.
#[test]
fn a_peer_whose_condition_has_not_settled_is_asked_again_at_once_and_no_more_when_it_has() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        a.handler.unsettled.set(3);
        let start = Instant::now();
        until("asked four times", || b.handler.asked_status.get() == 4).await;
        let took = start.elapsed();
        let expected = Duration::from_millis(30)..Duration::from_millis(50);
        assert!(expected.contains(&took), "every 10 ms: {took:?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(b.handler.asked_status.get(), 4, "settled, and at rest");
        assert_eq!(a.handler.asked_status.get(), 1, "the other way once");
    });
}

#[test]
fn a_peer_that_never_settles_is_asked_a_hundred_times_and_then_as_others() {
    local(async {
        let (a, b) = pair(LinkConfig::default());
        a.handler.unsettled.set(usize::MAX);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(b.handler.asked_status.get(), 100);
    });
}
