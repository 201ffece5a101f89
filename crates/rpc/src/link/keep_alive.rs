//! Pings, and what silence means.

use std::{rc::Rc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Link, LinkDown, PeerHandler};

/// Pings the peer and closes the link after too long a silence; returns then.
///
/// Silence is counted in ticks of this thread, not read off a clock: a node that was itself paused
/// finds one tick on waking, not a peer that has been silent all the while. It is counted only while
/// the peer owes an answer, to a batch or a ping. A link at rest is pinged seldom: that its peer is
/// gone is found out by gossip, or within the same time as ever once something is sent.
///
/// A ping asks for the peer's condition, which the handler is told together with the time it took.
pub(super) async fn keep_alive(link: Rc<Link>, handler: Rc<dyn PeerHandler>) {
    // Ticks per ping, and the part of a ping's period by which silence may be noticed late.
    const TICKS: u32 = 2;
    let tick = (link.config.ping_every / TICKS).max(Duration::from_millis(1));
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut pings = FuturesUnordered::from_iter([ping(&link, &handler)]);
    let idle_ticks = (link.config.idle_ping_every.as_millis() / tick.as_millis()).max(1) as u32;
    let mut unpinged = 0u32;
    let (mut quiet, mut heard) = (0u32, link.mux.reads());
    while link.is_up() {
        tokio::select! {
            biased;
            // Pinging again is for the next tick: an answered ping alone changes nothing here.
            Some(()) = pings.next(), if !pings.is_empty() => continue,
            _ = ticks.tick() => {}
        }
        let reads = link.mux.reads();
        let asked = link.in_flight_batches.get() > 0;
        let is_owed = asked || !pings.is_empty();
        quiet = if reads == heard && is_owed {
            quiet + 1
        } else {
            0
        };
        heard = reads;
        if tick * quiet >= link.config.silence {
            link.close(LinkDown::Silent(link.config.silence));
        }
        unpinged += 1;
        let wait = match asked || link.is_watched.get() {
            true => TICKS,
            false => idle_ticks,
        };
        if unpinged >= wait && pings.is_empty() {
            unpinged = 0;
            pings.push(ping(&link, &handler));
        }
    }
}

/// Between two pings of a peer whose condition is about to change, and how many there are in a row: one
/// that has just started knows what time it is as soon as its peers have told it.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const MOST_AGAIN: usize = 100;

/// One ping, or several until the peer's condition has settled; a failed one needs no report, the silence
/// will tell. It waits for longer than the silence that ends the link, or the peer would owe nothing any
/// more when that is over.
fn ping(link: &Rc<Link>, handler: &Rc<dyn PeerHandler>) -> impl Future<Output = ()> + use<> {
    let (link, handler) = (Rc::clone(link), Rc::clone(handler));
    async move {
        for _ in 0..MOST_AGAIN {
            let start = Instant::now();
            link.pinged.set(Some(start));
            let answer = link.status(2 * link.config.silence).await;
            link.pinged.set(None);
            let Ok(status) = answer else {
                return;
            };
            let round_trip = start.elapsed();
            link.round_trip.set(Some(round_trip));
            if !handler.heard_status(link.peer(), &status, round_trip) {
                return;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}
