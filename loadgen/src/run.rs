//! One run: populate, load, settle, read everything back, report.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use henge_client::{Client, Mode};

use crate::{
    cpu, native,
    plan::{Book, Common, Evidence, KeysPlan, Mix, Plan, PopulatePlan, ReadbackPlan, SessionsPlan},
    progress,
    record::{Recording, Second},
    report::{CpuReport, Quorums, Report},
    rng::{Picker, Rng, fresh_seed},
    settings::{Settings, Workload},
    stamp::{KeySpace, Stamper},
    tally::{Findings, Tally},
    worker::{self, Harvest, Phase},
};

/// Seed of the names of a fixed set of keys: the same keys in every run.
const FIXED_KEYS: u64 = 0x6865_6e67_6521;

/// Looks at a key that reads back wrong, before it counts as lost.
const LOOKS: u32 = 3;

/// Requests under way per connection while populating and reading back.
const BULK_PIPELINE: usize = 16;

/// Longest time for populating, and for each look of reading back.
const BULK_LIMIT: Duration = Duration::from_secs(600);

/// Asks the servers for N and their default quorum.
///
/// # Errors
/// When no target answers.
pub(crate) fn probe(settings: &Settings) -> Result<Quorums, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let told = runtime.map_err(|error| error.to_string())?.block_on(async {
        let client = Client::connect(settings.target.clone(), native::options(settings)).await?;
        client.quorum().await
    });
    let told = told.map_err(|error| error.to_string())?;
    let n = settings.n.or(told.map(|quorum| quorum.n)).unwrap_or(1);
    Ok(Quorums {
        is_henge: told.is_some(),
        n,
        r: settings
            .quorum
            .r
            .or(told.map(|quorum| quorum.r))
            .unwrap_or(1),
        w: settings
            .quorum
            .w
            .or(told.map(|quorum| quorum.w))
            .unwrap_or(1),
        strict: settings
            .quorum
            .strict
            .unwrap_or(told.is_none_or(|quorum| quorum.mode == Mode::Strict)),
    })
}

/// Makes one run and reports it.
///
/// # Errors
/// When it cannot be made at all: the server refuses, or a thread cannot start.
pub(crate) fn run(settings: &Arc<Settings>, quorums: Quorums) -> Result<Report, String> {
    let run = Run::new(settings.clone());
    let mut plans = run.plans();
    if settings.load.populate {
        plans = run.populate(plans)?;
    }
    let load = &settings.load;
    if let Some(watch) = &settings.watch {
        watch.begin();
    }
    let measured = run.phase(
        "load",
        settings,
        plans,
        Limits {
            warmup: load.warmup,
            length: load.warmup + load.duration,
            requests: load.requests.unwrap_or(u64::MAX),
            rate: load.rate,
            pipeline: load.pipeline as usize,
            watched: true,
        },
    )?;
    match &settings.watch {
        Some(watch) if !watch.wait_for_gate() => return Err("nobody waits for it".to_owned()),
        Some(_) => {}
        None => thread::sleep(settings.settle),
    }
    let mut plans = measured.plans;
    let mut evidence: Vec<_> = plans.iter_mut().flat_map(|plan| plan.harvest()).collect();
    evidence.extend(run.book.evidence());
    let findings = run.read_back(evidence, &quorums)?;
    Ok(Report::new(
        settings,
        quorums,
        measured.recording,
        &measured.seconds,
        measured.cpu,
        findings,
    ))
}

/// What all phases of a run share.
struct Run {
    settings: Arc<Settings>,
    common: Common,
    book: Arc<Book>,
    epoch: Instant,
}

struct Limits {
    warmup: Duration,
    length: Duration,
    requests: u64,
    rate: Option<f64>,
    pipeline: usize,
    /// Whether who watches the run sees this phase and can end it.
    watched: bool,
}

impl Limits {
    fn bulk() -> Self {
        let (warmup, rate) = (Duration::ZERO, None);
        Self {
            warmup,
            length: BULK_LIMIT,
            requests: u64::MAX,
            rate,
            pipeline: BULK_PIPELINE,
            watched: false,
        }
    }
}

/// What a phase brought.
struct Measured {
    plans: Vec<Box<dyn Plan>>,
    recording: Recording,
    seconds: Vec<Second>,
    cpu: CpuReport,
}

impl Run {
    fn new(settings: Arc<Settings>) -> Self {
        let load = &settings.load;
        let session = load.workload == Workload::Session;
        let seed = if session { fresh_seed() } else { FIXED_KEYS };
        let common = Common {
            space: KeySpace::new(&load.key_prefix, seed),
            stamper: Stamper::new(fresh_seed(), load.value_size as usize),
            tally: Arc::new(Tally::default()),
            ttl: load.ttl_ms(),
        };
        let book = Arc::new(Book::new(if session { 0 } else { load.keys }));
        Self {
            common,
            book,
            epoch: Instant::now(),
            settings,
        }
    }

    fn plans(&self) -> Vec<Box<dyn Plan>> {
        let load = &self.settings.load;
        let mix = match load.workload {
            Workload::Session => return self.sessions(false),
            Workload::Get => Mix::reads(1.0),
            Workload::Set => Mix::reads(0.0),
            Workload::Mixed => Mix::reads(load.reads),
            Workload::Touch => Mix::touches(load.touches),
        };
        let picker = Arc::new(Picker::new(load.distribution, load.keys));
        let plan = |_| -> Box<dyn Plan> {
            let (common, book, picker) = (self.common.clone(), self.book.clone(), picker.clone());
            let rng = Rng::new(fresh_seed());
            Box::new(KeysPlan::new(common, book, picker, rng, mix))
        };
        (0..load.connections).map(plan).collect()
    }

    fn sessions(&self, only_login: bool) -> Vec<Box<dyn Plan>> {
        let load = &self.settings.load;
        // As many users as requests can be under way, at least.
        let users = load.keys.div_ceil(load.connections).max(load.pipeline);
        let plan = |connection| -> Box<dyn Plan> {
            let common = self.common.clone();
            Box::new(SessionsPlan::new(
                common,
                users,
                load.weights,
                connection,
                only_login,
            ))
        };
        (0..load.connections).map(plan).collect()
    }

    /// Writes all keys, or logs all users in; gives the plans for the load.
    fn populate(&self, plans: Vec<Box<dyn Plan>>) -> Result<Vec<Box<dyn Plan>>, String> {
        let load = &self.settings.load;
        if load.workload == Workload::Session {
            let mut plans = self
                .phase(
                    "log in",
                    &self.settings,
                    self.sessions(true),
                    Limits::bulk(),
                )?
                .plans;
            plans.iter_mut().for_each(|plan| plan.begin_load());
            return Ok(plans);
        }
        let plan = |first| -> Box<dyn Plan> {
            let (common, book) = (self.common.clone(), self.book.clone());
            Box::new(PopulatePlan::new(common, book, first, load.connections))
        };
        let fill = (0..load.connections).map(plan).collect();
        self.phase("populate", &self.settings, fill, Limits::bulk())?;
        Ok(plans)
    }

    /// Reads every key back, and those that read wrong again, with R = N where the server knows it.
    fn read_back(&self, evidence: Vec<Evidence>, quorums: &Quorums) -> Result<Findings, String> {
        let (total, mut overtaken, mut late) = (evidence.len() as u64, 0, 0);
        let (mut suspects, mut unread) = (evidence, Vec::new());
        let mut settings = self.settings.clone();
        for look in 1..=LOOKS {
            let asked = suspects.len();
            if asked == 0 {
                break;
            }
            let mut found = self.look(&settings, suspects)?;
            overtaken += found.overtaken;
            late += if look > 1 {
                (asked - found.suspects.len() - found.unread.len()) as u64
            } else {
                0
            };
            unread = std::mem::take(&mut found.unread);
            suspects = found.suspects;
            if look < LOOKS {
                suspects.append(&mut unread);
            }
            if quorums.is_henge {
                Arc::make_mut(&mut settings).quorum.r = Some(quorums.n);
            }
            if !suspects.is_empty() {
                thread::sleep(Duration::from_millis(500));
            }
        }
        for evidence in &suspects {
            self.common
                .tally
                .example(|| format!("lost: {}", self.common.space.name(evidence.key)));
        }
        let mut findings = self.common.tally.findings();
        findings.lost = suspects.len() as u64;
        findings.unread = unread.len() as u64;
        findings.overtaken += overtaken;
        findings.late = late;
        findings.read_back = total;
        Ok(findings)
    }

    fn look(&self, settings: &Arc<Settings>, evidence: Vec<Evidence>) -> Result<Leftovers, String> {
        let connections = settings.load.connections as usize;
        let mut shares: Vec<Vec<Evidence>> = (0..connections).map(|_| Vec::new()).collect();
        evidence
            .into_iter()
            .enumerate()
            .for_each(|(i, evidence)| shares[i % connections].push(evidence));
        let plan =
            |share| -> Box<dyn Plan> { Box::new(ReadbackPlan::new(self.common.clone(), share)) };
        let plans = shares.into_iter().map(plan).collect();
        let mut plans = self
            .phase("read back", settings, plans, Limits::bulk())?
            .plans;
        let mut all = Leftovers::default();
        for plan in plans.iter_mut().filter_map(|plan| plan.readback()) {
            let leftover = plan.leftover();
            all.suspects.extend(leftover.suspects);
            all.unread.extend(leftover.unread);
            all.overtaken += leftover.overtaken;
        }
        Ok(all)
    }

    /// Runs plans, one per connection, spread over the threads.
    fn phase(
        &self,
        name: &str,
        settings: &Arc<Settings>,
        plans: Vec<Box<dyn Plan>>,
        limits: Limits,
    ) -> Result<Measured, String> {
        let threads = settings.load.threads as usize;
        let begin = Instant::now();
        let phase = Phase {
            epoch: self.epoch,
            begin,
            measured: begin + limits.warmup,
            end: begin + limits.length,
            pipeline: limits.pipeline,
            rate: limits.rate.map(|rate| rate / threads as f64),
            requests: limits.requests.div_ceil(threads as u64),
            watched: limits.watched,
        };
        let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
        plans
            .into_iter()
            .enumerate()
            .for_each(|(i, plan)| shares[i % threads].push((i, plan)));
        let (sender, seconds) = mpsc::channel();
        let start = |share| {
            let (settings, common, sender) =
                (settings.clone(), self.common.clone(), sender.clone());
            thread::spawn(move || worker::run(settings, common, phase, share, sender))
        };
        let workers: Vec<_> = shares.into_iter().map(start).collect();
        drop(sender);
        let watch = CpuWatch::new(settings.pids.clone(), phase);
        let seconds = progress::watch(name, &seconds, threads, settings.quiet);
        let mut measured = Measured {
            plans: Vec::new(),
            recording: Recording::new(),
            seconds,
            cpu: CpuReport::default(),
        };
        for worker in workers {
            let harvest = worker
                .join()
                .map_err(|_| "a thread of the load generator panicked")??;
            measured.take(harvest)?;
        }
        measured.cpu = watch.finish();
        Ok(measured)
    }
}

#[derive(Default)]
struct Leftovers {
    suspects: Vec<Evidence>,
    unread: Vec<Evidence>,
    overtaken: u64,
}

impl Measured {
    fn take(&mut self, harvest: Harvest) -> Result<(), String> {
        if let Some(reason) = harvest.refused {
            return Err(format!("refused by {reason}"));
        }
        self.plans.extend(harvest.plans);
        self.recording.add(&harvest.recording);
        Ok(())
    }
}

/// Reads CPU times at the two ends of the measured window.
struct CpuWatch {
    thread: thread::JoinHandle<CpuReport>,
    done: mpsc::Sender<()>,
}

impl CpuWatch {
    fn new(pids: Vec<u32>, phase: Phase) -> Self {
        let (done, ended) = mpsc::channel();
        let watch = move || {
            thread::sleep(phase.measured.saturating_duration_since(Instant::now()));
            let (began, own, servers) = (Instant::now(), cpu::of_this_process(), read(&pids));
            // Whichever comes first: the end of the window, or of a phase that needs less.
            let _ = ended.recv_timeout(phase.end.saturating_duration_since(Instant::now()));
            CpuReport::between(
                began.elapsed(),
                cpu::of_this_process() - own,
                &servers,
                &read(&pids),
            )
        };
        Self {
            thread: thread::spawn(watch),
            done,
        }
    }

    fn finish(self) -> CpuReport {
        // The thread may have ended by itself.
        let _ = self.done.send(());
        self.thread.join().unwrap_or_default()
    }
}

fn read(pids: &[u32]) -> BTreeMap<u32, Duration> {
    pids.iter()
        .filter_map(|pid| Some((*pid, cpu::of_process(*pid)?)))
        .collect()
}
