//! What a link costs: two threads, loopback TCP, 512-byte writes in batches of 1, 8 and 64.
//!
//! Prints the CPU time of each side per write, from the scheduler's own account of each thread.
//! `cargo run --release -p henge-rpc --example link_cost [seconds per row]`

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{FutureExt, future::LocalBoxFuture};
use henge_ring::NodeId;
use henge_rpc::{
    BatchLost, Established, Link, LinkConfig, LinkDown, LinkStats, Message, Messages, PeerHandler,
    PeerHello, Replies, Reply, TcpTransport, Transport, WriteStatus,
};
use tokio::{sync::Notify, task::LocalSet};

/// Batches in flight: two or three ticks' worth.
const WINDOW: usize = 3;

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    println!("batch      writes/s   client µs   server µs      sum   writes per socket write");
    for batch in [1, 8, 64] {
        run(batch, Duration::from_secs(seconds))?;
    }
    Ok(())
}

fn run(batch: usize, time: Duration) -> anyhow::Result<()> {
    let (addr_out, addr_in) = mpsc::channel();
    let server = thread::spawn(move || on_data_thread(serve(addr_out)));
    let client = thread::spawn(move || on_data_thread(load(addr_in, batch, time)));
    let (ops, elapsed, client_cpu, writes) = client.join().expect("client thread")?;
    let server_cpu = server.join().expect("server thread")?;
    let per_op = |cpu: Duration| cpu.as_secs_f64() * 1e6 / ops as f64;
    println!(
        "{batch:5}  {:12.0}  {:10.2}  {:10.2}  {:7.2}  {:10.1}",
        ops as f64 / elapsed.as_secs_f64(),
        per_op(client_cpu),
        per_op(server_cpu),
        per_op(client_cpu + server_cpu),
        ops as f64 / writes as f64,
    );
    Ok(())
}

fn on_data_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// CPU time of this thread so far.
fn cpu() -> anyhow::Result<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = schedstat
        .split_whitespace()
        .next()
        .context("empty schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

async fn serve(addr_out: mpsc::Sender<String>) -> anyhow::Result<Duration> {
    let mut listener = TcpTransport.listen("127.0.0.1:0").await?;
    addr_out.send(listener.local_addr()?)?;
    let (connection, _) = listener.accept().await?;
    let start = cpu()?;
    let link = link(
        connection,
        false,
        &Rc::new(Side::default()),
        &Arc::default(),
    );
    link.ended().await;
    Ok(cpu()? - start)
}

async fn load(
    addr_in: mpsc::Receiver<String>,
    batch: usize,
    time: Duration,
) -> anyhow::Result<(u64, Duration, Duration, u64)> {
    let connection = TcpTransport.dial(&addr_in.recv()?).await?;
    let (side, stats) = (Rc::new(Side::default()), Arc::new(LinkStats::default()));
    let link = link(connection, true, &side, &stats);
    let (start, start_cpu, record) = (Instant::now(), cpu()?, [7; 512]);
    let (mut room, mut op) = (0, 0u64);
    while start.elapsed() < time {
        while op - side.acknowledged.get() < (WINDOW * batch) as u64 {
            let mut open = Vec::with_capacity(room);
            for _ in 0..batch {
                op += 1;
                let key = op.to_le_bytes();
                let write = Message::Write {
                    op,
                    hint_for: None,
                    key: &key,
                    record: &record,
                };
                write.encode(&mut open)?;
            }
            room = open.len();
            link.try_send(Bytes::from(open), batch as u32)?;
        }
        side.progress.notified().await;
    }
    let outcome = (
        side.acknowledged.get(),
        start.elapsed(),
        cpu()? - start_cpu,
        stats.writes.get(),
    );
    link.close(LinkDown::Closed);
    link.ended().await;
    Ok(outcome)
}

fn link(
    connection: Box<dyn henge_rpc::Connection>,
    dialled: bool,
    side: &Rc<Side>,
    stats: &Arc<LinkStats>,
) -> Rc<Link> {
    let hello = PeerHello {
        node: NodeId([1; 16]),
        lane: 0,
        lanes: 1,
        dialled,
    };
    let established = Established {
        io: connection,
        hello,
        permit: None,
    };
    let handler = Rc::clone(side) as Rc<dyn PeerHandler>;
    Link::spawn(
        established,
        LinkConfig::default(),
        handler,
        Arc::clone(stats),
    )
}

/// Acknowledges writes, counts acknowledgements.
#[derive(Default)]
struct Side {
    acknowledged: Cell<u64>,
    progress: Notify,
}

impl PeerHandler for Side {
    fn apply(&self, _: NodeId, batch: &[u8], replies: &mut Vec<u8>) {
        for message in Messages::new(batch).flatten() {
            if let Message::Write { op, .. } = message {
                let wrote = Reply::Wrote {
                    op,
                    status: WriteStatus::Applied,
                };
                wrote.encode(replies).expect("a short reply");
            }
        }
    }

    fn replies(&self, _: NodeId, replies: &[u8]) {
        let wrote = Replies::new(replies).flatten().count() as u64;
        self.acknowledged.set(self.acknowledged.get() + wrote);
        self.progress.notify_one();
    }

    fn batch_lost(&self, _: NodeId, _: usize, why: &BatchLost) {
        eprintln!("batch lost: {why}");
    }

    fn link_up(&self, _: &Rc<Link>) {}

    fn link_down(&self, _: &Rc<Link>, _: &LinkDown) {}

    fn gossip(&self, _: NodeId, _: &[u8]) {}

    fn exchange_log(&self, _: NodeId, log: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async { log }.boxed_local()
    }

    fn scan(&self, _: NodeId, _: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async { Bytes::new() }.boxed_local()
    }

    fn reconcile(&self, _: NodeId, question: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async move { question }.boxed_local()
    }

    fn status(&self, _: NodeId) -> LocalBoxFuture<'static, Bytes> {
        async { Bytes::new() }.boxed_local()
    }
}
