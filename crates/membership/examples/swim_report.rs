//! How soon failure detection settles in clusters of many sizes, and what it costs.
//!
//! ```text
//! cargo run --profile quick -p henge-membership --example swim_report -- 5 50 1000
//! ```

#[path = "../tests/gossip/cluster.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod cluster;

use cluster::Cluster;

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|it| it.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() { vec![5, 50] } else { sizes };
    println!(
        "nodes │ all met │ idle/node      │ busy/node      │ longest │ one died │ split seen │ healed"
    );
    for nodes in sizes {
        let mut cluster = Cluster::new(nodes);
        let met = cluster.until(120_000, Cluster::agrees);
        let busy = cluster.sent.1 * 1_000 / cluster.now_ms.max(1) / nodes as u64;
        cluster.run(60_000);
        cluster.sent = (0, 0);
        cluster.run(30_000);
        let (frames, bytes) = (cluster.sent.0 as f64, cluster.sent.1);
        let rate = frames / 30.0 / nodes as f64;
        let bytes = bytes / 30 / nodes as u64;
        cluster.kill(nodes / 2);
        let died = cluster.until(120_000, Cluster::agrees);
        cluster.split(nodes / 2);
        let split = cluster.until(120_000, Cluster::agrees);
        cluster.run(30_000);
        cluster.heal();
        let healed = cluster.until(120_000, Cluster::agrees);
        println!(
            "{nodes:>5} │ {:>7} │ {rate:.1}/s {bytes:>4} B/s │ {busy:>9} B/s │ {:>5} B │ {:>8} │ {:>10} │ {:>6}",
            ms(met),
            cluster.longest,
            ms(died),
            ms(split),
            ms(healed),
        );
    }
}

fn ms(took: Option<u64>) -> String {
    took.map_or("never".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1e3))
}
