//! Real nodes in one process, with hints and read repair off: a node that was cut off while others
//! wrote gets what it missed by anti-entropy alone, and not much more than that.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use henge_node::{Condition, Config, Expiry, Handle, Node, Operation, Options, Request, Settings};
use henge_ring::Partition;
use henge_rpc::{AnyThread, Connection, InProcess, Io, Listener, Transport};
use henge_store::{Limits, MemoryStore, Store};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A network that can be pulled out of one node.
#[derive(Clone)]
struct Plug {
    network: InProcess,
    pulled: Arc<AtomicBool>,
}

impl Plug {
    fn new(network: &InProcess) -> Self {
        Self {
            network: network.clone(),
            pulled: Arc::default(),
        }
    }

    fn through(&self, connection: Box<dyn Connection>) -> Box<dyn Connection> {
        // The pipes of one process belong to no runtime: taking them off theirs does nothing.
        let io = connection.detach().and_then(henge_rpc::Detached::attach);
        Box::new(AnyThread(Cable {
            io: io.expect("pipes can be taken off"),
            pulled: Arc::clone(&self.pulled),
        }))
    }
}

impl Transport for Plug {
    fn dial<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Connection>>> {
        async move {
            if self.pulled.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::HostUnreachable.into());
            }
            Ok(self.through(self.network.dial(addr).await?))
        }
        .boxed()
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let inner = self.network.listen(addr).await?;
            let plug = self.clone();
            Ok(Box::new(Socket { inner, plug }) as Box<dyn Listener>)
        }
        .boxed()
    }
}

struct Socket {
    inner: Box<dyn Listener>,
    plug: Plug,
}

impl Listener for Socket {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Connection>, String)>> {
        async move {
            let (connection, from) = self.inner.accept().await?;
            Ok((self.plug.through(connection), from))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<String> {
        self.inner.local_addr()
    }
}

struct Cable {
    io: Box<dyn Io>,
    pulled: Arc<AtomicBool>,
}

impl Cable {
    fn check(&self) -> io::Result<()> {
        if self.pulled.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Cable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl AsyncWrite for Cable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

const NODES: usize = 3;

fn start(number: usize, plug: &Plug, store: &Arc<MemoryStore>) -> Node {
    // The addresses only count the peers; the network goes by names.
    let text = "peers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nlisten_peer = \"127.0.0.1:3\"\n\
                data_threads = 1\nanti_entropy_interval = \"1s\"\nw = 2\n";
    let config = Config::check(&Settings::parse("test", text).expect("parses")).expect("right");
    let peers = (0..NODES).filter(|other| *other != number);
    Node::builder(config)
        .transport(Arc::new(plug.clone()))
        .store(Arc::clone(store) as Arc<dyn Store>)
        .addresses(
            &format!("n{number}"),
            "",
            peers.map(|other| format!("n{other}")).collect(),
        )
        .leave_it_to_anti_entropy()
        .start()
        .expect("starts")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes keys, many at a time; each must be acknowledged by two.
fn write(handle: &Handle, keys: std::ops::Range<usize>, value: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let put = |number: usize| async move {
        let key = format!("key{number}");
        let request = Request {
            key: key.as_bytes(),
            operation: Operation::Put {
                value: value.as_bytes(),
                expiry: Expiry::Clear,
                condition: Condition::Always,
            },
            options: Options::default(),
        };
        handle.call(&request).await.result.expect("acknowledged");
    };
    let all = stream::iter(keys).map(put).buffer_unordered(256);
    runtime
        .expect("a runtime")
        .block_on(all.for_each(|()| async {}));
}

/// Every key with its record.
fn content(store: &MemoryStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    for partition in 0..1 << store.partition_bits() {
        store.scan(
            Partition(partition),
            None,
            usize::MAX,
            &mut |key, stored| {
                all.insert(key.to_vec(), stored.bytes.to_vec());
            },
        );
    }
    all
}

fn bytes_in(node: &Node) -> u64 {
    node.handle().repair_progress().0.bytes_in
}

#[test]
fn a_node_that_was_cut_off_catches_up_by_anti_entropy_alone() {
    let network = InProcess::default();
    let plugs: Vec<_> = (0..NODES).map(|_| Plug::new(&network)).collect();
    let stores: Vec<_> = (0..NODES)
        .map(|_| Arc::new(MemoryStore::new(Limits::default())))
        .collect();
    let nodes: Vec<_> = (0..NODES)
        .map(|number| start(number, &plugs[number], &stores[number]))
        .collect();
    wait_until("all ready", || {
        nodes.iter().all(|node| {
            let handle = node.handle();
            handle.is_ready() && handle.peers().iter().filter(|peer| peer.up).count() == 2
        })
    });
    let value = "v".repeat(200);
    write(nodes[0].handle(), 0..10_000, &value);
    let equal = || {
        let first = content(&stores[0]);
        stores.iter().all(|store| content(store) == first)
    };
    wait_until("all hold the same", equal);

    plugs[2].pulled.store(true, Ordering::Relaxed);
    wait_until("it is noticed", || {
        nodes[..2]
            .iter()
            .all(|node| node.handle().peers().iter().filter(|peer| peer.up).count() == 1)
    });
    // New keys, and new values of old ones.
    let newer = "w".repeat(200);
    write(nodes[0].handle(), 5_000..20_000, &newer);
    let behind = content(&stores[2]);
    let ahead = content(&stores[0]);
    let missed = ahead
        .iter()
        .filter(|(key, record)| behind.get(*key) != Some(record));
    let missed: Vec<_> = missed
        .map(|(key, record)| key.len() + record.len())
        .collect();
    assert!(missed.len() >= 15_000, "{} missed", missed.len());
    let before = bytes_in(&nodes[2]);

    plugs[2].pulled.store(false, Ordering::Relaxed);
    wait_until("it has caught up", || {
        stores[2].usage().records == stores[0].usage().records && equal()
    });
    let (received, missed) = (bytes_in(&nodes[2]) - before, missed.iter().sum::<usize>());
    println!("{received} bytes received for {missed} bytes missed");
    assert!(received <= 3 * missed as u64);
    let (totals, _) = nodes[2].handle().repair_progress();
    assert!(
        totals.repaired >= 15_000 && totals.refused == 0,
        "{totals:?}"
    );
    let metrics = nodes[2].handle().metrics();
    assert!(metrics.contains("henge_repair_repaired_total"));

    // A round that an operator asks for ends, and finds nothing more.
    let rounds = totals.rounds;
    nodes[2].handle().start_repair();
    wait_until("a round", || {
        let (totals, peers) = nodes[2].handle().repair_progress();
        totals.rounds >= rounds + 2 && peers.iter().all(|peer| peer.left == 0)
    });
    nodes.into_iter().for_each(Node::stop);
}
