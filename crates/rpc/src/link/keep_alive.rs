//! Pings, and what silence means.

use std::{rc::Rc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Link, LinkDown};

/// Pings the peer and closes the link after too long a silence; returns then.
///
/// Silence is counted in ticks of this thread, not read off a clock: a node that was itself paused
/// finds one tick on waking, not a peer that has been silent all the while.
pub(super) async fn keep_alive(link: Rc<Link>) {
    // Ticks per ping, and the part of a ping's period by which silence may be noticed late.
    const TICKS: u32 = 2;
    let tick = (link.config.ping_every / TICKS).max(Duration::from_millis(1));
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut pings = FuturesUnordered::from_iter([ping(Rc::clone(&link), 0)]);
    let (mut number, mut quiet, mut heard) = (0u32, 0u32, link.mux.reads());
    while link.is_up() {
        tokio::select! {
            biased;
            // Pinging again is for the next tick: an answered ping alone changes nothing here.
            Some(()) = pings.next(), if !pings.is_empty() => continue,
            _ = ticks.tick() => {}
        }
        let reads = link.mux.reads();
        quiet = if reads == heard { quiet + 1 } else { 0 };
        heard = reads;
        if tick * quiet >= link.config.silence {
            link.close(LinkDown::Silent(link.config.silence));
        }
        number = number.wrapping_add(1);
        if number.is_multiple_of(TICKS) && pings.is_empty() {
            pings.push(ping(Rc::clone(&link), u64::from(number)));
        }
    }
}

/// One ping; a failed one needs no report, the silence will tell.
async fn ping(link: Rc<Link>, number: u64) {
    let start = Instant::now();
    link.pinged.set(Some(start));
    if link.ping(number, link.config.silence).await.is_ok() {
        link.round_trip.set(Some(start.elapsed()));
    }
    link.pinged.set(None);
}
