//! What a load saw before, during and after a fault, as figures. Pure: instants in, figures out.

use std::time::{Duration, Instant};

use henge_loadgen::{Outcome, Sample};

/// How long after a fault requests may fail: what failure detection may take.
pub const GRACE: Duration = Duration::from_secs(2);

/// When what was done to the cluster.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// When the load began to be looked at.
    pub began: Instant,
    /// When the first thing was done, if anything was.
    pub struck: Option<Instant>,
    /// Each fault, in order: a link that flaps has one for each time it is cut. What is done on
    /// purpose (a node joins or leaves) is none.
    pub blows: Vec<Instant>,
    /// When the last fault was mended.
    pub healed: Option<Instant>,
}

impl Timeline {
    /// Nothing has been done yet.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            struck: None,
            blows: Vec::new(),
            healed: None,
        }
    }

    /// Something is about to be done; `excused`: requests may fail for it.
    pub fn strike(&mut self, now: Instant, excused: bool) {
        self.struck.get_or_insert(now);
        if excused {
            self.blows.push(now);
        }
    }

    fn part(&self, due: Instant) -> Part {
        match (self.struck, self.healed) {
            (Some(first), _) if due < first => Part::Before,
            (_, Some(healed)) if due >= healed => Part::After,
            (Some(_), _) => Part::During,
            (None, _) => Part::Before,
        }
    }

    /// Whether a request was under way at some time of the grace of a blow.
    pub fn is_excused(&self, sample: &Sample) -> bool {
        let ended = sample.due + sample.took;
        self.blows
            .iter()
            .any(|blow| sample.due < *blow + GRACE && ended >= *blow)
    }
}

impl Latency {
    /// Of these samples, as far as they were answered well.
    pub fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Self {
        let good = samples.filter(|it| it.outcome == Outcome::Good);
        latency(good.map(|it| it.took).collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    During,
    After,
}

/// Latencies of good answers, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Half are below.
    pub p50: f64,
    /// Ninety-nine of a hundred are below.
    pub p99: f64,
}

/// What the load saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Requests answered well.
    pub good: u64,
    /// Writes acknowledged, which are among those.
    pub acked: u64,
    /// Requests refused or not answered, and writes in doubt.
    pub bad: u64,
    /// Requests from the first thing done on that no grace excuses, and those of them that went wrong.
    pub held: u64,
    /// See `held`.
    pub held_bad: u64,
    /// Before anything was done.
    pub before: Latency,
    /// From then until all is mended.
    pub during: Latency,
    /// From then on.
    pub after: Latency,
    /// Longest time without a good answer.
    pub gap: Duration,
}

impl Figures {
    /// What a timeline makes of samples, which may come in any order.
    pub fn of(samples: &[Sample], timeline: &Timeline) -> Self {
        let mut figures = Self::default();
        let mut took: [Vec<Duration>; 3] = Default::default();
        let mut ends = Vec::with_capacity(samples.len());
        for sample in samples.iter().filter(|it| it.due >= timeline.began) {
            let part = timeline.part(sample.due);
            let good = sample.outcome == Outcome::Good;
            if good {
                figures.good += 1;
                figures.acked += u64::from(sample.is_write);
                took[part as usize].push(sample.took);
                ends.push(sample.due + sample.took);
            } else {
                figures.bad += 1;
            }
            if part != Part::Before && !timeline.is_excused(sample) {
                figures.held += 1;
                figures.held_bad += u64::from(!good);
            }
        }
        [figures.before, figures.during, figures.after] = took.map(latency);
        ends.sort_unstable();
        let gaps = ends.windows(2).map(|pair| pair[1] - pair[0]);
        figures.gap = gaps.max().unwrap_or_default();
        figures
    }

    /// Of the requests that no grace excuses, the share that went well; 1 if there were none.
    pub fn availability(&self) -> f64 {
        if self.held == 0 {
            return 1.0;
        }
        1.0 - self.held_bad as f64 / self.held as f64
    }
}

/// Length of a line of the diary.
const LINE: Duration = Duration::from_millis(250);

/// What the load saw, a line for each quarter of a second: by when requests were due, and how many
/// ended. For people who look for the cause of a figure.
pub fn diary(samples: &[Sample], timeline: &Timeline) -> String {
    #[derive(Default)]
    struct Line {
        took: Vec<Duration>,
        failed: u32,
        unknown: u32,
        ended: u32,
    }
    let index = |at: Instant| {
        let since = at.saturating_duration_since(timeline.began);
        (since.as_millis() / LINE.as_millis()) as usize
    };
    let last = samples.iter().map(|it| index(it.due + it.took)).max();
    let mut lines: Vec<Line> = Vec::new();
    lines.resize_with(last.map_or(0, |it| it + 1), Line::default);
    for sample in samples.iter().filter(|it| it.due >= timeline.began) {
        lines[index(sample.due + sample.took)].ended += 1;
        let line = &mut lines[index(sample.due)];
        match sample.outcome {
            Outcome::Good => line.took.push(sample.took),
            Outcome::Failed => line.failed += 1,
            Outcome::Unknown => line.unknown += 1,
        }
    }
    let mut text = "     ms     good   failed  unknown    ended   p50 ms   p99 ms\n".to_owned();
    for (number, line) in lines.into_iter().enumerate() {
        let (good, lag) = (line.took.len(), latency(line.took));
        let at = number as u128 * LINE.as_millis();
        let is_here = |it: &&Instant| index(**it) == number;
        let struck = timeline.blows.iter().filter(is_here).count();
        let healed = timeline.healed.as_ref().filter(is_here).map(|_| "  mended");
        text += &format!(
            "{at:7}{good:9}{:9}{:9}{:9}{:9.1}{:9.1}{}{}\n",
            line.failed,
            line.unknown,
            line.ended,
            lag.p50,
            lag.p99,
            if struck > 0 { "  struck" } else { "" },
            healed.unwrap_or_default(),
        );
    }
    text
}

fn latency(mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let at = |share: f64| {
        // The smallest that so large a share does not exceed.
        let rank = (took.len() as f64 * share).ceil() as usize;
        let found = took.get(rank.saturating_sub(1));
        found.map_or(0.0, |it| it.as_secs_f64() * 1e3)
    };
    Latency {
        p50: at(0.5),
        p99: at(0.99),
    }
}

#[cfg(test)]
mod tests;
