//! A load that runs beside its caller, who does things to the servers meanwhile and is told of every
//! request.
//!
//! ```text
//! Load::start ──► log in / populate ──► wait_until_loading ──► load … stop ──► read_back ──► Summary
//! ```

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{
    plan, report,
    run::{probe, run},
    settings::Settings,
};

/// Longest time for logging in and populating.
const MOST_POPULATING: Duration = Duration::from_secs(600);

/// What became of a request, as its caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered; a write was acknowledged.
    Good,
    /// It did not happen; a read was not answered.
    Failed,
    /// A write that may have happened.
    Unknown,
}

/// One request of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was due: with a fixed rate, whether or not it could be sent then.
    pub due: Instant,
    /// From then to its end.
    pub took: Duration,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it changes data.
    pub is_write: bool,
}

/// What a load saw, and what the read-back found. The counts are those of the report of `loadgen`.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Every request of the load, populating and reading back left out; in no order.
    pub samples: Vec<Sample>,
    /// Keys whose last acknowledged write could not be read back.
    pub lost: u64,
    /// Answers that showed a destroyed or expired session.
    pub seen_again: u64,
    /// Values with a wrong checksum, under a wrong key, or never written.
    pub corrupt: u64,
    /// Writes answered as failed and yet seen.
    pub phantom: u64,
    /// Reads older than the newest write acknowledged before they began.
    pub stale: u64,
    /// Keys that could not be read back because no read succeeded.
    pub unread: u64,
    /// Keys read back.
    pub read_back: u64,
    /// The first wrong answers, in words.
    pub examples: Vec<String>,
    /// Words of errors, and how often each came.
    pub errors: BTreeMap<String, u64>,
}

/// A load under way. Dropped, it is stopped, and ends by itself without reading anything back.
pub struct Load {
    watch: Arc<Watch>,
    go: mpsc::Sender<()>,
    /// Taken when it is waited for.
    thread: Option<JoinHandle<Result<Summary, String>>>,
}

impl Load {
    /// Starts a load with the arguments that the program `loadgen` takes.
    ///
    /// # Errors
    /// If the arguments are wrong or no server answers.
    pub fn start(arguments: &[String]) -> Result<Self, String> {
        let words = std::iter::once("loadgen").chain(arguments.iter().map(String::as_str));
        let settings = Settings::try_parse_from(words).map_err(|error| error.to_string())?;
        let mut settings = settings.checked()?;
        let (go, gate) = mpsc::channel();
        let watch = Arc::new(Watch::new(gate));
        settings.watch = Some(watch.clone());
        let quorums = probe(&settings)?;
        let watched = watch.clone();
        let work = move || {
            let outcome = run(&Arc::new(settings), quorums);
            watched.end();
            Ok(watched.summary(outcome?))
        };
        let thread = Some(std::thread::spawn(work));
        Ok(Self { watch, go, thread })
    }

    /// Waits until everything is populated and the load proper has begun.
    ///
    /// # Errors
    /// If the load ends before, or takes more than ten minutes.
    pub fn wait_until_loading(&self) -> Result<(), String> {
        let begun = Instant::now();
        while !self.watch.began.load(Relaxed) {
            if self.has_ended() {
                return Err("the load ended before it began".to_owned());
            }
            if begun.elapsed() > MOST_POPULATING {
                return Err("the load does not begin".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether it sends requests: it has begun, and was neither stopped nor did it end by itself.
    pub fn is_loading(&self) -> bool {
        self.watch.began.load(Relaxed) && !self.watch.is_over() && !self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the load proper; what is under way is waited for by [`read_back`](Self::read_back).
    pub fn stop(&self) {
        self.watch.stop.store(true, Relaxed);
    }

    /// Stops, reads everything back and tells what was seen.
    ///
    /// # Errors
    /// If the load could not be made at all.
    pub fn read_back(mut self) -> Result<Summary, String> {
        self.stop();
        // It may have ended on its own, with an error that the thread tells.
        let _ = self.go.send(());
        let thread = self.thread.take().ok_or("it was read back before")?;
        thread.join().map_err(|_| "the load generator panicked")?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the two sides share.
#[derive(Debug)]
pub(crate) struct Watch {
    began: AtomicBool,
    stop: AtomicBool,
    ended: AtomicBool,
    /// Opened when everything may be read back.
    gate: Mutex<mpsc::Receiver<()>>,
    samples: Mutex<Vec<Sample>>,
}

impl Watch {
    fn new(gate: mpsc::Receiver<()>) -> Self {
        Self {
            began: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            gate: Mutex::new(gate),
            samples: Mutex::new(Vec::new()),
        }
    }

    /// The load proper begins.
    pub(crate) fn begin(&self) {
        self.began.store(true, Relaxed);
    }

    /// Whether the load proper is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Relaxed) || self.ended.load(Relaxed)
    }

    /// Waits until everything may be read back; false if nobody wants it any more.
    pub(crate) fn wait_for_gate(&self) -> bool {
        lock(&self.gate).recv().is_ok()
    }

    /// Takes what one thread saw of the load proper.
    pub(crate) fn saw(&self, samples: Vec<Sample>) {
        lock(&self.samples).extend(samples);
    }

    fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    fn summary(&self, report: report::Report) -> Summary {
        let found = report.findings;
        Summary {
            samples: std::mem::take(&mut lock(&self.samples)),
            lost: found.lost,
            seen_again: found.resurrected,
            corrupt: found.corrupt,
            phantom: found.phantom,
            stale: found.stale,
            unread: found.unread,
            read_back: found.read_back,
            examples: found.examples,
            errors: report.error_texts,
        }
    }
}

impl From<&plan::Outcome<'_>> for Outcome {
    fn from(outcome: &plan::Outcome<'_>) -> Self {
        match outcome {
            plan::Outcome::Value(_) | plan::Outcome::Done(_) => Self::Good,
            plan::Outcome::Failed => Self::Failed,
            plan::Outcome::Unknown => Self::Unknown,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
