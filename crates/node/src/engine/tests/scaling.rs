//! What one operation costs the network does not depend on how many nodes there are.

use super::*;

/// What operations took: messages in batches (their answers travel with the call and are counted
/// in bytes only), and bytes of batches and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    operations: u64,
    messages: u64,
    bytes: u64,
}

impl Cost {
    fn add(&mut self, messages: u64, bytes: u64) {
        self.operations += 1;
        self.messages += messages;
        self.bytes += bytes;
    }
}

/// Asked at a replica of the key, and asked elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Costs {
    here: Cost,
    forwarded: Cost,
}

const OPERATIONS: u64 = 360;

type Make = dyn for<'k> Fn(&'k str) -> Operation<'k>;

fn costs(nodes: u8, operation: &Make) -> Costs {
    let mut cluster = Cluster::new(nodes);
    let mut costs = Costs::default();
    for number in 0..OPERATIONS {
        let key = format!("sess:{number:04}");
        let at = 1 + (number % u64::from(nodes)) as u8;
        cluster.run(at, &key, put("first")).expect("written");
        let before = cluster.sent();
        cluster.run(at, &key, operation(&key)).expect("done");
        let after = cluster.sent();
        let (messages, bytes) = (after.0 - before.0, after.1 - before.1);
        if after.2 > before.2 {
            costs.forwarded.add(messages, bytes);
        } else {
            costs.here.add(messages, bytes);
        }
    }
    costs
}

impl Cluster {
    /// Messages, bytes and forwarded requests so far.
    fn sent(&self) -> (u64, u64, u64) {
        let counters = self.nodes.values().map(|(node, _)| &node.parts.counters);
        let (messages, forwards) = counters.fold((0, 0), |(messages, forwards), counters| {
            let forwarded = counters.forwards.get();
            (
                messages + counters.messages_sent.get(),
                forwards + forwarded,
            )
        });
        (messages, self.carried, forwards)
    }
}

/// `messages` between replicas for each operation, and twice one more if it was asked elsewhere.
fn is_flat(messages: u64, operation: &Make) {
    let three = costs(3, operation);
    assert_eq!(three.forwarded, Cost::default(), "every node has every key");
    assert_eq!(three.here.messages, messages * OPERATIONS);
    let mut forwarded = Vec::new();
    for nodes in 4..=9 {
        let Costs { here, forwarded: f } = costs(nodes, operation);
        assert_eq!(here.messages, messages * here.operations, "{nodes} nodes");
        assert_eq!(
            here.bytes * OPERATIONS,
            three.here.bytes * here.operations,
            "{nodes} nodes"
        );
        assert_eq!(
            f.messages,
            (messages + 2) * f.operations,
            "{nodes} nodes: a request and its outcome beside the rest"
        );
        forwarded.push((f.bytes, f.operations));
    }
    let (bytes, operations) = forwarded[0];
    for (more, of) in forwarded {
        assert_eq!(more * operations, bytes * of, "also where it is forwarded");
    }
}

#[test]
fn a_write_takes_the_same_messages_and_bytes_among_three_and_nine_nodes() {
    let value: &'static str = "v".repeat(512).leak();
    is_flat(2, &move |_| put(value));
}

#[test]
fn a_read_takes_the_same_messages_and_bytes_among_three_and_nine_nodes() {
    is_flat(1, &|_| Operation::Get);
}
