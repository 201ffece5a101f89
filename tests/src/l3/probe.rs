//! What this machine allows. Asked once, by trying it, before anything is promised.

use std::path::PathBuf;

use super::{lab::Lab, shell};

/// What some faults need beyond namespaces and a packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Packets handed to a program that delays them.
    PacketQueue,
    /// libfaketime, which shows one process another time than the machine's.
    FakeClock,
}

/// What there is; what is not there says why.
#[derive(Debug)]
pub struct Abilities {
    /// The kernel hands packets to a program.
    pub packet_queue: Result<(), String>,
    /// The library.
    pub fake_clock: Result<PathBuf, String>,
}

/// Where Debian, Fedora and Alpine put it.
const FAKETIME: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
];

impl Abilities {
    /// Tries everything on a machine of the lab, which must be there.
    ///
    /// # Errors
    /// If what every fault needs is missing: a namespace in which rules can be set.
    pub fn probe(lab: &Lab, machine: u8) -> anyhow::Result<Self> {
        let inside = format!("ip netns exec {}", lab.namespace(machine));
        let rules = "table ip probe {\nchain in {\ntype filter hook input priority 0;\n\
                     ip saddr 192.0.2.1 numgen random mod 100 < 5 drop\n}\n}\n\
                     delete table ip probe\n";
        shell::feed(&format!("{inside} nft -f -"), rules)?;
        let rule = "INPUT -s 192.0.2.1 -j NFQUEUE --queue-num 1";
        let queue = shell::run(&format!("{inside} iptables -A {rule}"))
            .and_then(|_| shell::run(&format!("{inside} iptables -D {rule}")));
        let library = FAKETIME.iter().map(PathBuf::from).find(|it| it.exists());
        Ok(Self {
            packet_queue: queue.map(drop).map_err(|error| format!("{error:#}")),
            fake_clock: library.ok_or_else(|| {
                "libfaketime is not installed (Debian: apt-get install libfaketime)".to_owned()
            }),
        })
    }

    /// Why something cannot be had, if it cannot.
    pub fn lacks(&self, need: Need) -> Option<&str> {
        match need {
            Need::PacketQueue => self.packet_queue.as_ref().err().map(String::as_str),
            Need::FakeClock => self.fake_clock.as_ref().err().map(String::as_str),
        }
    }
}
