//! What can be done to a cluster, and what each needs of the machine it is done on.

use std::fmt;

use super::probe::Need;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process is killed, and started again after half of the time.
    Kill,
    /// A process gets no time (`SIGSTOP`).
    Pause,
    /// A node hears no other node, nor they it; clients reach it.
    Isolate,
    /// A machine's cable is pulled: nobody reaches it, clients neither, and nobody is told.
    Unplug,
    /// Two nodes on one side, the others on the other.
    Split,
    /// One node does not hear one other.
    OneWay,
    /// A node hears no other, but they hear it.
    Deaf,
    /// Two pairs of nodes that reach each other only through the fifth.
    Bridge,
    /// Each node reaches its two neighbours.
    Ring,
    /// The link between two nodes is cut and mended every second.
    Flap,
    /// All nodes lose 5 % of what others send them.
    Loss,
    /// What nodes send each other arrives 50 ms late, give or take 20, out of order at times.
    Delay,
    /// 5 % of all packets between nodes arrive twice.
    Double,
    /// A node's clock is an hour ahead, and after half of the time an hour behind.
    Clock,
    /// A sixth node joins.
    Join,
    /// A node leaves.
    Leave,
    /// A machine is destroyed, and a new one takes its address.
    Replace,
    /// Memory is full everywhere.
    Full,
}

impl Fault {
    /// All, in the order they are tried.
    pub const ALL: [Self; 18] = [
        Self::Kill,
        Self::Pause,
        Self::Isolate,
        Self::Unplug,
        Self::Split,
        Self::OneWay,
        Self::Deaf,
        Self::Bridge,
        Self::Ring,
        Self::Flap,
        Self::Loss,
        Self::Delay,
        Self::Double,
        Self::Clock,
        Self::Join,
        Self::Leave,
        Self::Replace,
        Self::Full,
    ];

    /// Its name on the command line and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Isolate => "isolate",
            Self::Unplug => "unplug",
            Self::Split => "split",
            Self::OneWay => "one-way",
            Self::Deaf => "deaf",
            Self::Bridge => "bridge",
            Self::Ring => "ring",
            Self::Flap => "flap",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Double => "double",
            Self::Clock => "clock",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Replace => "replace",
            Self::Full => "full",
        }
    }

    /// The same in some words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Kill => "a process is killed (-9) and started again after half of the time",
            Self::Pause => "a process is stopped (SIGSTOP) and goes on afterwards",
            Self::Isolate => "a node and the others do not hear each other; clients reach it",
            Self::Unplug => "a machine's cable is pulled: no node and no client reaches it",
            Self::Split => "two nodes on one side, three on the other; clients reach both",
            Self::OneWay => "one node does not hear one other",
            Self::Deaf => "a node hears no other, and is heard",
            Self::Bridge => "two pairs of nodes that reach each other only through the fifth",
            Self::Ring => "each node reaches its two neighbours only",
            Self::Flap => "the link of two nodes is cut and mended every second",
            Self::Loss => "5 % of the packets between nodes are lost",
            Self::Delay => "packets between nodes are 50 ms late, give or take 20, and overtake",
            Self::Double => "5 % of the packets between nodes arrive twice",
            Self::Clock => "a node's clock jumps an hour ahead, then an hour behind, and back",
            Self::Join => "a sixth node joins",
            Self::Leave => "one of five nodes leaves",
            Self::Replace => "a machine is destroyed and a new one takes its address",
            Self::Full => "memory is full on all nodes, and is not afterwards",
        }
    }

    /// What it takes beyond namespaces and a packet filter.
    pub fn need(self) -> Option<Need> {
        match self {
            Self::Delay => Some(Need::PacketQueue),
            Self::Clock => Some(Need::FakeClock),
            _ => None,
        }
    }

    /// Whether a node forgets what it held. Two at once would be more than W = 2 covers.
    pub fn loses_memory(self) -> bool {
        matches!(self, Self::Kill | Self::Replace)
    }

    /// Whether it is done on purpose, so that no request may fail for it.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::Join | Self::Leave)
    }

    /// Whether it needs a cluster or load that is set up for it, and so cannot be mixed.
    pub fn stands_alone(self) -> bool {
        matches!(self, Self::Full)
    }

    /// Whether, alone, it leaves a majority of each key's replicas in reach of some node that clients
    /// reach, so that requests have to go on.
    pub fn spares_requests(self) -> bool {
        self != Self::Full
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| format!("{text:?} is no fault; --list shows them all"))
    }
}

/// A fault and whom it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    /// What is done.
    pub fault: Fault,
    /// The machine that it is done to.
    pub victim: u8,
    /// The other end, where it takes two.
    pub other: u8,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, victim, other) = (self.fault, self.victim, self.other);
        match fault {
            Fault::Split | Fault::OneWay | Fault::Flap => write!(f, "{fault} {victim},{other}"),
            Fault::Ring | Fault::Loss | Fault::Delay | Fault::Double | Fault::Full => {
                write!(f, "{fault}")
            }
            _ => write!(f, "{fault} {victim}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name_and_no_two_share_one() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("nonsense".parse::<Fault>().is_err());
    }
}
