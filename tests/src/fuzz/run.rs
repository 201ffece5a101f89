//! Running targets: whoever has a core takes the next one and feeds it for as long as it was given.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use twox_hash::XxHash3_64;

use super::{Behaviour, MOST_BYTES, Mutator, Run, SLOWEST, Target};
use crate::sim::Rng;

/// Inputs kept beside the seeds. More would only thin out the mutations of each.
const MOST_KEPT: usize = 4096;

/// An input that takes longer than this will not end: the process does.
const HANGS: Duration = Duration::from_secs(30);

/// Runs the closure and tells the most bytes it had allocated at a time; 0 where nothing counts.
pub type Measure = fn(&mut dyn FnMut()) -> u64;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long each target runs.
    pub time: Duration,
    /// Decides all inputs of a target, whatever other targets run.
    pub seed: u64,
    /// Targets at a time.
    pub threads: usize,
}

/// What a target did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub target: &'static str,
    /// Inputs run.
    pub executions: u64,
    /// For how long.
    pub time: Duration,
    /// Inputs that made something new happen, seeds included.
    pub corpus: usize,
    /// The longest that one input took.
    pub slowest: Duration,
    /// The most bytes that one input had allocated at a time.
    pub most_bytes: u64,
    /// What ended it before its time.
    pub failure: Option<Failure>,
}

/// An input that broke a law.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which target.
    pub target: &'static str,
    /// The seed it was found with.
    pub seed: u64,
    /// Bytes that make it happen again.
    pub input: Vec<u8>,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "FAILED {} (seed {}): {}",
            self.target, self.seed, self.what
        )?;
        let hex: String = self
            .input
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        write!(f, "replay: fuzz {} --input {hex}", self.target)
    }
}

/// What is being run at this moment, for the one who watches.
type Current = Mutex<Option<(Instant, &'static str, Vec<u8>)>>;

/// Runs the targets, `threads` at a time, each for its time or until its first failure. Calls `done`
/// after each.
///
/// An input that hangs cannot be taken back: it is printed and the process exits with status 1.
pub fn run(
    targets: &[Target],
    options: &Options,
    measure: Measure,
    done: &(dyn Fn(&Report) + Sync),
) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    let workers = options.threads.clamp(1, targets.len().max(1));
    let current: Vec<Current> = (0..workers).map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        let work = |current: &Current| {
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                let report = Worker::new(target, options, measure, current).run();
                done(&report);
                lock(&reports).push(report);
            }
        };
        let threads: Vec<_> = current
            .iter()
            .map(|current| scope.spawn(move || work(current)))
            .collect();
        while !threads
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(20));
            current
                .iter()
                .for_each(|current| end_hang(current, options.seed));
        }
    });
    reports.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one input.
pub fn replay(target: &Target, input: &[u8], measure: Measure) -> Option<Failure> {
    let options = Options {
        time: Duration::ZERO,
        seed: 0,
        threads: 1,
    };
    let current = Current::default();
    let mut worker = Worker::new(target, &options, measure, &current);
    worker.execute(input.to_vec());
    worker.report.failure
}

fn end_hang(current: &Current, seed: u64) {
    let current = lock(current);
    if let Some((since, target, input)) = &*current
        && since.elapsed() > HANGS
    {
        let failure = Failure {
            target,
            seed,
            input: input.clone(),
            what: format!("it has not ended after {HANGS:?}"),
        };
        println!("{failure}");
        std::process::exit(1);
    }
}

/// One target on one thread.
struct Worker<'a> {
    target: &'a Target,
    options: &'a Options,
    measure: Measure,
    current: &'a Current,
    run: Run,
    corpus: Vec<Vec<u8>>,
    seen: BTreeSet<Behaviour>,
    report: Report,
}

impl<'a> Worker<'a> {
    fn new(
        target: &'a Target,
        options: &'a Options,
        measure: Measure,
        current: &'a Current,
    ) -> Self {
        keep_panics();
        Self {
            target,
            options,
            measure,
            current,
            run: (target.make)(),
            corpus: Vec::new(),
            seen: BTreeSet::new(),
            report: Report {
                target: target.name,
                executions: 0,
                time: Duration::ZERO,
                corpus: 0,
                slowest: Duration::ZERO,
                most_bytes: 0,
                failure: None,
            },
        }
    }

    fn run(mut self) -> Report {
        let begun = Instant::now();
        let name = XxHash3_64::oneshot(self.target.name.as_bytes());
        let mut rng = Rng::new(self.options.seed ^ name);
        let mutator = Mutator {
            longest: self.target.longest,
            tokens: self.target.tokens,
        };
        let seeds = (self.target.seeds)();
        self.corpus.clone_from(&seeds);
        for seed in seeds {
            self.execute(seed);
        }
        while self.report.failure.is_none() && begun.elapsed() < self.options.time {
            let input = mutator.mutate(&self.corpus, &mut rng);
            self.execute(input);
        }
        self.report.time = begun.elapsed();
        self.report.corpus = self.corpus.len();
        self.report
    }

    /// Runs one input and judges it. The first failure stands.
    fn execute(&mut self, input: Vec<u8>) {
        let (mut took, mut bytes, mut outcome) = self.attempt(&input);
        // The machine may have been busy with something else: slow is what is slow each time.
        for _ in 0..2 {
            if took <= SLOWEST || outcome.is_err() {
                break;
            }
            let again = self.attempt(&input);
            (took, bytes, outcome) = (took.min(again.0), again.1, again.2);
        }
        self.report.executions += 1;
        self.report.slowest = self.report.slowest.max(took);
        self.report.most_bytes = self.report.most_bytes.max(bytes);
        let what = match outcome {
            Ok(_) if took > SLOWEST => format!("it took {took:?}"),
            Ok(_) if bytes > MOST_BYTES => format!("it allocated {bytes} bytes"),
            Ok(behaviour) => return self.keep(input, behaviour),
            Err(what) => what,
        };
        self.report.failure.get_or_insert(Failure {
            target: self.target.name,
            seed: self.options.seed,
            input,
            what,
        });
    }

    /// An input with which something new has happened joins the corpus.
    fn keep(&mut self, input: Vec<u8>, behaviour: Behaviour) {
        let new = self.seen.len() < MOST_KEPT && self.seen.insert(behaviour);
        if new && !self.corpus.contains(&input) {
            self.corpus.push(input);
        }
    }

    /// Runs one input: how long it took, the most it had allocated, and what became of it.
    fn attempt(&mut self, input: &[u8]) -> (Duration, u64, Result<Behaviour, String>) {
        let begun = Instant::now();
        *lock(self.current) = Some((begun, self.target.name, input.to_vec()));
        let mut rng = Rng::new(XxHash3_64::oneshot(input));
        let mut outcome = None;
        let run = &mut self.run;
        let bytes = (self.measure)(&mut || {
            outcome = Some(catch_unwind(AssertUnwindSafe(|| run(input, &mut rng))));
        });
        *lock(self.current) = None;
        let outcome = match outcome {
            Some(Ok(behaviour)) => Ok(behaviour),
            Some(Err(_)) | None => Err(PANIC.take().unwrap_or_else(|| "it panicked".to_owned())),
        };
        (begun.elapsed(), bytes, outcome)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// What the last panic on this thread said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what panics say, in addition to whatever is done with them otherwise.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANIC.set(Some(panic.to_string()));
            before(panic);
        }));
    });
}
