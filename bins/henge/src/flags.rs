//! Flags of a node, which are its settings too.

use std::path::PathBuf;

use clap::Args;
use henge_node::{Setting, Settings};

/// How a node is set up. Everything can also be an environment variable (`HENGE_LISTEN_RESP`) or a
/// key of the configuration file (`listen_resp`); flags win over variables, variables over the file.
#[derive(Args, Debug, Default)]
pub(crate) struct NodeFlags {
    /// Configuration file (TOML; keys are the flags' names with _)
    #[arg(long, env = "HENGE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address of the Redis-protocol door [default: 127.0.0.1:7379]
    #[arg(long, env = "HENGE_LISTEN_RESP", value_name = "IP:PORT")]
    pub(crate) listen_resp: Option<String>,
    /// Address of the HTTP door [default: 127.0.0.1:7380]
    #[arg(long, env = "HENGE_LISTEN_HTTP", value_name = "IP:PORT")]
    pub(crate) listen_http: Option<String>,
    /// Address for the other nodes [default: 127.0.0.1:7381]
    #[arg(long, env = "HENGE_LISTEN_PEER", value_name = "IP:PORT")]
    pub(crate) listen_peer: Option<String>,
    /// Peer addresses of all nodes of the cluster, separated by commas; none: a cluster of one
    #[arg(
        long,
        env = "HENGE_PEERS",
        value_name = "IP:PORT,...",
        value_delimiter = ','
    )]
    pub(crate) peers: Option<Vec<String>>,
    /// Join the running cluster of which these are members, instead of founding one
    #[arg(
        long,
        env = "HENGE_JOIN",
        value_name = "IP:PORT,...",
        value_delimiter = ',',
        conflicts_with = "peers"
    )]
    pub(crate) join: Option<Vec<String>>,
    /// Name of the cluster; nodes of other clusters are refused [default: henge]
    #[arg(long, env = "HENGE_CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// File with the secret that proves membership; needed beyond loopback
    #[arg(long, env = "HENGE_CLUSTER_KEY_FILE", value_name = "FILE")]
    pub(crate) cluster_key_file: Option<String>,
    /// The secret itself: better as a variable, flags show in process lists
    #[arg(
        long,
        env = "HENGE_CLUSTER_KEY",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub(crate) cluster_key: Option<String>,
    /// Password of the doors (user "default")
    #[arg(long, env = "HENGE_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// Serve beyond loopback without a password
    #[arg(long, env = "HENGE_OPEN")]
    pub(crate) open: bool,
    /// Let clients destroy all data with FLUSHALL and FLUSHDB, which are refused otherwise
    #[arg(long, env = "HENGE_ALLOW_FLUSH")]
    pub(crate) allow_flush: bool,
    /// N: replicas of each key [default: 3]
    #[arg(long, env = "HENGE_REPLICAS", value_name = "N")]
    pub(crate) replicas: Option<u64>,
    /// R: replies a read waits for, unless it says otherwise [default: a majority of N]
    #[arg(long, env = "HENGE_R")]
    pub(crate) r: Option<u64>,
    /// W: replicas a write waits for, unless it says otherwise [default: a majority of N]
    #[arg(long, env = "HENGE_W")]
    pub(crate) w: Option<u64>,
    /// Only a key's own replicas count, never a stand-in
    #[arg(long, env = "HENGE_STRICT")]
    pub(crate) strict: bool,
    /// How long a request may take, unless it says otherwise [default: 1s]
    #[arg(long, env = "HENGE_TIMEOUT", value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// Memory for data; a full node refuses writes and keeps what it has [default: no limit]
    #[arg(long, env = "HENGE_MEMORY_LIMIT", value_name = "SIZE")]
    pub(crate) memory_limit: Option<String>,
    /// Largest value [default: 2mb, which is also the most]
    #[arg(long, env = "HENGE_MAX_VALUE", value_name = "SIZE")]
    pub(crate) max_value: Option<String>,
    /// A touch that would prolong a session by less than this, and by less than 1 % of its lifetime, may be
    /// answered by the last one that W replicas acknowledged; 0s: each touch goes to W replicas [default: 10s]
    #[arg(long, env = "HENGE_TOUCH_SLACK", value_name = "DURATION")]
    pub(crate) touch_slack: Option<String>,
    /// Threads that serve requests [default: half of the cores]
    #[arg(long, env = "HENGE_DATA_THREADS", value_name = "THREADS")]
    pub(crate) data_threads: Option<u64>,
    /// What this node fails together with; replicas are spread over zones [default: default]
    #[arg(long, env = "HENGE_ZONE")]
    pub(crate) zone: Option<String>,
    /// Share of the data relative to the other nodes [default: 1]
    #[arg(long, env = "HENGE_WEIGHT")]
    pub(crate) weight: Option<u64>,
    /// Clock difference to other nodes that is tolerated [default: 500ms]
    #[arg(long, env = "HENGE_MAX_SKEW", value_name = "DURATION")]
    pub(crate) max_skew: Option<String>,
    /// How often replicas are compared with each other [default: 60s]
    #[arg(long, env = "HENGE_ANTI_ENTROPY_INTERVAL", value_name = "DURATION")]
    pub(crate) anti_entropy_interval: Option<String>,
    /// Most bytes that comparing and repairing replicas may move a second [default: 32mb]
    #[arg(long, env = "HENGE_REPAIR_RATE", value_name = "SIZE")]
    pub(crate) repair_rate: Option<String>,
    /// Let go of a member that has been down for so long, at least 1m; the same on all nodes [default:
    /// never]
    #[arg(long, env = "HENGE_EVICT_AFTER", value_name = "DURATION")]
    pub(crate) evict_after: Option<String>,
    /// Share of reads beside which all replicas are asked how new what they hold is; see `henge
    /// quorum`. At most 50 a second and thread; 0: none [default: 0.01]
    #[arg(long, env = "HENGE_PROBE_SHARE", value_name = "SHARE")]
    pub(crate) probe_share: Option<f64>,
    /// Of a hundred reads, how many may ask one replica more when one is slow to answer; 0: none
    /// [default: 5]
    #[arg(long, env = "HENGE_HEDGE_PERCENT", value_name = "PERCENT")]
    pub(crate) hedge_percent: Option<u64>,
}

impl NodeFlags {
    /// Flags and variables over the file, if there is one.
    pub(crate) fn settings(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        let flags = Settings {
            listen_resp: self.listen_resp.map(|v| Setting::flag("listen-resp", v)),
            listen_http: self.listen_http.map(|v| Setting::flag("listen-http", v)),
            listen_peer: self.listen_peer.map(|v| Setting::flag("listen-peer", v)),
            peers: self.peers.map(|v| Setting::flag("peers", v)),
            join: self.join.map(|v| Setting::flag("join", v)),
            cluster: self.cluster.map(|v| Setting::flag("cluster", v)),
            cluster_key_file: self
                .cluster_key_file
                .map(|v| Setting::flag("cluster-key-file", v)),
            cluster_key: self.cluster_key.map(|v| Setting::flag("cluster-key", v)),
            password: self.password.map(|v| Setting::flag("password", v)),
            open: self.open.then(|| Setting::flag("open", true)),
            allow_flush: self.allow_flush.then(|| Setting::flag("allow-flush", true)),
            replicas: self.replicas.map(|v| Setting::flag("replicas", v)),
            r: self.r.map(|v| Setting::flag("r", v)),
            w: self.w.map(|v| Setting::flag("w", v)),
            strict: self.strict.then(|| Setting::flag("strict", true)),
            timeout: self.timeout.map(|v| Setting::flag("timeout", v)),
            memory_limit: self.memory_limit.map(|v| Setting::flag("memory-limit", v)),
            max_value: self.max_value.map(|v| Setting::flag("max-value", v)),
            touch_slack: self.touch_slack.map(|v| Setting::flag("touch-slack", v)),
            data_threads: self.data_threads.map(|v| Setting::flag("data-threads", v)),
            zone: self.zone.map(|v| Setting::flag("zone", v)),
            weight: self.weight.map(|v| Setting::flag("weight", v)),
            max_skew: self.max_skew.map(|v| Setting::flag("max-skew", v)),
            anti_entropy_interval: self
                .anti_entropy_interval
                .map(|v| Setting::flag("anti-entropy-interval", v)),
            repair_rate: self.repair_rate.map(|v| Setting::flag("repair-rate", v)),
            evict_after: self.evict_after.map(|v| Setting::flag("evict-after", v)),
            probe_share: self.probe_share.map(|v| Setting::flag("probe-share", v)),
            hedge_percent: self
                .hedge_percent
                .map(|v| Setting::flag("hedge-percent", v)),
        };
        Ok(flags.over(file))
    }
}
