//! Golden vectors. What they pin is on disks and wires of running clusters: a change that makes
//! one of these fail splits rings or loses keys, and needs a new algorithm version instead.

use henge_ring::{
    BucketDefinition, BucketKind, ChangeId, Event, OnDead, Op, Partition, RingTag, Token,
};

use crate::topology::{Cluster, endpoints, id, join, weight, zone};

#[test]
fn tokens() {
    let token = |key: &[u8]| format!("{:016x}", Token::of(key).0);
    assert_eq!(token(b""), "8495c8b991017c42");
    assert_eq!(token(b"session:1"), "427792264d64d7b5");
    assert_eq!(
        token(b"sess:9f86d081884c7d659a2feaa0c55ad015"),
        "a7cdea18c5eb9169"
    );
    assert_eq!(token(&[0; 300]), "dd8b4c29c84c3261");
    assert_eq!(Token::of(b"session:1").partition(10), Partition(265));
}

/// One event of each kind.
fn ops() -> Vec<Op> {
    vec![
        Op::Genesis { bits: 12 },
        Op::Join {
            node: id(1),
            weight: weight(300),
            zone: zone(2),
            endpoints: endpoints("a"),
        },
        Op::Leave { node: id(1) },
        Op::SetWeight {
            node: id(1),
            weight: weight(1),
        },
        Op::SetZone {
            node: id(1),
            zone: zone(1),
        },
        Op::Replace {
            old: id(1),
            new: id(2),
            endpoints: endpoints("b"),
        },
        Op::SplitQ,
        Op::SetN { n: 5 },
        Op::AlgoVersion { v: 1 },
        Op::Return {
            node: id(1),
            weight: weight(300),
            zone: zone(2),
            endpoints: endpoints("a"),
        },
        Op::SetBucket {
            bucket: BucketDefinition {
                name: "carts".into(),
                prefixes: vec!["c:".into()],
                kind: BucketKind::Session,
                r: Some(1),
                w: None,
                strict: Some(false),
                ttl_ms: Some(300),
                max_lifetime_ms: Some(301),
                on_dead: OnDead::Error,
                max_value: Some(302),
                max_siblings: Some(303),
            },
        },
        Op::RemoveBucket {
            name: "carts".into(),
        },
    ]
}

#[test]
fn event_bytes() {
    let hex = |op: Op| -> String {
        let event = Event {
            lamport: 300,
            change: ChangeId(7),
            proposer: id(0),
            op,
        };
        let bytes = postcard::to_stdvec(&event).expect("encodes");
        assert_eq!(postcard::from_bytes::<Event>(&bytes).as_ref(), Ok(&event));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let head = "ac02079e3779b97f4a7c15f39cc0605cedc835";
    let expected = [
        "000c",
        "013c6ef372fe94f82be73980c0b9db906aac02027a3206613a3733383106613a3733373906613a37333830",
        "023c6ef372fe94f82be73980c0b9db906a",
        "033c6ef372fe94f82be73980c0b9db906a01",
        "043c6ef372fe94f82be73980c0b9db906a027a31",
        "053c6ef372fe94f82be73980c0b9db906adaa66d2c7ddf7441dad6412116c9589f06623a3733383106623a3733373906623a37333830",
        "06",
        "0705",
        "0801",
        "093c6ef372fe94f82be73980c0b9db906aac02027a3206613a3733383106613a3733373906613a37333830",
        "0a0563617274730102633a00010100010001ac0201ad020101ae0201af02",
        "0b056361727473",
    ];
    assert_eq!(ops().len(), expected.len());
    for (op, tail) in ops().into_iter().zip(expected) {
        assert_eq!(hex(op), format!("{head}{tail}"));
    }
}

/// Tag and layout of a log.
fn check(cluster: &Cluster, lamport: u64, tag: u64, layout: u64) {
    let ring = cluster.ring();
    let found = format!("{:?} {:#018x}", ring.tag(), ring.layout_hash());
    assert_eq!(
        found,
        format!("{:?} {layout:#018x}", RingTag { lamport, hash: tag })
    );
}

#[test]
fn layout_of_no_nodes() {
    check(&Cluster::default(), 0, 0, 0x1e79_56a7_c2d1_69a0);
}

#[test]
fn layout_of_three_nodes() {
    check(
        &Cluster::even(10, 3, 1),
        1,
        0x270d_7901_6745_4b9d,
        0x3f0d_498d_1c04_e291,
    );
}

#[test]
fn layout_of_ten_nodes_in_three_zones() {
    check(
        &Cluster::even(8, 10, 3),
        1,
        0x4ff5_6c67_c0eb_172e,
        0xe17e_b8b1_2b8b_7b23,
    );
}

#[test]
fn layout_of_unequal_weights_and_zones() {
    let mut cluster = Cluster::default();
    cluster.change((0..9).map(|number| join(number, 40 + 77 * u32::from(number), number / 5)));
    cluster.change([Op::SetWeight {
        node: id(3),
        weight: weight(1000),
    }]);
    cluster.change([Op::SetZone {
        node: id(4),
        zone: zone(7),
    }]);
    check(&cluster, 3, 0x8d60_3788_0acf_3727, 0x4a2b_5fcc_e474_a4d6);
}

#[test]
fn layout_after_leave_replace_and_split() {
    let mut cluster = Cluster::even(6, 8, 2);
    cluster.change([Op::Leave { node: id(2) }]);
    let replace = Op::Replace {
        old: id(5),
        new: id(20),
        endpoints: endpoints("x"),
    };
    cluster.change([replace]);
    cluster.change([Op::SplitQ]);
    cluster.change([join(21, 250, 1)]);
    cluster.change([Op::SetN { n: 5 }]);
    check(&cluster, 6, 0xcdb9_2008_5704_7fe2, 0xc368_6866_3fe9_e136);
}

#[test]
fn layout_of_fifty_nodes_one_by_one() {
    let mut cluster = Cluster::even(10, 1, 1);
    (1..50).for_each(|number| cluster.change([join(number, 100, number % 4)]));
    check(&cluster, 50, 0xd674_ffaf_475e_39ce, 0xdb4e_2b01_dc36_1ae4);
}
