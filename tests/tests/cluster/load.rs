//! The load generator, run after run, for as long as something else takes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::Value;

use crate::{
    nodes::{Cluster, Port, wait},
    programs::program,
};

/// A session workload on some nodes. Each run takes about four seconds and reads back what it wrote.
/// Slow enough that the nodes of other tests have their turn.
const RUN: &str = "--workload session --strict --keys 240 --connections 8 --value-size 100 \
                   --rate 300 --duration 3s --settle 200ms --quiet";

/// A workload that goes on until it is [ended](Load::end).
pub(crate) struct Load {
    last: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Value>>,
}

impl Load {
    /// Starts it; returns when its writes arrive.
    pub(crate) fn start(cluster: &Cluster, targets: &[usize]) -> Self {
        let addresses = targets
            .iter()
            .map(|node| cluster.address(*node, Port::Resp));
        let targets = addresses.collect::<Vec<_>>().join(",");
        let file = format!("load-{}.json", cluster.port(0, Port::Resp));
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        let last = Arc::<AtomicBool>::default();
        let is_last = Arc::clone(&last);
        let records = || cluster.json(0, "/v1/members")["records"].as_u64();
        let before = records();
        let thread = std::thread::spawn(move || {
            let mut reports = vec![run(&targets, &file)];
            while !is_last.load(Ordering::Relaxed) {
                reports.push(run(&targets, &file));
            }
            reports
        });
        wait("the load has begun", || records() > before);
        Self { last, thread }
    }

    /// Waits for the end of the run under way, and checks them all: nothing acknowledged is lost,
    /// nothing destroyed was seen again, no read was older than an acknowledged write, and nearly
    /// everything succeeded.
    pub(crate) fn end(self) {
        self.last.store(true, Ordering::Relaxed);
        let reports = self.thread.join().expect("the load generator runs");
        let sum = |name: &str| -> u64 {
            let counts = reports.iter().map(|it| it["total"][name].as_u64());
            counts.map(|count| count.expect("it is counted")).sum()
        };
        for report in &reports {
            let findings = &report["findings"];
            for name in [
                "lost",
                "resurrected",
                "corrupt",
                "phantom",
                "stale",
                "unread",
            ] {
                assert_eq!(findings[name], 0, "{name}: {report:#}");
            }
            assert!(findings["read_back"].as_u64() > Some(0), "{report:#}");
            assert_eq!(report["verified"], true, "{report:#}");
        }
        let (ok, not) = (sum("ok"), sum("failed") + sum("unknown"));
        assert!(ok > 20 * not, "{ok} succeeded, {not} did not: {reports:#?}");
    }
}

fn run(targets: &str, file: &PathBuf) -> Value {
    let ran = program("loadgen")
        .args(["--target", targets])
        .args(RUN.split_whitespace())
        .arg("--json")
        .arg(file)
        .output()
        .expect("it can be run");
    // What it found is judged by its report; without one it could not run.
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    std::fs::remove_file(file).expect("it is there");
    serde_json::from_str(&text).expect("the report is JSON")
}
