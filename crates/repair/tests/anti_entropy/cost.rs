//! What finding differences among a million keys costs on the wire.

use henge_repair::{
    anti_entropy::Settings,
    reconcile::{Held, Replica, Show, Took},
};
use henge_ring::{Partition, Token};

use crate::pair::Cluster;

const BITS: u8 = 10;

/// A replica of numbers: keys are eight bytes, and a record's bytes are its digest.
struct Numbers {
    life: u64,
    /// By token.
    partitions: Vec<Vec<Row>>,
    changes: u64,
}

#[derive(Clone, Copy, PartialEq)]
struct Row {
    key: [u8; 8],
    token: u64,
    digest: u64,
}

impl Row {
    fn held(self) -> Held {
        Held {
            token: self.token,
            digest: self.digest,
            removable_at_ms: u64::MAX,
        }
    }
}

fn mixed(number: u64) -> u64 {
    Token::of(&number.to_le_bytes()).0
}

impl Numbers {
    fn new(life: u64, count: u64) -> Self {
        let mut partitions = vec![Vec::new(); 1 << BITS];
        for number in 0..count {
            let token = Token(mixed(number));
            partitions[token.partition(BITS).index()].push(Row {
                key: number.to_le_bytes(),
                token: token.0,
                digest: mixed(!number),
            });
        }
        for records in &mut partitions {
            records.sort_unstable_by_key(|row: &Row| row.token);
        }
        Self {
            life,
            partitions,
            changes: 1_000_000,
        }
    }

    /// Makes `count` keys older than they are elsewhere, or takes them away: seven to three.
    fn fall_behind(&mut self, count: u64) {
        for number in 0..count {
            let token = Token(mixed(number * 97));
            let records = &mut self.partitions[token.partition(BITS).index()];
            let at = records.binary_search_by_key(&token.0, |row| row.token);
            let at = at.expect("it is among them");
            if number % 10 < 7 {
                records[at].digest -= 1;
            } else {
                records.remove(at);
            }
        }
    }
}

impl Replica for Numbers {
    fn life(&self) -> u64 {
        self.life
    }

    fn log_end(&self, _: Partition) -> u64 {
        self.changes
    }

    /// Always trimmed.
    fn changes(&self, _: Partition, _: u64, _: usize) -> Option<Vec<u64>> {
        None
    }

    fn scan(
        &self,
        partition: Partition,
        after: Option<u64>,
        limit: usize,
        visit: &mut dyn FnMut(Held),
    ) -> Option<u64> {
        let records = &self.partitions[partition.index()];
        let first = after.map_or(0, |after| records.partition_point(|it| it.token <= after));
        let last = (first + limit.min(records.len())).min(records.len());
        records[first..last]
            .iter()
            .for_each(|row| visit(row.held()));
        (last < records.len()).then(|| records[last - 1].token)
    }

    fn at(&self, token: u64, visit: &mut Show<'_>) {
        let records = &self.partitions[Token(token).partition(BITS).index()];
        if let Ok(at) = records.binary_search_by_key(&token, |row| row.token) {
            let row = records[at];
            visit(&row.key, &row.digest.to_le_bytes(), row.held());
        }
    }

    fn take(&mut self, _: Partition, key: &[u8], record: &[u8], _: u64) -> Took {
        let eight = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).expect("8 bytes");
        let (key, digest) = (eight(key), u64::from_le_bytes(eight(record)));
        let token = Token::of(&key).0;
        let records = &mut self.partitions[Token(token).partition(BITS).index()];
        match records.binary_search_by_key(&token, |row| row.token) {
            Ok(at) if records[at].digest == digest => return Took::Same,
            Ok(at) if records[at].digest > digest => return Took::Ahead,
            Ok(at) => records[at].digest = digest,
            Err(at) => records.insert(at, Row { key, token, digest }),
        }
        self.changes += 1;
        Took::Merged
    }
}

/// Bytes of one whole round after which both sides are equal, without those of the records.
fn cost_of_finding(differences: u64) -> usize {
    let (whole, mut behind) = (Numbers::new(1, 1_000_000), Numbers::new(2, 1_000_000));
    behind.fall_behind(differences);
    let settings = Settings {
        pause_ms: 0,
        ..Settings::default()
    };
    let mut cluster = Cluster::new(vec![behind, whole], 2, BITS, settings);
    let other = crate::pair::id(1);
    let now = cluster.now;
    // One node asks: the other's round would find nothing left.
    cluster.machines[0].peer_up(now, other);
    cluster.run(2_000, |_, _| true);
    let [behind, whole] = &cluster.replicas[..] else {
        unreachable!("there are two");
    };
    assert!(behind.partitions == whole.partitions, "all were found");
    let totals = cluster.machines[0].totals();
    assert_eq!(totals.repaired, differences);
    assert_eq!((totals.pushed, totals.aborted), (0, 0));
    cluster.bytes - cluster.record_bytes
}

#[test]
fn finding_a_hundred_of_a_million_costs_less_than_64_kilobytes() {
    let bytes = cost_of_finding(100);
    println!("{bytes} bytes for 100 differences");
    assert!(bytes <= 64_000, "{bytes} bytes");
}

#[test]
fn finding_ten_thousand_of_a_million_costs_less_than_one_and_a_half_megabytes() {
    let bytes = cost_of_finding(10_000);
    println!("{bytes} bytes for 10,000 differences");
    assert!(bytes <= 1_500_000, "{bytes} bytes");
}
