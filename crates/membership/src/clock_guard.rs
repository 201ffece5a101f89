//! Whose wall clock is wrong: decided from how far the peers' clocks are from one's own.
//!
//! Deadlines are wall-clock time. A node whose clock is an hour ahead takes sessions for expired that
//! are not, begins new lives over them that no logout knows of, and forgets logouts that others still
//! need. So each node compares itself with its peers (a ping carries the peer's wall time; its round
//! trip bounds the error) and one that is beyond the bound stops stamping. Three rules:
//!
//! * *The majority is right.* Of the clocks in sight, one's own among them, the median counts. Who is
//!   further from it than the bound is [`Standing::Wrong`].
//! * *A jump is believed by nobody until peers confirm it.* Wall time runs as evenly as the monotonic
//!   clock; when it has moved against that one by more than half of the bound at once, the peers'
//!   offsets measured before decide at once; without any the node is [`Standing::Suspect`]. Meanwhile
//!   time goes on from where it was, by the monotonic clock: [`ClockGuard::read`].
//! * *In doubt a node goes on only if it was right before.* With one peer in sight there is no
//!   majority: two clocks that agree are right, of two that do not the one that has jumped stops, and
//!   if neither has, each that was confirmed before goes on ([`Standing::Undecided`]). A node that
//!   nobody has ever confirmed does not begin to stamp.
//!
//! Every offset is kept against this node's *monotonic* clock, so that a jump of its own wall clock
//! makes none of them stale. They are forgotten after [`FORGET_MS`].
//!
//! Who may stamp again *says so before it acts on it* ([`ClockGuard::decides_from_ms`]). Peers that took this
//! clock for wrong had another node decide conditional writes in its stead, and learn of the change with
//! their next ping: until they have, two nodes would decide for one key, and of two increments one be lost.
//!
//! Left out: a majority that is wrong together (nodes on one host whose clock is wrong) is believed,
//! and those that are right stop. Offsets within the bound are not corrected: that is NTP's work.

use std::collections::BTreeMap;

use henge_ring::NodeId;

/// An offset this old says nothing any more: three pings of a link at rest.
pub const FORGET_MS: u64 = 30_000;

/// How long a clock that has never been right before is announced before its node decides anything: peers
/// ask one that has just started every 10 ms, and what they had begun to decide takes a few round trips.
pub const FIRST_ANNOUNCED_MS: u64 = 100;

/// The same where it has been right before: peers ask one that they know to be wrong every 500 ms.
pub const AGAIN_ANNOUNCED_MS: u64 = 700;

/// The least that counts as a jump: both clocks are read in whole milliseconds, one after the other.
const LEAST_JUMP_MS: u64 = 10;

/// Both clocks of this node, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Monotonic milliseconds.
    pub mono_ms: u64,
    /// Milliseconds since 1970, as the machine says.
    pub wall_ms: u64,
}

impl Reading {
    fn base(self) -> i64 {
        self.wall_ms.wrapping_sub(self.mono_ms) as i64
    }
}

/// What is known of this node's clock. Offsets are in milliseconds, positive: ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The clocks in sight agree, or there is no other member.
    Agreed {
        /// From the median.
        offset_ms: i64,
    },
    /// No peer's clock is known; this one has run evenly.
    Unseen,
    /// One other clock is known, or two halves disagree, and this one has run evenly.
    Undecided {
        /// From the nearest other opinion.
        offset_ms: i64,
    },
    /// It has jumped, and nobody has confirmed the new time.
    Suspect {
        /// By so much.
        offset_ms: i64,
    },
    /// It is beyond the bound from the median.
    Wrong {
        /// From the median.
        offset_ms: i64,
    },
}

impl Standing {
    /// How far off it is, as far as that is known.
    pub fn offset_ms(self) -> i64 {
        match self {
            Self::Unseen => 0,
            Self::Agreed { offset_ms }
            | Self::Undecided { offset_ms }
            | Self::Suspect { offset_ms }
            | Self::Wrong { offset_ms } => offset_ms,
        }
    }

    /// A word for it, for people and machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Agreed { .. } => "agreed",
            Self::Unseen => "unseen",
            Self::Undecided { .. } => "undecided",
            Self::Suspect { .. } => "suspect",
            Self::Wrong { .. } => "wrong",
        }
    }
}

/// One peer's clock, as last measured.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The peer's wall time less this node's monotonic time.
    base: i64,
    /// How far that may be off, in milliseconds.
    error_ms: u64,
    /// When it was measured, on the monotonic clock.
    at_ms: u64,
}

/// A peer's offset, for whoever looks after the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerOffset {
    /// The peer.
    pub peer: NodeId,
    /// How far its clock is ahead of this node's machine's, in milliseconds.
    pub offset_ms: i64,
    /// Whether it is beyond the bound from the median of all, where there is a majority.
    pub beyond: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct ClockGuard {
    bound_ms: u64,
    /// Wall time less monotonic time, as it is believed to be.
    trusted: i64,
    standing: Standing,
    /// Whether what is trusted has ever agreed with others' clocks; it has gone on evenly since.
    confirmed: bool,
    /// See [`ClockGuard::decides_from_ms`].
    decides_from_ms: u64,
    peers: BTreeMap<NodeId, Sample>,
}

impl ClockGuard {
    /// Of a node that has heard nobody yet. Its clock may be `bound_ms` from the others'.
    pub fn new(bound_ms: u64, now: Reading) -> Self {
        Self {
            bound_ms,
            trusted: now.base(),
            standing: Standing::Unseen,
            confirmed: false,
            decides_from_ms: u64::MAX,
            peers: BTreeMap::new(),
        }
    }

    /// How far wall time may move against the monotonic clock at once, in milliseconds.
    pub fn jump_ms(&self) -> u64 {
        (self.bound_ms / 2).max(LEAST_JUMP_MS)
    }

    /// The largest offset from the median that is in order, in milliseconds.
    pub fn bound_ms(&self) -> u64 {
        self.bound_ms
    }

    /// Wall time less monotonic time, as believed after the last [`judge`](Self::judge).
    pub fn trusted_ms(&self) -> i64 {
        self.trusted
    }

    /// As judged last.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether this node may stamp, and judge what is expired.
    pub fn may_stamp(&self) -> bool {
        let off = matches!(
            self.standing,
            Standing::Suspect { .. } | Standing::Wrong { .. }
        );
        self.confirmed && !off
    }

    /// The monotonic time from which this node may decide for others too, in milliseconds: when its clock is
    /// right, and those who took it for wrong have had the time to hear of it. `u64::MAX` while it is wrong.
    pub fn decides_from_ms(&self) -> u64 {
        self.decides_from_ms
    }

    /// Whether it cannot be told what time it is: nobody has confirmed this clock, and no majority has
    /// corrected it.
    pub fn is_timeless(&self) -> bool {
        !self.confirmed && !matches!(self.standing, Standing::Wrong { .. })
    }

    /// Whether it may forget for good what has expired: only where nothing is in doubt.
    pub fn may_forget(&self) -> bool {
        let in_doubt = matches!(self.standing, Standing::Undecided { .. });
        self.may_stamp() && !in_doubt
    }

    /// The time to work with: the machine's, or, where that has jumped, as it would be without.
    pub fn read(&self, now: Reading) -> u64 {
        match self.has_jumped(now) {
            false => now.wall_ms,
            true => now.mono_ms.wrapping_add_signed(self.trusted),
        }
    }

    /// Whether the machine's time cannot be believed without asking: judge again first.
    pub fn has_jumped(&self, now: Reading) -> bool {
        now.base().wrapping_sub(self.trusted).unsigned_abs() > self.jump_ms()
    }

    /// A peer said its wall time, and its answer took `round_trip_ms` in all: it was that time about
    /// half as long ago. An answer that took longer than the bound takes nobody's place that is
    /// known better and no older than a third of [`FORGET_MS`].
    pub fn heard(&mut self, peer: NodeId, wall_ms: u64, round_trip_ms: u64, now: Reading) {
        let error_ms = round_trip_ms / 2;
        let middle = now.mono_ms.saturating_sub(error_ms);
        let sample = Sample {
            base: wall_ms.wrapping_sub(middle) as i64,
            error_ms,
            at_ms: now.mono_ms,
        };
        let usual_ms = self.jump_ms();
        let known = self.peers.entry(peer).or_insert(sample);
        let is_old = now.mono_ms.saturating_sub(known.at_ms) > FORGET_MS / 3;
        if is_old || error_ms <= known.error_ms.max(usual_ms) {
            *known = sample;
        }
    }

    /// Decides anew. `is_lonely`: no other node is or was to be a member, so that nobody else's
    /// deadlines are judged by this clock.
    pub fn judge(&mut self, now: Reading, is_lonely: bool) -> Standing {
        self.peers
            .retain(|_, sample| now.mono_ms.saturating_sub(sample.at_ms) <= FORGET_MS);
        let (own, is_first) = (now.base(), !self.confirmed);
        let (standing, trusted) = match self.nearest_median(own) {
            None if is_lonely => (Standing::Agreed { offset_ms: 0 }, own),
            None => self.alone(own),
            Some(median) => self.among(own, &median),
        };
        self.confirmed |= matches!(standing, Standing::Agreed { .. });
        self.trusted = trusted;
        self.standing = standing;
        self.decides_from_ms = match (self.may_stamp(), self.decides_from_ms) {
            (false, _) => u64::MAX,
            (true, u64::MAX) if is_lonely => now.mono_ms,
            (true, u64::MAX) if is_first => now.mono_ms + FIRST_ANNOUNCED_MS,
            (true, u64::MAX) => now.mono_ms + AGAIN_ANNOUNCED_MS,
            (true, announced) => announced,
        };
        standing
    }

    /// Whether its clock has ever agreed with another.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// The peers' offsets as last measured, in the order of their ids.
    pub fn offsets(&self, now: Reading) -> Vec<PeerOffset> {
        let own = now.base();
        let median = self.nearest_median(own).filter(|_| self.peers.len() > 1);
        let offset = |(peer, sample): (&NodeId, &Sample)| PeerOffset {
            peer: *peer,
            offset_ms: sample.base.wrapping_sub(own),
            beyond: median.as_ref().is_some_and(|median| {
                let off = sample.base.wrapping_sub(own.wrapping_sub(median.from));
                !median.parted && off.unsigned_abs() > self.bound_ms + median.error_ms
            }),
        };
        self.peers.iter().map(offset).collect()
    }

    fn alone(&self, own: i64) -> (Standing, i64) {
        let offset_ms = own.wrapping_sub(self.trusted);
        if offset_ms.unsigned_abs() > self.jump_ms() {
            return (Standing::Suspect { offset_ms }, self.trusted);
        }
        (Standing::Unseen, own)
    }

    fn among(&self, own: i64, median: &Median) -> (Standing, i64) {
        let (from, jumped) = (median.from, own.wrapping_sub(self.trusted));
        // Who was wrong must come a little nearer, or clocks at the bound would come and go.
        let margin = match self.standing {
            Standing::Wrong { .. } => self.bound_ms / 8,
            _ => 0,
        };
        let is_near = from.unsigned_abs() <= self.bound_ms - margin + median.error_ms;
        match median.parted {
            false if is_near => (Standing::Agreed { offset_ms: from }, own),
            false => (Standing::Wrong { offset_ms: from }, own.wrapping_sub(from)),
            true if jumped.unsigned_abs() > self.jump_ms() => {
                (Standing::Suspect { offset_ms: jumped }, self.trusted)
            }
            true => (Standing::Undecided { offset_ms: from }, own),
        }
    }

    /// How far this clock is from the median of all that are known; `None`: it is the only one.
    fn nearest_median(&self, own: i64) -> Option<Median> {
        if self.peers.is_empty() {
            return None;
        }
        let mut all: Vec<i64> = self.peers.values().map(|it| it.base).collect();
        all.push(own);
        all.sort_unstable();
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        // Usual errors are part of the bound; those of slow links come on top of it.
        let errors = self.peers.values().map(|it| it.error_ms).max();
        let error_ms = errors.unwrap_or(0).saturating_sub(self.jump_ms());
        let parted = high.wrapping_sub(low).unsigned_abs() > self.bound_ms + error_ms;
        let nearest = own.clamp(low, high);
        let from = if parted {
            let other = if own <= low { high } else { low };
            own.wrapping_sub(other)
        } else {
            own.wrapping_sub(nearest)
        };
        Some(Median {
            from,
            parted,
            error_ms,
        })
    }
}

/// The middle of all clocks in sight.
struct Median {
    /// How far this node's clock is ahead of it; of the other half where they are parted.
    from: i64,
    /// Half of the clocks say one thing and half another.
    parted: bool,
    /// By how much more than usual it may be off.
    error_ms: u64,
}

#[cfg(test)]
mod tests;
