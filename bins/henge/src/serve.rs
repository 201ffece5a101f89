//! `henge serve`: one node.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use henge_gateway::{Doors, Limits, serve_http};
use henge_node::{Config, Handle, Node};

use crate::flags::NodeFlags;

/// Runs one node until it is told to stop (Ctrl-C or SIGTERM).
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    node: NodeFlags,
    /// What to log: error, warn, info, debug, or per module
    #[arg(long, env = "HENGE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log_to_stderr(&self.log)?;
        let config = Config::check(&self.node.settings()?)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(config))
    }
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut stop = StopSignals::new()?;
    let http = tokio::net::TcpListener::bind(config.listen_http)
        .await
        .with_context(|| format!("cannot listen on {} (HTTP)", config.listen_http))?;
    let secret = config
        .cluster_key
        .clone()
        .unwrap_or_else(|| config.cluster.clone().into_bytes());
    let limits = Limits::with_value(config.max_value);
    let doors = Arc::new(Doors::new(config.password.clone(), limits, &secret));
    doors.allow_flush(config.allow_flush);
    let node = Node::builder(config)
        .door(Arc::clone(&doors) as Arc<dyn henge_node::ConnectionDoor>)
        .http_address(http.local_addr()?.to_string());
    // Starting waits for the data thread to bind its listeners, which is quick but blocks.
    let node = tokio::task::spawn_blocking(move || node.start()).await??;
    announce(node.handle());
    let http = tokio::spawn(serve_http(http, node.handle().clone(), Arc::clone(&doors)));
    stop.wait().await;
    tracing::info!("stopping: no new requests, those in flight may end");
    http.abort();
    tokio::task::spawn_blocking(move || node.stop()).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn announce(handle: &Handle) {
    let info = handle.info();
    tracing::info!(
        node = %info.id.short(),
        resp = info.endpoints.resp,
        http = info.endpoints.http,
        peer = info.endpoints.peer,
        "listening"
    );
}

/// Ctrl-C and SIGTERM. Registered at start, so that neither is missed while the node starts.
struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// tarpc makes a span for every call and logs every expired one as an error: it is held to
/// warnings, which a broken link's end makes few of.
pub(crate) fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{filter},tarpc=off"))
        .with_context(|| format!("--log {filter:?} is no log filter; try info or henge=debug"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
