//! One thread of a phase: its connections, and what they share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use henge_client::Client;
use tokio::{
    runtime::Builder,
    task::{JoinHandle, LocalSet, spawn_local},
    time::{interval_at, sleep_until},
};

use crate::{
    history::Millis,
    native,
    pace::{DueQueue, dispatch},
    plan::{Common, Kind, Op, Outcome, Plan},
    record::{Recorder, Recording, Second},
    resp,
    settings::{Protocol, Settings},
    watched::Watch,
};

/// Times and limits of a phase; the same for all its threads but for their shares.
#[derive(Clone, Copy)]
pub(crate) struct Phase {
    /// Zero of [`Millis`]: the same in all phases of a run.
    pub(crate) epoch: Instant,
    pub(crate) begin: Instant,
    /// End of the warm-up.
    pub(crate) measured: Instant,
    pub(crate) end: Instant,
    pub(crate) pipeline: usize,
    /// This thread's share, in requests per second.
    pub(crate) rate: Option<f64>,
    /// This thread's share of the requests to make.
    pub(crate) requests: u64,
    /// Whether who watches the run sees this phase and can end it.
    pub(crate) watched: bool,
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) settings: Arc<Settings>,
    pub(crate) common: Common,
    pub(crate) phase: Phase,
    recorder: RefCell<Recorder>,
    left: Cell<u64>,
    refused: RefCell<Option<String>>,
}

/// What a thread brings back.
pub(crate) struct Harvest {
    pub(crate) plans: Vec<Box<dyn Plan>>,
    pub(crate) recording: Recording,
    /// Why the server did not let it work at all.
    pub(crate) refused: Option<String>,
}

impl Worker {
    /// The next operation, unless the phase is over.
    pub(crate) fn take(&self, plan: &mut dyn Plan, now: Instant) -> Option<Op> {
        if self.is_over(now) {
            return None;
        }
        let op = plan.next(self.millis(now))?;
        self.left.set(self.left.get() - 1);
        Some(op)
    }

    /// Enters the outcome of an operation that was due at `due`.
    pub(crate) fn settle(
        &self,
        plan: &mut dyn Plan,
        op: &Op,
        outcome: Outcome<'_>,
        due: Instant,
        now: Instant,
    ) {
        plan.done(op, outcome, self.millis(now));
        self.recorder
            .borrow_mut()
            .operation(op.kind, &outcome, due, now);
    }

    /// What an operation without an answer has become.
    pub(crate) fn without_answer(kind: Kind) -> Outcome<'static> {
        if kind.is_write() {
            Outcome::Unknown
        } else {
            Outcome::Failed
        }
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.phase.end
            || self.left.get() == 0
            || self.refused.borrow().is_some()
            || self.watch().is_some_and(Watch::is_over)
    }

    fn watch(&self) -> Option<&Watch> {
        let watch = self.settings.watch.as_deref();
        watch.filter(|_| self.phase.watched)
    }

    pub(crate) fn connection_error(&self, text: &str) {
        self.recorder.borrow_mut().connection_error(Instant::now());
        self.error_text(text);
    }

    /// Counts the words of an error for the report.
    pub(crate) fn error_text(&self, text: &str) {
        self.recorder.borrow_mut().error_text(text);
    }

    /// The server refuses what the run is about: ends the run.
    pub(crate) fn refuse(&self, reason: String) {
        *self.refused.borrow_mut() = Some(reason);
    }

    fn millis(&self, now: Instant) -> Millis {
        now.saturating_duration_since(self.phase.epoch).as_millis() as Millis
    }
}

/// Runs the plans, one per connection numbered from `first`, until the phase is over.
pub(crate) fn run(
    settings: Arc<Settings>,
    common: Common,
    phase: Phase,
    plans: Vec<(usize, Box<dyn Plan>)>,
    seconds: mpsc::Sender<Second>,
) -> Result<Harvest, String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let watched = phase.watched && settings.watch.is_some();
    let worker = Rc::new(Worker {
        settings,
        common,
        phase,
        recorder: RefCell::new(Recorder::new(phase.begin, phase.measured, watched)),
        left: Cell::new(phase.requests),
        refused: RefCell::new(None),
    });
    let plans =
        LocalSet::new().block_on(&runtime, drive(worker.clone(), plans, seconds.clone()))?;
    // Connections that were still being made hold a reference; they end with the runtime.
    drop(runtime);
    let worker = Rc::into_inner(worker).ok_or("a connection outlived its thread")?;
    let mut recorder = worker.recorder.into_inner();
    if let Some(watch) = worker.settings.watch.as_deref().filter(|_| watched) {
        watch.saw(recorder.take_samples());
    }
    let (recording, second) = recorder.finish();
    // The receiver may be gone when nobody wants progress.
    let _ = seconds.send(second);
    Ok(Harvest {
        plans,
        recording,
        refused: worker.refused.into_inner(),
    })
}

async fn drive(
    worker: Rc<Worker>,
    plans: Vec<(usize, Box<dyn Plan>)>,
    seconds: mpsc::Sender<Second>,
) -> Result<Vec<Box<dyn Plan>>, String> {
    let ticker = spawn_local(tick(worker.clone(), seconds));
    let queues: Vec<_> = plans.iter().map(|_| Rc::new(DueQueue::default())).collect();
    let Phase {
        rate, begin, end, ..
    } = worker.phase;
    let dispatcher = rate.map(|rate| spawn_local(dispatch(queues.clone(), rate, begin, end)));
    let due = |index: usize| rate.map(|_| queues[index].clone());
    let plans = match worker.settings.load.protocol {
        Protocol::Resp => {
            let start = |(nth, (index, plan)): (usize, (usize, Box<dyn Plan>))| {
                spawn_local(resp::connection(worker.clone(), plan, index, due(nth)))
            };
            join(plans.into_iter().enumerate().map(start).collect()).await?
        }
        Protocol::Native => drive_native(&worker, plans, due).await?,
    };
    let backlog = queues.iter().map(|queue| queue.backlog()).sum();
    worker.recorder.borrow_mut().unsent(backlog);
    stop(ticker).await;
    if let Some(dispatcher) = dispatcher {
        stop(dispatcher).await;
    }
    Ok(plans)
}

async fn drive_native(
    worker: &Rc<Worker>,
    plans: Vec<(usize, Box<dyn Plan>)>,
    due: impl Fn(usize) -> Option<Rc<DueQueue>>,
) -> Result<Vec<Box<dyn Plan>>, String> {
    let options = native::options(&worker.settings);
    let client = Client::connect(worker.settings.target.clone(), options).await;
    let client = client.map_err(|error| error.to_string())?;
    let plans: Vec<_> = plans
        .into_iter()
        .map(|(_, plan)| Rc::new(RefCell::new(plan)))
        .collect();
    let slots = plans.iter().enumerate().flat_map(|(nth, plan)| {
        let slot = (client.clone(), plan.clone(), due(nth));
        std::iter::repeat_n(slot, worker.phase.pipeline)
    });
    let start = |(client, plan, due)| spawn_local(native::slot(worker.clone(), client, plan, due));
    join(slots.map(start).collect()).await?;
    let alone = |plan| Rc::into_inner(plan).map(RefCell::into_inner);
    Ok(plans.into_iter().filter_map(alone).collect())
}

async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Result<Vec<T>, String> {
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        all.push(task.await.map_err(|error| error.to_string())?);
    }
    Ok(all)
}

/// Sends each second on as it ends.
async fn tick(worker: Rc<Worker>, seconds: mpsc::Sender<Second>) {
    let second = Duration::from_secs(1);
    let mut ticks = interval_at((worker.phase.begin + second).into(), second);
    loop {
        ticks.tick().await;
        if seconds
            .send(worker.recorder.borrow_mut().take_second(Instant::now()))
            .is_err()
        {
            return;
        }
    }
}

async fn stop(task: JoinHandle<()>) {
    task.abort();
    // Ended either way: by itself, or by being aborted.
    let _ = task.await;
}

/// The next due time, or `None` when the phase ends first.
pub(crate) async fn due_before_end(queue: &DueQueue, end: Instant) -> Option<Instant> {
    tokio::select! {
        biased;
        due = queue.next() => Some(due),
        () = sleep_until(end.into()) => None,
    }
}
