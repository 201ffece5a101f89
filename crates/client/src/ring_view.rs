//! The ring as a node tells it: who the members are and which are primaries of which partition.

use std::collections::BTreeSet;

use henge_ring::Token;
use serde::Deserialize;

/// Most members accepted in a ring; far above any cluster the partition count allows.
const MAX_MEMBERS: usize = 4096;

/// One node of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Node id, 32 hexadecimal digits.
    pub id: String,
    /// `host:port` of its Redis door.
    pub resp: String,
    /// Its zone; empty when it has none.
    #[serde(default)]
    pub zone: Option<String>,
    /// Whether the node that was asked thinks it is up. A hint, not a truth.
    #[serde(default = "yes")]
    pub up: bool,
}

fn yes() -> bool {
    true
}

/// Answer to `HENGE.RING`, checked: every partition's members exist.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RingView {
    /// Names this ring; another tag means another ring.
    pub tag: String,
    /// Partitions are `2^bits`.
    pub bits: u8,
    /// Replicas of each key.
    pub n: u32,
    /// All members.
    pub members: Vec<Member>,
    partitions: Vec<Vec<usize>>,
}

/// The ring told is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Not the JSON agreed on.
    #[error("not a ring: {0}")]
    Json(String),
    /// Bits beyond 1 ..= 16.
    #[error("a ring has 1 to 16 partition bits, not {0}")]
    Bits(u8),
    /// Not one list of primaries per partition.
    #[error("{got} partitions listed, {needed} expected")]
    Partitions {
        /// Expected from the bits.
        needed: usize,
        /// Listed.
        got: usize,
    },
    /// No members, too many, or a partition names one that is not listed.
    #[error("a partition names member {index} of {members}")]
    Member {
        /// The index named.
        index: usize,
        /// Members listed.
        members: usize,
    },
}

impl RingView {
    /// Reads and checks the answer to `HENGE.RING`.
    pub fn parse(json: &[u8]) -> Result<Self, RingError> {
        let view: Self =
            serde_json::from_slice(json).map_err(|error| RingError::Json(error.to_string()))?;
        view.check()?;
        Ok(view)
    }

    fn check(&self) -> Result<(), RingError> {
        if !(1..=16).contains(&self.bits) {
            return Err(RingError::Bits(self.bits));
        }
        let needed = 1 << self.bits;
        if self.partitions.len() != needed {
            return Err(RingError::Partitions {
                needed,
                got: self.partitions.len(),
            });
        }
        let members = self.members.len();
        if members == 0 || members > MAX_MEMBERS {
            return Err(RingError::Member { index: 0, members });
        }
        match self
            .partitions
            .iter()
            .flatten()
            .find(|index| **index >= members)
        {
            Some(&index) => Err(RingError::Member { index, members }),
            None => Ok(()),
        }
    }

    /// The primaries of a key, in preference order, as indexes into [`Self::members`].
    pub fn primaries(&self, key: &[u8]) -> &[usize] {
        &self.partitions[Token::of(key).partition(self.bits).index()]
    }

    /// The primaries of every partition, in the partitions' order.
    pub fn partitions(&self) -> impl Iterator<Item = &[usize]> {
        self.partitions.iter().map(Vec::as_slice)
    }

    /// The addresses of all members' Redis doors, each once.
    pub fn addresses(&self) -> BTreeSet<&str> {
        self.members
            .iter()
            .map(|member| member.resp.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bits: u8, partitions: &str) -> String {
        format!(
            r#"{{"tag":"a1","bits":{bits},"n":3,"members":[
                {{"id":"00","resp":"127.0.0.1:1","http":"x","zone":null,"weight":1,"up":true}},
                {{"id":"01","resp":"127.0.0.1:2","zone":"z"}}],"partitions":{partitions}}}"#
        )
    }

    #[test]
    fn a_key_finds_its_primaries() {
        let ring = RingView::parse(json(1, "[[0,1],[1,0]]").as_bytes()).unwrap();
        let seen: BTreeSet<_> = (0..100)
            .map(|n| ring.primaries(format!("k{n}").as_bytes()).to_vec())
            .collect();
        assert_eq!(seen, BTreeSet::from([vec![0, 1], vec![1, 0]]));
        let key = b"sess:1";
        let expected = (Token::of(key).0 >> 63) as usize;
        assert_eq!(ring.primaries(key)[0], expected);
        assert!(ring.members[1].up, "up unless told otherwise");
    }

    #[test]
    fn a_ring_that_would_mislead_is_refused() {
        let refuse =
            |bits, partitions| RingView::parse(json(bits, partitions).as_bytes()).unwrap_err();
        assert_eq!(
            refuse(1, "[[0]]"),
            RingError::Partitions { needed: 2, got: 1 }
        );
        assert_eq!(
            refuse(1, "[[0],[2]]"),
            RingError::Member {
                index: 2,
                members: 2
            }
        );
        assert_eq!(refuse(0, "[[0]]"), RingError::Bits(0));
        assert_eq!(refuse(17, "[]"), RingError::Bits(17));
        assert!(matches!(RingView::parse(b"{}"), Err(RingError::Json(_))));
    }
}
