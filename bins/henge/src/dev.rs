//! `henge dev`: a cluster on this machine, each node a process of its own.

use std::{
    fmt::Write as _,
    net::TcpListener,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use tokio::process::{Child, Command};

/// Ports between one node's and the next one's.
const STEP: u16 = 10;

/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a cluster on 127.0.0.1, says what to try, and stops it on Ctrl-C. Each node is a process
/// of its own, so that one can be killed to see what happens. Data lives in memory only.
#[derive(Args)]
pub(crate) struct Dev {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// N: replicas of each key [default: 3, or the number of nodes if that is less]
    #[arg(long, value_name = "N")]
    replicas: Option<u64>,
    /// First port: nodes listen on PORT, PORT+1 (HTTP), PORT+2 (peers), the next node 10 higher
    #[arg(long, default_value_t = 7379)]
    port: u16,
    /// Show the nodes' logs at this level
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

struct DevNode {
    number: u16,
    resp: u16,
    child: Child,
    gone: bool,
}

impl Dev {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.cluster())
    }

    async fn cluster(self) -> anyhow::Result<ExitCode> {
        let last = u32::from(self.port) + u32::from(STEP) * u32::from(self.nodes - 1) + 2;
        if last > u32::from(u16::MAX) {
            bail!(
                "--port {}: {} nodes need ports up to {last}",
                self.port,
                self.nodes
            );
        }
        self.check_ports()?;
        let mut interrupt =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let key = cluster_key()?;
        let mut nodes = (0..self.nodes)
            .map(|number| self.start(number, &key))
            .collect::<anyhow::Result<Vec<_>>>()?;
        tokio::select! {
            ready = wait_until_ready(&mut nodes) => ready?,
            _ = interrupt.recv() => return stop(nodes).await,
            _ = terminate.recv() => return stop(nodes).await,
        }
        print!("{}", self.welcome(&nodes));
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = tokio::time::sleep(Duration::from_millis(200)) => report_ends(&mut nodes)?,
            }
        }
        stop(nodes).await
    }

    fn port(&self, number: u16) -> u16 {
        self.port + STEP * number
    }

    fn check_ports(&self) -> anyhow::Result<()> {
        for port in (0..self.nodes).flat_map(|number| (0..3).map(move |o| self.port(number) + o)) {
            TcpListener::bind(("127.0.0.1", port)).with_context(|| {
                format!("port {port} is in use; --port chooses another first port")
            })?;
        }
        Ok(())
    }

    fn start(&self, number: u16, key: &str) -> anyhow::Result<DevNode> {
        let at = |offset: u16| format!("127.0.0.1:{}", self.port(number) + offset);
        let peers: Vec<_> = (0..self.nodes)
            .map(|n| format!("127.0.0.1:{}", self.port(n) + 2))
            .collect();
        let replicas = self.replicas.unwrap_or(u64::from(self.nodes).min(3));
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args([
                "--listen-resp",
                &at(0),
                "--listen-http",
                &at(1),
                "--listen-peer",
                &at(2),
            ])
            .args(["--peers", &peers.join(","), "--log", &self.log])
            .args(["--replicas", &replicas.to_string(), "--allow-flush"])
            .env("HENGE_CLUSTER_KEY", key)
            .env("HENGE_CLUSTER", "dev")
            // Ctrl-C reaches this process alone, which then stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a node")?;
        Ok(DevNode {
            number,
            resp: self.port(number),
            child,
            gone: false,
        })
    }

    fn welcome(&self, nodes: &[DevNode]) -> String {
        let first = self.port(0);
        let second = self.port(1.min(self.nodes - 1));
        let mut text = format!("\nA cluster of {} is serving:\n", nodes.len());
        for node in nodes {
            let pid = node.child.id().unwrap_or(0);
            let _ = writeln!(
                text,
                "  node {}   Redis protocol 127.0.0.1:{}   HTTP http://127.0.0.1:{}   pid {pid}",
                node.number + 1,
                node.resp,
                node.resp + 1
            );
        }
        let _ = write!(
            text,
            "
Try, in another terminal:
  redis-cli -p {first} set sess:a hi ex 60         write on one node ...
  redis-cli -p {second} get sess:a                  ... and read on another
  curl -X PUT -d hello 'http://127.0.0.1:{}/v1/buckets/sessions/keys/sess:b?w=3'
  henge --help                                    get, set, ring, status, explain
  loadgen --target 127.0.0.1:{first} --workload session --duration 10s
  kill -9 <pid of a node>                         everything goes on with the others

Ctrl-C stops the cluster; its data lives in memory only.
",
            first + 1,
        );
        text
    }
}

/// A node is ready when it answers a PING with PONG and its HTTP door says so.
async fn wait_until_ready(nodes: &mut [DevNode]) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for node in nodes {
        while !is_ready(node.resp + 1).await {
            if let Some(status) = node.child.try_wait()? {
                bail!("node {} ended while starting: {status}", node.number + 1);
            }
            if Instant::now() > deadline {
                bail!(
                    "the nodes did not find each other within {} s",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn is_ready(http: u16) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", http))
            .await
            .ok()?;
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    };
    let asked = tokio::time::timeout(Duration::from_secs(1), asked).await;
    asked.is_ok_and(|answer| answer.is_some())
}

fn report_ends(nodes: &mut [DevNode]) -> anyhow::Result<()> {
    for node in nodes.iter_mut().filter(|node| !node.gone) {
        if let Some(status) = node.child.try_wait()? {
            node.gone = true;
            println!(
                "node {} is gone ({status}); the others go on",
                node.number + 1
            );
        }
    }
    if nodes.iter().all(|node| node.gone) {
        bail!("every node is gone");
    }
    Ok(())
}

async fn stop(nodes: Vec<DevNode>) -> anyhow::Result<ExitCode> {
    println!("\nstopping");
    let living: Vec<_> = nodes.iter().filter_map(|node| node.child.id()).collect();
    for pid in living {
        // The standard library cannot send SIGTERM; the shell's kill is everywhere.
        let _ = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await;
    }
    for mut node in nodes {
        let ended = tokio::time::timeout(Duration::from_secs(8), node.child.wait()).await;
        if ended.is_err() {
            eprintln!("node {} does not stop; killing it", node.number + 1);
            node.child.kill().await?;
        }
    }
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A key for this cluster alone: nothing else on this machine can join it.
fn cluster_key() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("no random bytes for the cluster's key")?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
