//! Prints how even layouts are, how much data changes move, and how long a step takes.
//!
//! `cargo run --release -p henge-ring --example layout_report`

use std::time::{Duration, Instant};

use henge_ring::{
    ChangeId, Endpoints, Log, NodeId, Op, Ring, Weight, Zone, balance, minimum_moves, moves,
};

/// Nodes and partition bits: Q = 256 to 10 nodes, 1024 at 50, then both 1024 and 4096.
const SIZES: [(u16, u8); 7] = [
    (3, 8),
    (5, 8),
    (10, 8),
    (50, 10),
    (200, 10),
    (200, 12),
    (1000, 12),
];

fn main() {
    println!("Each change: moves ÷ minimum, max/mean afterwards, time of the step.");
    println!(
        "nodes      Q zones | max/mean | {:^19} | {:^19} | {:^19}",
        "join", "leave", "weight ×2"
    );
    for (nodes, bits) in SIZES {
        for zones in [1, 3] {
            row(nodes, bits, zones);
        }
    }
}

/// One line of the table.
fn row(nodes: u16, bits: u8, zones: u16) {
    let mut log = Log::new();
    let founding = (0..nodes).map(|number| join(number, zones));
    change(
        &mut log,
        1,
        [Op::Genesis { bits }].into_iter().chain(founding),
    );
    let before = Ring::fold(&log);
    let middle = id(nodes / 2);
    let steps = [
        join(nodes, zones),
        Op::Leave { node: middle },
        Op::SetWeight {
            node: middle,
            weight: Weight::new(200).expect("not 0"),
        },
    ];
    let cells = steps.map(|op| {
        let (ratio, worst, time) = step(&before, &log, op);
        format!("{ratio:.3} {worst:.3} {time:>7.2?}")
    });
    let even = balance(&before).max_over_share;
    println!(
        "{nodes:>5} {:>6} {zones:>5} | {even:>8.3} | {}",
        1 << bits,
        cells.join(" | ")
    );
}

/// Moves ÷ minimum of one change, max/mean after it, and the time it took.
fn step(before: &Ring, log: &Log, op: Op) -> (f64, f64, Duration) {
    let mut log = log.clone();
    change(&mut log, 2, [op]);
    let start = Instant::now();
    let after = before.advance(&log);
    let time = start.elapsed();
    let minimum = minimum_moves(before, &after);
    let moved = moves(before, &after).len() as f64;
    let ratio = if minimum > 0.0 {
        moved / minimum
    } else {
        1.0 + moved
    };
    (ratio, balance(&after).max_over_share, time)
}

fn change(log: &mut Log, number: u64, ops: impl IntoIterator<Item = Op>) {
    let events = log.propose(id(0), ChangeId(number), ops);
    log.extend(events);
}

fn join(number: u16, zones: u16) -> Op {
    Op::Join {
        node: id(number),
        weight: Weight::default(),
        zone: Zone::new(format!("z{}", number % zones)).expect("short"),
        endpoints: Endpoints {
            peer: String::new(),
            resp: String::new(),
            http: String::new(),
        },
    }
}

/// Ids spread like random ones, so that neighbours in the table are not neighbours in the ring.
fn id(number: u16) -> NodeId {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    NodeId(spread.to_be_bytes())
}
