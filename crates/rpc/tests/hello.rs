//! Hellos: who gets in, who does not, and what each side is told.

mod rig;

use std::time::Duration;

use henge_rpc::{
    ClusterId, ClusterKey, Entropy, HELLO_TIME, HelloError, Identity, PeerHello, WIRE_NUMBER,
    accept_hello, dial_hello,
};
use rig::{HIGH, LOW, identity, local};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};

type Outcome = Result<PeerHello, HelloError>;

async fn meet(dialler: &Identity, acceptor: &Identity) -> (Outcome, Outcome) {
    let (mut near, mut far) = duplex(4096);
    let entropy = Entropy::os();
    let dial = async {
        let outcome = dial_hello(&mut near, dialler, 1, Some(HIGH), &entropy, HELLO_TIME).await;
        drop(near);
        outcome
    };
    let accept = async {
        let outcome = accept_hello(&mut far, acceptor, &entropy, HELLO_TIME).await;
        drop(far);
        outcome
    };
    tokio::join!(dial, accept)
}

/// What the acceptor makes of these bytes, after which the connection ends.
async fn accept_bytes(bytes: &[u8]) -> HelloError {
    let (mut near, mut far) = duplex(4096);
    near.write_all(bytes).await.expect("room");
    near.shutdown().await.expect("open");
    accept_hello(&mut far, &identity(HIGH), &Entropy::os(), HELLO_TIME)
        .await
        .expect_err("refused")
}

#[test]
fn the_same_key_lets_in_and_each_learns_of_the_other() {
    local(async {
        let wide = Identity {
            lanes: 5,
            ..identity(HIGH)
        };
        let (dialler, acceptor) = meet(&identity(LOW), &wide).await;
        let hello = |node, lanes, dialled| PeerHello {
            node,
            lane: 1,
            lanes,
            dialled,
        };
        assert_eq!(dialler.expect("in"), hello(HIGH, 5, true));
        assert_eq!(acceptor.expect("in"), hello(LOW, 2, false));
    });
}

#[test]
fn another_key_is_refused_and_both_sides_say_so() {
    local(async {
        let key = ClusterKey::from_secret(b"some other secret").expect("long enough");
        let (dialler, acceptor) = meet(
            &Identity {
                key,
                ..identity(LOW)
            },
            &identity(HIGH),
        )
        .await;
        assert!(
            matches!(dialler, Err(HelloError::KeyRefused { peer: HIGH })),
            "{dialler:?}"
        );
        assert!(
            matches!(acceptor, Err(HelloError::BadKey { peer: LOW })),
            "{acceptor:?}"
        );
    });
}

#[test]
fn the_well_known_key_is_not_a_secret_one() {
    local(async {
        let well_known = |node| Identity {
            key: ClusterKey::well_known(&identity(node).cluster),
            ..identity(node)
        };
        let (dialler, acceptor) = meet(&well_known(LOW), &well_known(HIGH)).await;
        assert!(dialler.is_ok() && acceptor.is_ok());
        let (dialler, _) = meet(&well_known(LOW), &identity(HIGH)).await;
        assert!(matches!(dialler, Err(HelloError::KeyRefused { .. })));
        assert!(well_known(LOW).key.is_well_known() && !identity(LOW).key.is_well_known());
        assert!(ClusterKey::from_secret(&[7; 15]).is_err());
    });
}

#[test]
fn another_cluster_is_named_on_both_sides() {
    local(async {
        let cluster = ClusterId([0xc2; 16]);
        let other = Identity {
            cluster,
            ..identity(LOW)
        };
        let (dialler, acceptor) = meet(&other, &identity(HIGH)).await;
        let home = identity(HIGH).cluster;
        assert!(
            matches!(dialler, Err(HelloError::OtherCluster { ours, theirs })
            if ours == cluster && theirs == home)
        );
        assert!(
            matches!(acceptor, Err(HelloError::OtherCluster { ours, theirs })
            if ours == home && theirs == cluster)
        );
    });
}

#[test]
fn another_wire_number_is_named_on_both_sides() {
    local(async {
        let newer = Identity {
            wire: WIRE_NUMBER + 1,
            ..identity(LOW)
        };
        let (dialler, acceptor) = meet(&newer, &identity(HIGH)).await;
        assert!(
            matches!(dialler, Err(HelloError::WireNumber { ours, theirs: WIRE_NUMBER })
            if ours == WIRE_NUMBER + 1)
        );
        assert!(
            matches!(acceptor, Err(HelloError::WireNumber { ours: WIRE_NUMBER, theirs })
            if theirs == WIRE_NUMBER + 1)
        );
    });
}

#[test]
fn a_node_does_not_talk_to_itself() {
    local(async {
        let (dialler, acceptor) = meet(&identity(HIGH), &identity(HIGH)).await;
        assert!(matches!(
            dialler,
            Err(HelloError::SelfConnection { node: HIGH })
        ));
        assert!(matches!(
            acceptor,
            Err(HelloError::SelfConnection { node: HIGH })
        ));
    });
}

#[test]
fn an_unexpected_node_gets_no_proof() {
    local(async {
        let stranger = henge_ring::NodeId([5; 16]);
        let (dialler, acceptor) = meet(&identity(LOW), &identity(stranger)).await;
        assert!(
            matches!(dialler, Err(HelloError::UnexpectedNode { expected: HIGH, found })
            if found == stranger)
        );
        assert!(
            matches!(acceptor, Err(HelloError::Connection(_))),
            "the dialler just left"
        );
    });
}

#[test]
fn bytes_of_strangers_are_refused_by_kind() {
    local(async {
        let http = accept_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            matches!(
                http,
                HelloError::FrameTooLarge {
                    len: 0x4547,
                    cap: 1024
                }
            ),
            "{http:?}"
        );
        let at_cap = accept_bytes(&[&[0, 4, 1][..], &[0x55; 1023]].concat()).await;
        assert!(matches!(
            at_cap,
            HelloError::NotHenge {
                found: [0x55, 0x55, 0x55, 0x55]
            }
        ));
        let over_cap = accept_bytes(&[1, 4]).await;
        assert!(matches!(
            over_cap,
            HelloError::FrameTooLarge { len: 1025, .. }
        ));
        assert!(matches!(
            accept_bytes(&[0, 0]).await,
            HelloError::Malformed { .. }
        ));
        assert!(matches!(
            accept_bytes(&[1, 0, 9]).await,
            HelloError::Malformed { .. }
        ));
        assert!(matches!(
            accept_bytes(b"\x05\0\x01HNGE").await,
            HelloError::Malformed { .. }
        ));
        assert!(matches!(accept_bytes(&[]).await, HelloError::Connection(_)));
    });
}

/// What a dialler sends: its opening and, given an acceptor's answers, its proof.
async fn dialler_bytes() -> Vec<u8> {
    let (mut near, mut tap) = duplex(4096);
    let (mut wire, mut far) = duplex(4096);
    let entropy = Entropy::os();
    let dial = async {
        let hello = dial_hello(&mut near, &identity(LOW), 0, None, &entropy, HELLO_TIME).await;
        drop(near);
        hello
    };
    let accept = async {
        let outcome = accept_hello(&mut far, &identity(HIGH), &entropy, HELLO_TIME).await;
        drop(far);
        outcome
    };
    let relay = async {
        let mut seen = Vec::new();
        loop {
            let (mut up, mut down) = ([0; 256], [0; 256]);
            tokio::select! {
                n = tap.read(&mut up) => {
                    let n = n.expect("open");
                    if n == 0 { return seen; }
                    seen.extend_from_slice(&up[..n]);
                    wire.write_all(&up[..n]).await.expect("open");
                }
                n = wire.read(&mut down) => {
                    let n = n.expect("open");
                    if n > 0 { tap.write_all(&down[..n]).await.expect("open"); }
                }
            }
        }
    };
    let (dialled, accepted, seen) = tokio::join!(dial, accept, relay);
    assert!(dialled.is_ok() && accepted.is_ok());
    seen
}

#[test]
fn every_truncation_is_refused() {
    local(async {
        let whole = dialler_bytes().await;
        for cut in 0..whole.len() {
            let error = accept_bytes(&whole[..cut]).await;
            assert!(
                matches!(error, HelloError::Connection(_)),
                "cut at {cut}: {error:?}"
            );
        }
    });
}

#[test]
fn a_recorded_hello_is_worth_nothing_in_a_new_conversation() {
    local(async {
        let recorded = dialler_bytes().await;
        let error = accept_bytes(&recorded).await;
        assert!(
            matches!(error, HelloError::BadKey { peer: LOW }),
            "{error:?}"
        );
    });
}

#[test]
fn one_wrong_bit_anywhere_is_refused() {
    local(async {
        // The proof covers the dialler's opening as sent, so that a change on the way is found.
        let (low, high) = (identity(LOW), identity(HIGH));
        for at in 3..77 {
            let (mut near, mut tap) = duplex(4096);
            let (mut wire, mut far) = duplex(4096);
            let entropy = Entropy::os();
            let flip = async {
                let mut opening = [0; 77];
                tap.read_exact(&mut opening).await.expect("an opening");
                opening[at] ^= 0x10;
                wire.write_all(&opening).await.expect("open");
                let _ = tokio::io::copy_bidirectional(&mut tap, &mut wire).await;
            };
            let dial = async {
                let limit = Duration::from_millis(50);
                let outcome = dial_hello(&mut near, &low, 0, None, &entropy, limit).await;
                drop(near);
                outcome
            };
            let accept = async {
                let limit = Duration::from_millis(50);
                let outcome = accept_hello(&mut far, &high, &entropy, limit).await;
                drop(far);
                outcome
            };
            let (dialled, accepted, ()) = tokio::join!(dial, accept, flip);
            assert!(
                dialled.is_err() && accepted.is_err(),
                "bit flipped in byte {at}"
            );
        }
    });
}

#[test]
fn a_silent_or_dripping_stranger_has_five_seconds() {
    local(async {
        for drip in [false, true] {
            let (mut near, mut far) = duplex(4096);
            let start = Instant::now();
            let dripping = tokio::task::spawn_local(async move {
                for byte in [74, 0, 1, b'H', b'N', b'G', b'E', 1, 0] {
                    sleep(Duration::from_secs(1)).await;
                    if drip && near.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            });
            let entropy = Entropy::os();
            let error = accept_hello(&mut far, &identity(HIGH), &entropy, HELLO_TIME).await;
            assert!(
                matches!(error, Err(HelloError::TimedOut { limit: HELLO_TIME })),
                "{error:?}"
            );
            assert_eq!(start.elapsed().as_secs(), 5);
            dripping.abort();
        }
    });
}

#[test]
fn the_hello_takes_not_one_byte_of_what_follows() {
    local(async {
        let (mut near, mut far): (DuplexStream, DuplexStream) = duplex(4096);
        let (low, high) = (identity(LOW), identity(HIGH));
        let entropy = Entropy::os();
        let dial = async {
            dial_hello(&mut near, &low, 0, None, &entropy, HELLO_TIME)
                .await
                .expect("in");
            near.write_all(b"after").await.expect("open");
            let mut next = [0; 6];
            near.read_exact(&mut next).await.expect("open");
            assert_eq!(&next, b"behind");
        };
        let accept = async {
            accept_hello(&mut far, &high, &entropy, HELLO_TIME)
                .await
                .expect("in");
            far.write_all(b"behind").await.expect("open");
            let mut next = [0; 5];
            far.read_exact(&mut next).await.expect("open");
            assert_eq!(&next, b"after");
        };
        tokio::join!(dial, accept);
    });
}

#[test]
fn golden_opening_and_proof() {
    local(async {
        let (mut near, mut far) = duplex(4096);
        let entropy = Entropy::from_fn(|bytes| {
            bytes.fill(0x42);
            Ok(())
        });
        let (low, high) = (identity(LOW), identity(HIGH));
        let dial = dial_hello(&mut near, &low, 3, None, &entropy, HELLO_TIME);
        let read = async {
            let mut opening = [0; 77];
            far.read_exact(&mut opening).await.expect("an opening");
            let mut expected = vec![75, 0, 1];
            expected.extend(b"HNGE");
            expected.extend([2, 0]);
            expected.extend([0xc1; 16]);
            expected.extend([1; 16]);
            expected.extend([0x42; 32]);
            expected.extend([3, 0, 2, 0]);
            assert_eq!(opening[..], expected[..]);
            let mut answer = opening;
            answer[25..41].copy_from_slice(&high.node.0);
            far.write_all(&answer).await.expect("open");
            let mut proof = [0; 35];
            far.read_exact(&mut proof).await.expect("a proof");
            drop(far);
            proof
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let (_, proof) = tokio::join!(dial, read);
        assert_eq!(proof, GOLDEN_PROOF);
    });
}

/// For wire number 2. Computed with an independent HMAC-SHA256.
const GOLDEN_PROOF: &str = "2100023793012a3c9aafc627f3c5b11fe3ad717a205c85673563164f6ed79a157270fb";

#[test]
fn keys_are_never_printed() {
    let printed = format!("{:?}", identity(LOW));
    let key = ClusterKey::from_secret(b"a secret of the tests").expect("long enough");
    assert!(
        !printed.contains("secret") && printed.contains("ClusterKey { well_known: false, .. }")
    );
    assert_eq!(format!("{key:?}"), "ClusterKey { well_known: false, .. }");
}
