//! The hello, on both sides. Randomness is fixed, so that a recorded conversation is good again and
//! mutations of it get as far as the proof.

use henge_ring::NodeId;
use henge_rpc::{
    ClusterId, ClusterKey, Entropy, HELLO_TIME, HelloError, Identity, PeerHello, WIRE_NUMBER,
    accept_hello, dial_hello,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::Runtime,
};

use super::{Behaviour, Signature, Target, kind, rings};

pub(super) const HELLO: Target = Target {
    name: "hello",
    about: "the hello between nodes: only the conversation that was proven is let in",
    longest: 2048,
    seeds: || {
        let runtime = runtime();
        let both = [DIALLER, ACCEPTOR].map(|side| recorded(side, &runtime));
        both.to_vec()
    },
    tokens: &[
        b"HNGE",
        &[1],
        &[2],
        &[3],
        &[75, 0, 1],
        &[33, 0, 2],
        &[1, 0, 3],
    ],
    make: || {
        let runtime = runtime();
        let good = [DIALLER, ACCEPTOR].map(|side| recorded(side, &runtime));
        Box::new(move |input, _| hello(input, &good, &runtime))
    },
};

/// Whose bytes an input is: its first byte.
const DIALLER: u8 = 0;
const ACCEPTOR: u8 = 1;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn identity(node: NodeId) -> Identity {
    Identity {
        cluster: ClusterId([0xc1; 16]),
        node,
        key: ClusterKey::from_secret(b"secret of the fuzzer").expect("long enough"),
        wire: WIRE_NUMBER,
        lanes: 2,
    }
}

fn entropy(byte: u8) -> Entropy {
    Entropy::from_fn(move |bytes| {
        bytes.fill(byte);
        Ok(())
    })
}

/// What one side is told when the other sends these bytes and closes.
async fn told(side: u8, bytes: &[u8]) -> (Result<PeerHello, HelloError>, Vec<u8>) {
    let (mut other, mut ours) = duplex(64 * 1024);
    other.write_all(bytes).await.expect("there is room");
    other.shutdown().await.expect("it is open");
    let result = if side == DIALLER {
        let me = identity(rings::id(2));
        accept_hello(&mut ours, &me, &entropy(2), HELLO_TIME).await
    } else {
        let (me, peer) = (identity(rings::id(1)), rings::id(2));
        dial_hello(&mut ours, &me, 1, Some(peer), &entropy(1), HELLO_TIME).await
    };
    drop(ours);
    let mut said = Vec::new();
    let read = other.read_to_end(&mut said).await;
    read.expect("it is closed, not broken");
    (result, said)
}

/// All that a side says in a good conversation, found by giving each what the other has said.
fn recorded(side: u8, runtime: &Runtime) -> Vec<u8> {
    runtime.block_on(async {
        let (mut dialler, mut acceptor) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            dialler = told(ACCEPTOR, &acceptor).await.1;
            acceptor = told(DIALLER, &dialler).await.1;
        }
        let said = if side == DIALLER { dialler } else { acceptor };
        [&[side], &said[..]].concat()
    })
}

fn hello(input: &[u8], good: &[Vec<u8>; 2], runtime: &Runtime) -> Behaviour {
    let mut signature = Signature::default();
    let Some((&side, bytes)) = input.split_first() else {
        return signature.behaviour();
    };
    let side = side % 2;
    let proven = &good[usize::from(side)];
    let (result, said) = runtime.block_on(told(side, bytes));
    assert!(said.len() <= 4 * henge_rpc::HELLO_FRAME_CAP);
    let is_proven = bytes.starts_with(&proven[1..]);
    match result {
        Ok(_) => {
            assert!(is_proven, "let in without the proof");
            signature.note("let in");
        }
        Err(error) => {
            assert!(!is_proven, "a good conversation was refused: {error}");
            // The variant: what the peer claims to be is not another behaviour.
            let text = format!("{error:?}");
            let variant = text.split(|c: char| !c.is_alphanumeric()).next();
            signature
                .note(variant.unwrap_or_default())
                .note(kind_of_malformed(&error));
        }
    }
    signature.note([side]).size(said.len()).behaviour()
}

/// Which rule of the format was broken.
fn kind_of_malformed(error: &HelloError) -> String {
    match error {
        HelloError::Malformed { .. } => kind(error),
        _ => String::new(),
    }
}
