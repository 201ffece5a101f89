//! Whether the machine itself went on: a virtual machine that is held up, or a processor that others
//! take, looks like a fault that nobody made.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Time between two beats.
const BEAT: Duration = Duration::from_millis(20);

/// A beat this late is told of: longer than any scheduler makes a thread wait that hardly ever runs.
const LATE: Duration = Duration::from_millis(400);

/// A thread that sleeps and sees whether it was woken in time.
#[derive(Debug)]
pub struct Pulse {
    stop: Arc<AtomicBool>,
    missed: Arc<Mutex<Vec<Duration>>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Begins to beat.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let missed: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (stopped, told) = (Arc::clone(&stop), Arc::clone(&missed));
        let beat = move || {
            let mut last = Instant::now();
            while !stopped.load(Relaxed) {
                std::thread::sleep(BEAT);
                let now = Instant::now();
                if let Some(late) = lateness(now - last) {
                    lock(&told).push(late);
                }
                last = now;
            }
        };
        Self {
            stop,
            missed,
            thread: Some(std::thread::spawn(beat)),
        }
    }

    /// What was missed since it was last asked, if anything was.
    pub fn missed(&self) -> Option<String> {
        let missed = std::mem::take(&mut *lock(&self.missed));
        let longest = missed.iter().max()?;
        Some(format!(
            "the machine stood still {} times, {} ms at most",
            missed.len(),
            longest.as_millis()
        ))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

/// By how much a beat was late, if that is worth telling.
fn lateness(between: Duration) -> Option<Duration> {
    between.checked_sub(BEAT).filter(|late| *late >= LATE)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_silence_is_told() {
        assert_eq!(lateness(Duration::from_millis(5)), None);
        assert_eq!(lateness(BEAT + LATE - Duration::from_millis(1)), None);
        assert_eq!(lateness(BEAT + LATE), Some(LATE));
    }
}
