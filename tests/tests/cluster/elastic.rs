//! The cluster grows and shrinks while it serves.

use crate::{
    doors::Reply,
    load::Load,
    nodes::{Cluster, Port},
    programs::Ran,
};

/// Sessions that were written before the ring changed, and some that were destroyed.
struct Sessions {
    alive: Vec<(String, String)>,
    dead: Vec<String>,
}

impl Sessions {
    fn begin(cluster: &Cluster) -> Self {
        let mut client = cluster.resp(1);
        let mut written = |name: &str, count: u32| -> Vec<(String, String)> {
            let pairs = (0..count).map(|at| (format!("sess:{name}-{at}"), format!("value {at}")));
            let pairs: Vec<_> = pairs.collect();
            for (key, value) in &pairs {
                let answer = client.call(&["SET", key, value, "EX", "600"]);
                assert_eq!(answer, Reply::text("OK"), "{key}");
            }
            pairs
        };
        let (alive, dead) = (written("alive", 200), written("dead", 50));
        let dead: Vec<_> = dead.into_iter().map(|(key, _)| key).collect();
        for key in &dead {
            assert_eq!(client.call(&["DEL", key]), Reply::Integer(1), "{key}");
        }
        Self { alive, dead }
    }

    /// Every node shows what lives, and what was destroyed takes no write.
    fn check(&self, cluster: &Cluster) {
        for node in cluster.running() {
            for r in [2, 3] {
                cluster.holds(node, r, &self.alive);
            }
            let mut client = cluster.resp(node);
            for key in &self.dead {
                assert_eq!(
                    client.call(&["SET", key, "late"]),
                    Reply::text("OK"),
                    "{key}"
                );
                assert_eq!(client.call(&["GET", key]), Reply::Nothing, "{key} is back");
            }
        }
    }
}

/// `henge ring`: so many members, and no two whose shares differ by more than one partition.
pub(crate) fn is_even(cluster: &Cluster, node: usize, members: usize) {
    let told = Ran::well(&[
        "ring",
        "--json",
        "--node",
        &cluster.address(node, Port::Resp),
    ]);
    let ring: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
    let shares = ring["members"].as_array().into_iter().flatten();
    let shares: Vec<_> = shares.filter_map(|it| it["partitions"].as_u64()).collect();
    assert_eq!(shares.len(), members, "{told}");
    let (most, least) = (shares.iter().max(), shares.iter().min());
    assert!(most <= least.map(|least| least + 1).as_ref(), "{told}");
}

#[test]
fn one_joins_and_one_leaves_under_load_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start(3);
    let sessions = Sessions::begin(&cluster);
    let load = Load::start(&cluster, &[0, 1, 2]);

    let joined = cluster.join();
    cluster.wait_until_settled(4);
    is_even(&cluster, 0, 4);

    let (id, http) = (cluster.id(0), cluster.address(joined, Port::Http));
    let shown = Ran::well(&["leave", &id, "--http", &http]);
    assert!(shown.contains("nothing was changed"), "{shown}");
    is_even(&cluster, joined, 4);
    let told = Ran::well(&["leave", &id[..12], "--apply", "--http", &http]);
    assert!(told.contains(r#""applied":true"#), "{told}");
    cluster.wait_until_settled(3);
    is_even(&cluster, joined, 3);

    // Only then may it be stopped; its clients find it gone.
    cluster.wait_until_left(0);
    cluster.kill(0);
    load.end();
    sessions.check(&cluster);
    Ran::well(&["status", "--node", &cluster.address(joined, Port::Resp)]);
}
