//! Packets that are late: what netem does, for kernels without it.
//!
//! The kernel hands each packet to a process in the machine's namespace (`NFQUEUE`), which lets it go on
//! after a time drawn for it. Packets overtake each other by that. If the process ends, packets pass.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use nfq::{Queue, Verdict};

use super::{lab::Lab, shell};
use crate::sim::Rng;

/// Number of the queue; each namespace has its own numbers.
const QUEUE: u16 = 3;

/// Packets that wait at once; more are dropped, as by a full switch.
const MOST_WAITING: u32 = 20_000;

/// Longest time between two looks at what is due.
const STEP: Duration = Duration::from_millis(1);

/// Holds up what the other machines send to this one. Runs in the machine's namespace, until killed.
///
/// # Errors
/// Without the privilege, or if the kernel has no such queue.
pub fn hold_packets(delay: Duration, jitter: Duration, seed: u64) -> anyhow::Result<()> {
    let mut queue = Queue::open().context("no netfilter queue")?;
    queue.bind(QUEUE)?;
    queue.set_queue_max_len(QUEUE, MOST_WAITING)?;
    queue.set_nonblocking(true);
    let mut rng = Rng::new(seed);
    // By when they are due; the number tells apart those that are due at once.
    let (mut waiting, mut count) = (BTreeMap::new(), 0u64);
    loop {
        match queue.recv() {
            Ok(packet) => {
                let jitter = rng.between(0, 2 * jitter.as_micros() as u64) as i64
                    - jitter.as_micros() as i64;
                let wait = (delay.as_micros() as i64 + jitter).max(0) as u64;
                count += 1;
                waiting.insert(
                    (Instant::now() + Duration::from_micros(wait), count),
                    packet,
                );
                continue;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // Packets came faster than they were read; some were lost.
            Err(error) if error.raw_os_error() == Some(NO_BUFFERS) => continue,
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        while let Some(first) = waiting.first_entry().filter(|it| it.key().0 <= now) {
            let mut packet = first.remove();
            packet.set_verdict(Verdict::Accept);
            queue.verdict(packet)?;
        }
        std::thread::sleep(STEP);
    }
}

/// `ENOBUFS` on Linux.
const NO_BUFFERS: i32 = 105;

/// A process that holds up one machine's packets. Dropped, it ends, and they pass.
#[derive(Debug)]
pub(super) struct Holding {
    machine: u8,
    child: Child,
    rules: Vec<String>,
    inside: String,
}

impl Holding {
    /// Starts it for what other machines send to this one.
    pub(super) fn start(
        lab: &Lab,
        machine: u8,
        delay_ms: u64,
        jitter_ms: u64,
    ) -> anyhow::Result<Self> {
        let rules = vec![rule(lab, "INPUT -s", "src")];
        Self::with(lab, machine, (delay_ms, jitter_ms), rules)
    }

    /// Starts it for what other machines send to this one and what it sends to them.
    pub(super) fn both_ways(
        lab: &Lab,
        machine: u8,
        delay_ms: u64,
        jitter_ms: u64,
    ) -> anyhow::Result<Self> {
        let rules = vec![rule(lab, "INPUT -s", "src"), rule(lab, "OUTPUT -d", "dst")];
        Self::with(lab, machine, (delay_ms, jitter_ms), rules)
    }

    fn with(
        lab: &Lab,
        machine: u8,
        (delay_ms, jitter_ms): (u64, u64),
        rules: Vec<String>,
    ) -> anyhow::Result<Self> {
        let inside = format!("ip netns exec {}", lab.namespace(machine));
        let own = std::env::current_exe()?;
        let child = Command::new("ip")
            .args(["netns", "exec", &lab.namespace(machine)])
            .arg(own)
            .args([
                "--hold-packets",
                &format!("{delay_ms},{jitter_ms},{machine}"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let holding = Self {
            machine,
            child,
            rules,
            inside,
        };
        for rule in &holding.rules {
            shell::run(&format!("{} iptables -A {rule}", holding.inside))?;
        }
        Ok(holding)
    }
}

/// Hands over what comes from other machines, or goes to them. Clients are let through before the queue is
/// asked.
fn rule(lab: &Lab, chain: &str, end: &str) -> String {
    let (subnet, clients) = (lab.subnet(), lab.clients());
    format!(
        "{chain} {subnet} -m iprange ! --{end}-range {clients}-{clients} \
         -j NFQUEUE --queue-num {QUEUE} --queue-bypass"
    )
}

impl Holding {
    /// Whose packets are held up.
    pub(super) fn machine(&self) -> u8 {
        self.machine
    }

    /// Whether packets are still held up.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // The machine may have been destroyed, and both with it.
        for rule in &self.rules {
            let _ = shell::run(&format!("{} iptables -D {rule}", self.inside));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
