//! Counters of the doors, as plain atomics and Prometheus text.
//!
//! What every command touches is counted per data thread, so that threads do not fight for a cache
//! line; what is rare is counted once. No label is taken from what a client sends.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::resp::COMMANDS;

/// Counters of one data thread. Only that thread writes them.
#[derive(Debug)]
pub(crate) struct ThreadCounters {
    /// By position in the table of commands; one more for unknown commands.
    commands: Box<[AtomicU64]>,
    opened: AtomicU64,
    closed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl ThreadCounters {
    fn new() -> Self {
        Self {
            commands: (0..=COMMANDS.len()).map(|_| AtomicU64::new(0)).collect(),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// A command by its position in the table; `None`: an unknown one.
    #[inline]
    pub(crate) fn command(&self, index: Option<usize>) {
        bump(&self.commands[index.unwrap_or(COMMANDS.len())], 1);
    }

    /// A connection begins.
    pub(crate) fn opened(&self) {
        bump(&self.opened, 1);
    }

    /// A connection has ended.
    pub(crate) fn closed(&self) {
        bump(&self.closed, 1);
    }

    /// Bytes were read.
    #[inline]
    pub(crate) fn read(&self, bytes: usize) {
        bump(&self.bytes_in, bytes as u64);
    }

    /// Bytes were written.
    #[inline]
    pub(crate) fn written(&self, bytes: usize) {
        bump(&self.bytes_out, bytes as u64);
    }
}

/// With one writer a load and a store do, and cost less than a locked add.
#[inline]
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// Sums for `INFO`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Connections.
    pub(crate) connections: u64,
    /// Commands.
    pub(crate) commands: u64,
    /// Connections cut by the door.
    pub(crate) refused: u64,
}

/// All counters of the doors.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    threads: Mutex<Vec<Arc<ThreadCounters>>>,
    protocol_errors: Mutex<BTreeMap<&'static str, u64>>,
    cut: Mutex<BTreeMap<&'static str, u64>>,
    http: Mutex<BTreeMap<(&'static str, u16), u64>>,
    http_cut: Mutex<BTreeMap<&'static str, u64>>,
    wrong_passwords: AtomicU64,
    /// What had been counted when `INFO` was last told to begin anew.
    forgotten: Mutex<Totals>,
}

impl Metrics {
    /// Counters for one more data thread.
    pub(crate) fn thread(&self) -> Arc<ThreadCounters> {
        let counters = Arc::new(ThreadCounters::new());
        lock(&self.threads).push(Arc::clone(&counters));
        counters
    }

    /// A client broke the protocol.
    pub(crate) fn protocol_error(&self, kind: &'static str) {
        *lock(&self.protocol_errors).entry(kind).or_default() += 1;
    }

    /// A client was cut.
    pub(crate) fn cut(&self, reason: &'static str) {
        *lock(&self.cut).entry(reason).or_default() += 1;
    }

    /// An HTTP request was answered.
    pub(crate) fn http(&self, route: &'static str, status: u16) {
        *lock(&self.http).entry((route, status)).or_default() += 1;
    }

    /// An HTTP connection was ended before its request could be read.
    pub(crate) fn http_cut(&self, reason: &'static str) {
        *lock(&self.http_cut).entry(reason).or_default() += 1;
    }

    /// A wrong password was given.
    pub(crate) fn wrong_password(&self) {
        self.wrong_passwords.fetch_add(1, Relaxed);
    }

    /// Sums since start, or since [`Metrics::forget`].
    pub(crate) fn totals(&self) -> Totals {
        let (all, forgotten) = (self.all(), *lock(&self.forgotten));
        Totals {
            connections: all.connections.saturating_sub(forgotten.connections),
            commands: all.commands.saturating_sub(forgotten.commands),
            refused: all.refused.saturating_sub(forgotten.refused),
        }
    }

    /// `CONFIG RESETSTAT`: the sums begin anew. What `/metrics` shows goes on: a counter that falls is
    /// a restart to whoever collects it.
    pub(crate) fn forget(&self) {
        *lock(&self.forgotten) = self.all();
    }

    fn all(&self) -> Totals {
        let threads = lock(&self.threads);
        let commands = threads
            .iter()
            .flat_map(|t| t.commands.iter())
            .map(|c| c.load(Relaxed));
        Totals {
            connections: threads
                .iter()
                .map(|thread| thread.opened.load(Relaxed))
                .sum(),
            commands: commands.sum(),
            refused: lock(&self.cut).values().sum(),
        }
    }

    /// Everything in Prometheus text form.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.render_threads(&mut out);
        head(
            &mut out,
            "henge_resp_protocol_errors_total",
            "counter",
            "Clients that broke the protocol.",
        );
        for (kind, count) in lock(&self.protocol_errors).iter() {
            line(
                &mut out,
                "henge_resp_protocol_errors_total",
                &[("kind", kind)],
                *count,
            );
        }
        head(
            &mut out,
            "henge_resp_cut_total",
            "counter",
            "Clients that were cut, by reason.",
        );
        for (reason, count) in lock(&self.cut).iter() {
            line(
                &mut out,
                "henge_resp_cut_total",
                &[("reason", reason)],
                *count,
            );
        }
        head(
            &mut out,
            "henge_auth_failures_total",
            "counter",
            "Wrong passwords, both doors.",
        );
        line(
            &mut out,
            "henge_auth_failures_total",
            &[],
            self.wrong_passwords.load(Relaxed),
        );
        head(
            &mut out,
            "henge_http_requests_total",
            "counter",
            "HTTP requests by route and status.",
        );
        for ((route, status), count) in lock(&self.http).iter() {
            let status = status.to_string();
            line(
                &mut out,
                "henge_http_requests_total",
                &[("route", route), ("status", &status)],
                *count,
            );
        }
        head(
            &mut out,
            "henge_http_cut_total",
            "counter",
            "HTTP connections ended before a request could be read, by reason.",
        );
        for (reason, count) in lock(&self.http_cut).iter() {
            line(
                &mut out,
                "henge_http_cut_total",
                &[("reason", reason)],
                *count,
            );
        }
        out
    }

    fn render_threads(&self, out: &mut String) {
        let threads = lock(&self.threads);
        let sum = |of: fn(&ThreadCounters) -> &AtomicU64| -> u64 {
            threads.iter().map(|thread| of(thread).load(Relaxed)).sum()
        };
        let (opened, closed) = (sum(|thread| &thread.opened), sum(|thread| &thread.closed));
        let figures = [
            (
                "henge_resp_connections",
                "gauge",
                "Open connections.",
                opened.saturating_sub(closed),
            ),
            (
                "henge_resp_connections_total",
                "counter",
                "Connections since start.",
                opened,
            ),
            (
                "henge_resp_read_bytes_total",
                "counter",
                "Bytes read.",
                sum(|t| &t.bytes_in),
            ),
            (
                "henge_resp_written_bytes_total",
                "counter",
                "Bytes written.",
                sum(|t| &t.bytes_out),
            ),
        ];
        for (name, kind, help, value) in figures {
            head(out, name, kind, help);
            line(out, name, &[], value);
        }
        head(
            out,
            "henge_resp_commands_total",
            "counter",
            "Commands by name.",
        );
        let names = COMMANDS
            .iter()
            .map(|command| command.name)
            .chain(["unknown"]);
        for (at, name) in names.enumerate() {
            let count: u64 = threads
                .iter()
                .map(|thread| thread.commands[at].load(Relaxed))
                .sum();
            if count > 0 {
                line(
                    out,
                    "henge_resp_commands_total",
                    &[("command", name)],
                    count,
                );
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{value}\""))
        .collect();
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
    };
    let _ = writeln!(out, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_summed_and_nothing_is_rendered_twice() {
        let metrics = Metrics::default();
        let (one, two) = (metrics.thread(), metrics.thread());
        let get = crate::resp::command_index(b"GET");
        one.command(get);
        two.command(get);
        two.command(None);
        one.opened();
        two.opened();
        two.closed();
        metrics.cut("output");
        metrics.http("keys", 200);
        let text = metrics.render();
        for wanted in [
            "henge_resp_commands_total{command=\"get\"} 2",
            "henge_resp_commands_total{command=\"unknown\"} 1",
            "henge_resp_connections 1",
            "henge_resp_connections_total 2",
            "henge_resp_cut_total{reason=\"output\"} 1",
            "henge_http_requests_total{route=\"keys\",status=\"200\"} 1",
        ] {
            assert_eq!(
                text.lines().filter(|line| *line == wanted).count(),
                1,
                "{wanted}\n{text}"
            );
        }
        assert_eq!(metrics.totals().commands, 3);
    }
}
