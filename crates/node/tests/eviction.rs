//! A member that stays away is let go, where that is wanted.

mod rig;

use henge_node::Node;
use rig::{config, free_addresses, start, wait_until};

/// Short enough for a test. No configuration allows it; what is allowed is tried there.
const AFTER_MS: u64 = 1_500;

fn members(node: &Node) -> usize {
    node.handle().ring().members().len()
}

/// How many members these nodes say that they have let go.
fn evictions(nodes: &[Node]) -> u64 {
    let of = |node: &Node| {
        let metrics = node.handle().metrics();
        let line = |text: &str| text.strip_prefix("henge_evictions_total ")?.parse().ok();
        metrics.lines().find_map(line).unwrap_or(0)
    };
    nodes.iter().map(of).sum()
}

#[test]
fn who_stays_away_is_let_go_and_its_data_goes_to_the_others() {
    let all = free_addresses(5);
    let evicting = |at| {
        let mut config = config(at, &all, 1);
        config.evict_after_ms = Some(AFTER_MS);
        Node::builder(config).start().expect("starts")
    };
    let mut nodes: Vec<_> = all[..4].iter().map(|at| evicting(*at)).collect();
    nodes.push(start(all[4], &all, 1));
    wait_until("all ready", || {
        nodes.iter().all(|node| node.handle().is_ready())
    });
    for left in [4, 3] {
        let before = evictions(&nodes[..left]);
        drop(nodes.pop());
        wait_until("it is let go", || {
            nodes.iter().all(|node| members(node) == left)
        });
        wait_until("its data is elsewhere", || {
            let mut moving = nodes.iter().map(|node| node.handle().transition());
            moving.all(|moving| moving.in_motion == 0 && moving.to_pull == 0)
        });
        assert!(evictions(&nodes) > before, "it is counted");
    }
}
