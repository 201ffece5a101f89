//! What this node has to pull, from whom next, and how far it has come.
//!
//! One job per partition: every record of an old set's data from enough of its members, each read from
//! start to end. A member that fails is tried again from where it stopped; one that is down, or goes
//! on failing, is left for the next one, and taken up again from where it stopped when it is its turn
//! or there is no other. Jobs of partitions with the fewest reachable copies go first.

use std::collections::{BTreeMap, BTreeSet};

use henge_ring::{AssignmentId, NodeId, Partition, Synced};

use super::Pace;

/// Pulls in a row without a page after which another source is tried. Links that are broken one way
/// and processes that hang look like this: the connection is up, and no answer comes.
const PATIENCE: u8 = 3;

/// How long a source can ask to be left alone, in milliseconds.
const LONGEST_REST_MS: u64 = 1_000;

/// Bounds of what a node pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// Pulls in flight at once, each of another partition. Bounds the memory and the share of its
    /// time that a joiner spends on catching up; two keep the wire busy while one waits for an
    /// answer.
    pub incoming: usize,
    /// Partitions read from this node at once.
    pub outgoing: usize,
    /// Bytes moved per second, in and out together, when no client feels it: see [`Pace`].
    pub bytes_per_second: u64,
    /// Wait before a job that was refused or got no answer is tried again, in milliseconds.
    pub retry_ms: u64,
    /// How long a stream out of this node keeps its place without being asked for more, in
    /// milliseconds.
    pub idle_ms: u64,
}

impl Default for TransferLimits {
    /// Two in, two out, 32 MiB/s.
    fn default() -> Self {
        Self {
            incoming: 2,
            outgoing: 2,
            bytes_per_second: 32 << 20,
            retry_ms: 50,
            idle_ms: 2_000,
        }
    }
}

/// One partition's data that this node has to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The set to pull from.
    pub from: AssignmentId,
    /// The set this node is to be a full member of.
    pub to: AssignmentId,
    /// The members to read, best first; not this node.
    pub sources: Vec<NodeId>,
    /// How many of them have to be read.
    pub needed: usize,
}

/// A page to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// The partition.
    pub partition: Partition,
    /// The set to pull from.
    pub from: AssignmentId,
    /// The set to pull for.
    pub to: AssignmentId,
    /// Whom to ask.
    pub source: NodeId,
    /// The token of the first record; 0 at the beginning.
    pub first: u64,
}

/// What a source answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<u64>,
    /// What crossed the wire for it: what the question said of it, and the answer's page.
    pub bytes: u64,
}

#[derive(Clone, Debug)]
struct Job {
    wanted: Wanted,
    read: BTreeSet<NodeId>,
    /// Whom it is reading.
    reading: Option<NodeId>,
    /// How far it has come with each source that it has begun: the token to go on from.
    begun: BTreeMap<NodeId, u64>,
    /// Pulls in a row from the present source that brought no page.
    failures: u8,
    in_flight: bool,
    not_before_ms: u64,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Incoming {
    me: NodeId,
    limits: TransferLimits,
    jobs: BTreeMap<Partition, Job>,
    pace: Pace,
    /// Sources that move enough already, and until when they are left alone.
    resting: BTreeMap<NodeId, u64>,
    bytes: u64,
}

impl Incoming {
    /// Nothing to pull yet.
    pub fn new(me: NodeId, limits: TransferLimits, now_ms: u64) -> Self {
        Self {
            me,
            limits,
            jobs: BTreeMap::new(),
            pace: Pace::new(limits.bytes_per_second, now_ms),
            resting: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// This is what has to be pulled of a partition now, if anything. A job that goes on keeps its
    /// progress; one for other sets begins anew.
    pub fn want(&mut self, partition: Partition, wanted: Option<Wanted>) {
        let Some(wanted) = wanted else {
            self.jobs.remove(&partition);
            return;
        };
        let same = |job: &Job| job.wanted.from == wanted.from && job.wanted.to == wanted.to;
        match self.jobs.get_mut(&partition) {
            Some(job) if same(job) => job.wanted = wanted,
            _ => {
                let job = Job {
                    wanted,
                    read: BTreeSet::new(),
                    reading: None,
                    begun: BTreeMap::new(),
                    failures: 0,
                    in_flight: false,
                    not_before_ms: 0,
                };
                self.jobs.insert(partition, job);
            }
        }
    }

    /// A job that has read enough: the fact to record. The job is over.
    pub fn finished(&mut self) -> Option<(Partition, Synced)> {
        let done = |job: &Job| job.read.len() >= job.wanted.needed;
        let (&partition, _) = self.jobs.iter().find(|(_, job)| done(job))?;
        let job = self.jobs.remove(&partition)?;
        let fact = Synced {
            joiner: self.me,
            from: job.wanted.from,
            to: job.wanted.to,
        };
        Some((partition, fact))
    }

    /// The next page to ask for now, if the limits allow one. Begun jobs go on first; then those
    /// whose old set has the fewest members up, which are lost first if more fail.
    pub fn next_pull(&mut self, now_ms: u64, up: impl Fn(&NodeId) -> bool) -> Option<Pull> {
        if self.jobs.is_empty() {
            return None;
        }
        let in_flight = self.jobs.values().filter(|job| job.in_flight).count();
        if in_flight >= self.limits.incoming || !self.pace.is_open(now_ms) {
            return None;
        }
        self.resting.retain(|_, until_ms| *until_ms > now_ms);
        let resting = &self.resting;
        let up = |id: &NodeId| !resting.contains_key(id) && up(id);
        let ready = |job: &Job| !job.in_flight && job.not_before_ms <= now_ms;
        let ready = self.jobs.iter().filter(|(_, job)| ready(job));
        let able = ready.filter(|(_, job)| job.source(&up).is_some());
        let order = |(partition, job): &(&Partition, &Job)| {
            let left = job.wanted.sources.iter().filter(|id| up(id)).count();
            (job.reading.is_none(), left, **partition)
        };
        let (&partition, _) = able.min_by_key(order)?;
        let job = self.jobs.get_mut(&partition)?;
        let source = job.source(&up)?;
        if job.reading.replace(source) != Some(source) {
            job.failures = 0;
        }
        let first = *job.begun.entry(source).or_default();
        job.in_flight = true;
        Some(Pull {
            partition,
            from: job.wanted.from,
            to: job.wanted.to,
            source,
            first,
        })
    }

    /// The page that was asked for is in this node's store.
    pub fn pulled(&mut self, pull: &Pull, page: Page) {
        self.bytes += page.bytes;
        self.pace.take(page.bytes);
        let Some(job) = self.job_of(pull) else {
            return;
        };
        job.in_flight = false;
        job.failures = 0;
        if let Some(next) = page.next {
            job.begun.insert(pull.source, next);
        } else {
            job.reading = None;
            job.read.insert(pull.source);
        }
    }

    /// The page did not come: no answer, or the source has too much to do, or cannot serve it yet.
    pub fn failed(&mut self, pull: &Pull, now_ms: u64) {
        let retry_ms = self.limits.retry_ms;
        if let Some(job) = self.job_of(pull) {
            job.in_flight = false;
            job.failures = job.failures.saturating_add(1);
            job.not_before_ms = now_ms + retry_ms;
        }
    }

    /// The source moves as much as it should, and wants to be left alone for so long.
    pub fn refused(&mut self, pull: &Pull, rest_ms: u64, now_ms: u64) {
        let rest_ms = rest_ms.clamp(1, LONGEST_REST_MS);
        self.resting.insert(pull.source, now_ms + rest_ms);
        if let Some(job) = self.job_of(pull) {
            job.in_flight = false;
        }
    }

    /// How fast this node moves data, in and out.
    pub fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// The process that had asked for pages is gone: nothing is in flight any more.
    pub fn resume(&mut self) {
        self.jobs.values_mut().for_each(|job| job.in_flight = false);
    }

    /// Partitions to pull.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is nothing to pull.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Bytes pulled since the node started.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn job_of(&mut self, pull: &Pull) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&pull.partition)?;
        let same = job.wanted.from == pull.from
            && job.wanted.to == pull.to
            && job.reading == Some(pull.source)
            && job.begun.get(&pull.source) == Some(&pull.first);
        same.then_some(job)
    }
}

impl Job {
    /// Whom to read: the same as before if it is there and answers, else the next after it that is
    /// there and was not read, all round.
    fn source(&self, up: &impl Fn(&NodeId) -> bool) -> Option<NodeId> {
        let sources = &self.wanted.sources;
        let at = self
            .reading
            .and_then(|it| sources.iter().position(|id| *id == it));
        // Without a present source the round begins at the first, else behind the present one.
        let behind = at.map_or(0, |at| at + usize::from(self.failures >= PATIENCE));
        let round = sources.iter().cycle().skip(behind).take(sources.len());
        round.copied().find(|id| up(id) && !self.read.contains(id))
    }
}

#[cfg(test)]
mod tests;
