//! What a node still holds of a partition that it has left.
//!
//! Found by reading: it dropped a record as soon as it had no hint left, also when the hints had found
//! no room or grown too old instead of being acknowledged.

use henge_repair::{HintLimits, Hints};
use henge_ring::Partition;

use super::*;

/// The node that loses some of its partitions to node 4.
pub(super) const LEAVER: u8 = 3;

/// Three nodes, and then a fourth.
pub(super) fn joined() -> Log {
    let join = Event {
        lamport: 2,
        change: ChangeId(4),
        proposer: id(4),
        op: Op::Join {
            node: id(4),
            weight: Weight::default(),
            zone: Zone::new("z").expect("short"),
            endpoints: Endpoints {
                peer: "node4".to_owned(),
                resp: String::new(),
                http: String::new(),
            },
        },
    };
    let mut log = log_of(3);
    log.insert(join);
    log
}

/// A cluster that knows that it exists, so that its partitions can move. Node 4 is a stranger.
pub(super) fn founded() -> Cluster {
    let mut cluster = Cluster::new(3);
    let now = cluster.now;
    let ring = ring_of(3);
    cluster.nodes.insert(id(4), node(4, &ring, now));
    for (&node, (engine, _)) in &mut cluster.nodes {
        engine.parts.transition.found(&log_of(3), now.mono_ms);
        let peers = (1..=4).map(id).filter(|peer| *peer != node);
        peers.for_each(|peer| engine.peer_up(now, peer));
    }
    cluster.pass(10);
    cluster
}

impl Cluster {
    fn leaving(&mut self) -> Option<Partition> {
        let transition = Arc::clone(&self.engine(id(LEAVER)).parts.transition);
        transition
            .with(|transfer| transfer.leaving().next())
            .flatten()
    }

    /// Up to the moment at which the leaver is about to look at a partition that it has left. A record
    /// of that partition is then put where only the leaver has it: what a sloppy write may leave.
    fn strand_a_record(&mut self) -> String {
        self.run(1, "pattern", put("v")).expect("written");
        self.engine(id(4)).parts.transition.learn(&joined());
        let passes = (0..200).find(|_| {
            self.pass(100);
            self.leaving().is_some()
        });
        passes.expect("some partition is retired");
        let partition = self.leaving().expect("just seen");
        let is_there = |key: &String| Key::new(key.as_bytes()).token.partition(10) == partition;
        let key = (0..).map(|number| format!("k{number}")).find(is_there);
        let key = key.expect("some of many");
        let record = self.record(1, "pattern").expect("just written");
        self.put_aside(&key, &record);
        key
    }

    pub(super) fn put_aside(&self, key: &str, record: &[u8]) {
        let record = RecordRef::parse(record).expect("a record");
        let store = &self.nodes[&id(LEAVER)].1;
        let merged = store.merge(Key::new(key.as_bytes()), record);
        merged.expect("there is room");
    }

    pub(super) fn record(&self, at: u8, key: &str) -> Option<Vec<u8>> {
        let mut record = None;
        let store = &self.nodes[&id(at)].1;
        store.read(Key::new(key.as_bytes()), &mut |stored| {
            record = stored.map(|stored| stored.record().as_bytes().to_vec());
        });
        record
    }

    fn hint_within(&mut self, limits: HintLimits) {
        let partition_bits = self.engine(id(LEAVER)).parts.ring.bits();
        self.engine(id(LEAVER)).hints = Hints::new(HintLimits {
            partition_bits,
            ..limits
        });
    }

    /// The leaver gives nothing away before all three owners have it, and then does.
    pub(super) fn hands_over(&mut self, key: &str) {
        let given = (0..600).any(|_| {
            self.pass(100);
            self.record(LEAVER, key).is_none()
        });
        assert!(given, "it is still here");
        assert_eq!(self.copies(key), 3, "to every owner");
    }
}

#[test]
fn what_found_no_room_among_the_hints_is_not_dropped() {
    let mut cluster = founded();
    let key = cluster.strand_a_record();
    cluster.hint_within(HintLimits {
        max_hints: 1,
        ..HintLimits::default()
    });
    for _ in 0..100 {
        cluster.pass(100);
        assert!(
            cluster.record(LEAVER, &key).is_some(),
            "{} copies, and one is wanting",
            cluster.copies(&key)
        );
    }
    cluster.hint_within(HintLimits::default());
    cluster.hands_over(&key);
}

#[test]
fn what_was_not_acknowledged_in_time_is_not_dropped() {
    let mut cluster = founded();
    let key = cluster.strand_a_record();
    cluster.hint_within(HintLimits {
        max_age_ms: 5_000,
        ..HintLimits::default()
    });
    cluster.down = vec![id(1)]; // silent: nobody has noticed
    for _ in 0..200 {
        cluster.pass(100);
        assert!(cluster.record(LEAVER, &key).is_some());
    }
    cluster.down.clear();
    cluster.hands_over(&key);
}

#[test]
fn a_node_that_keeps_no_hints_hands_over_all_the_same() {
    let mut cluster = founded();
    let key = cluster.strand_a_record();
    for number in 1..=4 {
        cluster.engine(id(number)).leave_it_to_anti_entropy();
    }
    cluster.hands_over(&key);
}

#[test]
fn many_partitions_are_handed_over_in_a_few_rounds() {
    let mut cluster = founded();
    for number in 0..300 {
        let key = format!("k{number}");
        cluster.run(1, &key, put("v")).expect("written");
    }
    cluster.engine(id(4)).parts.transition.learn(&joined());
    let status = |cluster: &mut Cluster| {
        let transition = Arc::clone(&cluster.engine(id(LEAVER)).parts.transition);
        transition.status()
    };
    // As long as it owes somebody something, it drops nothing.
    let now_ms = cluster.now.mono_ms;
    let owed = cluster.engine(id(LEAVER)).hints.add(id(9), b"k", now_ms);
    assert_eq!(owed, henge_repair::Added::New);
    let moved = (0..600).any(|_| {
        cluster.pass(100);
        status(&mut cluster).in_motion == 0
    });
    let left = status(&mut cluster).to_drop;
    assert!(moved && left > 100, "{left} partitions were left at once");
    cluster.hint_within(HintLimits::default());
    for _ in 0..12 {
        cluster.pass(5);
    }
    assert_eq!(status(&mut cluster).to_drop, 0, "of {left} partitions");
}
