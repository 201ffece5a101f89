//! Requests that are due at fixed times, however slow the answers are.
//!
//! The runtime's timers have a grain of a millisecond, which would end up in every latency. So a
//! thread that sleeps in short steps rings a bell, and one task per worker hands what is due to the
//! connections in turn. Each request carries the time it was due; latency counts from there.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Step of the pacing thread. Shorter steps cost CPU (about 5 µs each) and gain nothing measurable.
const STEP: Duration = Duration::from_micros(250);

/// Due times of one connection's requests.
#[derive(Default)]
pub(crate) struct DueQueue {
    due: RefCell<VecDeque<Instant>>,
    bell: Notify,
}

impl DueQueue {
    /// When the next request is due, or was; waits until it is.
    pub(crate) async fn next(&self) -> Instant {
        loop {
            if let Some(due) = self.try_next() {
                return due;
            }
            self.bell.notified().await;
        }
    }

    /// The next request, if one is due.
    pub(crate) fn try_next(&self) -> Option<Instant> {
        self.due.borrow_mut().pop_front()
    }

    /// Requests due and not taken.
    pub(crate) fn backlog(&self) -> u64 {
        self.due.borrow().len() as u64
    }
}

/// Hands out `rate` requests per second to the queues in turn until `end`.
pub(crate) async fn dispatch(queues: Vec<Rc<DueQueue>>, rate: f64, begin: Instant, end: Instant) {
    let pacer = Pacer::start();
    let mut issued = 0u64;
    loop {
        let now = Instant::now().min(end);
        let due = (now.saturating_duration_since(begin).as_secs_f64() * rate) as u64;
        while issued < due {
            let queue = &queues[issued as usize % queues.len()];
            queue
                .due
                .borrow_mut()
                .push_back(begin + Duration::from_secs_f64(issued as f64 / rate));
            queue.bell.notify_one();
            issued += 1;
        }
        if now >= end {
            return;
        }
        pacer.bell.notified().await;
    }
}

/// The thread that rings; it ends when this is dropped.
struct Pacer {
    bell: Arc<Notify>,
    stop: Arc<AtomicBool>,
}

impl Pacer {
    fn start() -> Self {
        let (bell, stop) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (ring, stopped) = (bell.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                std::thread::sleep(STEP);
                ring.notify_one();
            }
        });
        Self { bell, stop }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}
