//! What the ring knows of a member: its addresses, weight and zone.

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::NodeId;

/// Longest address accepted from the wire, in bytes: a DNS name (253) and a port.
pub const MAX_ADDRESS: usize = 259;

/// Addresses of one node's three listeners, each as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoints {
    /// Node to node.
    #[serde(deserialize_with = "address")]
    pub peer: String,
    /// The Redis protocol.
    #[serde(deserialize_with = "address")]
    pub resp: String,
    /// HTTP.
    #[serde(deserialize_with = "address")]
    pub http: String,
}

/// Reads an address of at most [`MAX_ADDRESS`] bytes.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > MAX_ADDRESS {
        return Err(de::Error::invalid_length(text.len(), &"at most 259 bytes"));
    }
    Ok(text)
}

/// Longest zone name, in bytes.
pub const MAX_ZONE: usize = 64;

/// What fails together: a rack, a room, a data centre. Replicas of a partition go to different
/// zones as far as there are enough. The default, the empty name, is a zone like any other, so a
/// cluster that names no zones has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

/// The name of a zone was longer than [`MAX_ZONE`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a zone's name has at most {MAX_ZONE} bytes, not {length}")]
pub struct ZoneTooLong {
    /// Length of the refused name in bytes.
    pub length: usize,
}

impl Zone {
    /// A zone by its name, at most [`MAX_ZONE`] bytes.
    pub fn new(name: impl Into<String>) -> Result<Self, ZoneTooLong> {
        let name = name.into();
        match name.len() {
            length if length > MAX_ZONE => Err(ZoneTooLong { length }),
            _ => Ok(Self(name)),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneTooLong;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much a node carries in proportion to others: at least 1. Only ratios matter; the default is
/// 100, so that a node half the usual size is 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Weight(NonZeroU32);

impl Weight {
    /// A weight; `None` for 0: a node that carries nothing is not a member.
    pub const fn new(weight: u32) -> Option<Self> {
        match NonZeroU32::new(weight) {
            Some(weight) => Some(Self(weight)),
            None => None,
        }
    }

    /// As a number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        const ORDINARY: NonZeroU32 = NonZeroU32::new(100).unwrap();
        Self(ORDINARY)
    }
}

/// One member of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub id: NodeId,
    /// Where it listens.
    pub endpoints: Endpoints,
    /// What it fails together with.
    pub zone: Zone,
    /// Its share in proportion to others.
    pub weight: Weight,
}

/// The zone of each member as a number (in the order of the zones' names), and how many there are.
pub(crate) fn number_zones(members: &[Member]) -> (Vec<u16>, usize) {
    let mut numbers: BTreeMap<&Zone, u16> = members.iter().map(|m| (&m.zone, 0)).collect();
    for (number, slot) in (0..).zip(numbers.values_mut()) {
        *slot = number;
    }
    let of_member = members.iter().map(|m| numbers[&m.zone]).collect();
    (of_member, numbers.len())
}
