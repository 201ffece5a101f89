//! Hybrid time, actors, and the stamps made of both.

use serde::{Deserialize, Serialize};

/// Hybrid logical time: 48 bits of wall-clock milliseconds since 1970, 16 bits of counter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HlcTime(pub u64);

impl HlcTime {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    /// Built from its two parts; `millis` is cut to 48 bits.
    #[inline]
    pub fn new(millis: u64, counter: u16) -> Self {
        Self((millis << 16) | u64::from(counter))
    }

    /// Its wall-clock part, in milliseconds since 1970.
    #[inline]
    pub fn millis(self) -> u64 {
        self.0 >> 16
    }
}

/// Who stamped: a node between two losses of state, hashed to 64 bits. A node that restarts, and
/// one that has dropped records it may have stamped, is a fresh actor: reusing one after data loss
/// makes replicas diverge for ever.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ActorId(pub u64);

impl ActorId {
    /// The actor that `node` is in its boot number `boot`.
    pub fn derive(node: [u8; 16], boot: u64) -> Self {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&node);
        bytes[16..].copy_from_slice(&boot.to_le_bytes());
        Self(twox_hash::XxHash3_64::oneshot(&bytes))
    }

    /// The actor that `node` is after it has forgotten something for the `serial`-th time in this
    /// boot. A dot or a counter's tally goes on from the local record, so an actor that lost the
    /// record would give numbers a second time, and peers would take the new value for the old
    /// (Riak's issue 679). So whenever a node drops a record that it may have stamped (a fallback
    /// after its handoff, a partition that moved away, a sweep), and when it stamps a key of which
    /// it holds nothing and cannot know whether it ever did, it raises the serial and uses the new
    /// actor from then on, for all keys. Going back to the older one is the same mistake.
    pub fn derive_fresh(node: [u8; 16], boot: u64, serial: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&node);
        bytes[16..24].copy_from_slice(&boot.to_le_bytes());
        bytes[24..].copy_from_slice(&serial.to_le_bytes());
        Self(twox_hash::XxHash3_64::oneshot(&bytes))
    }
}

/// A point in the total order of writes: hybrid time first, actor to break ties. An actor never
/// makes the same stamp twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When.
    pub time: HlcTime,
    /// By whom.
    pub actor: ActorId,
}

impl Stamp {
    /// Both parts as one number of the same order, which is compared without a branch.
    #[inline]
    fn as_number(self) -> u128 {
        u128::from(self.time.0) << 64 | u128::from(self.actor.0)
    }
}

impl Ord for Stamp {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_number().cmp(&other.as_number())
    }
}

impl PartialOrd for Stamp {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..4_u64, u64::MAX - 3..=u64::MAX]
    }

    proptest! {
        #[test]
        fn stamps_are_ordered_by_time_then_actor(a in (part(), part()), b in (part(), part())) {
            let stamp = |(time, actor)| Stamp { time: HlcTime(time), actor: ActorId(actor) };
            prop_assert_eq!(stamp(a).cmp(&stamp(b)), a.cmp(&b));
        }
    }
}
