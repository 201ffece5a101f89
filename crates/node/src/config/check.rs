//! The checked configuration.

use std::net::{IpAddr, SocketAddr};

use henge_coordinator::{Defaults, HedgePolicy, Mode};
use henge_membership::SHORTEST_EVICTION_MS;

use super::{Setting, Settings, parse_duration_ms, parse_size};

/// What a node runs with. Made only by [`Config::check`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Redis-protocol door.
    pub listen_resp: SocketAddr,
    /// HTTP door.
    pub listen_http: SocketAddr,
    /// Node-to-node.
    pub listen_peer: SocketAddr,
    /// Peer addresses of the other nodes.
    pub peers: Vec<SocketAddr>,
    /// Members of a running cluster, which this node is to join; empty: it founds one with `peers`.
    pub join: Vec<SocketAddr>,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's secret.
    pub cluster_key: Option<Vec<u8>>,
    /// Password of the doors.
    pub password: Option<String>,
    /// Whether clients may destroy everything at once.
    pub allow_flush: bool,
    /// N, R, W, mode and deadline of requests that say nothing else.
    pub defaults: Defaults,
    /// Bytes of data at most.
    pub memory_limit: u64,
    /// Bytes of one value at most.
    pub max_value: usize,
    /// The most by which a session may end earlier than a touch asked for, in milliseconds.
    pub touch_slack_ms: u64,
    /// Threads that serve requests.
    pub data_threads: usize,
    /// Zone.
    pub zone: String,
    /// Weight.
    pub weight: u32,
    /// Clock difference to peers that is tolerated, in milliseconds.
    pub max_skew_ms: u64,
    /// From one comparison with a peer to the next, in milliseconds.
    pub anti_entropy_interval_ms: u64,
    /// Most bytes that anti-entropy moves a second.
    pub repair_rate: u32,
    /// How long a member may be down before it is let go, in milliseconds; `None`: for ever.
    pub evict_after_ms: Option<u64>,
    /// Share of reads beside which all replicas are asked what they hold, from 0 to 1.
    pub probe_share: f64,
    /// Of a hundred reads, how many may ask one replica more when one is slow, from 0 to 100.
    pub hedge_percent: u8,
}

/// Of a hundred reads, how many may hedge unless told otherwise: the policy's own figure.
const HEDGE_PERCENT: u64 = HedgePolicy::DEFAULT.budget_percent as u64;

/// Most replicas of a key: what a ring can place.
const MOST_REPLICAS: u64 = henge_ring::MAX_N as u64;

/// Largest value that can be configured, in bytes: what one message between nodes may carry.
pub(crate) const MOST_VALUE: usize = 2 << 20;

/// A setting that cannot be: where it stands, what it is, what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {given} is not possible: {expected}")]
pub struct ConfigError {
    place: String,
    given: String,
    expected: String,
}

fn wrong<T: std::fmt::Debug>(setting: &Setting<T>, expected: impl Into<String>) -> ConfigError {
    ConfigError {
        place: setting.origin.to_string(),
        given: format!("{:?}", setting.value),
        expected: expected.into(),
    }
}

impl Config {
    /// Checks settings and fills in defaults.
    pub fn check(settings: &Settings) -> Result<Self, ConfigError> {
        let listen_resp = address(settings.listen_resp.as_ref(), 7379)?;
        let listen_http = address(settings.listen_http.as_ref(), 7380)?;
        let listen_peer = address(settings.listen_peer.as_ref(), 7381)?;
        let config = Self {
            listen_resp,
            listen_http,
            listen_peer,
            peers: peers(settings.peers.as_ref(), listen_peer)?,
            join: peers(settings.join.as_ref(), listen_peer)?,
            cluster: settings
                .cluster
                .as_ref()
                .map_or("henge", |s| &s.value)
                .to_owned(),
            cluster_key: cluster_key(settings)?,
            password: password(settings)?,
            allow_flush: settings.allow_flush.as_ref().is_some_and(|s| s.value),
            defaults: defaults(settings)?,
            memory_limit: size(settings.memory_limit.as_ref(), u64::MAX)?,
            max_value: size(settings.max_value.as_ref(), MOST_VALUE as u64)? as usize,
            touch_slack_ms: duration(settings.touch_slack.as_ref(), 10_000)?,
            data_threads: between(settings.data_threads.as_ref(), 1, 256, default_threads())?
                as usize,
            zone: settings
                .zone
                .as_ref()
                .map_or("default", |s| &s.value)
                .to_owned(),
            weight: between(settings.weight.as_ref(), 1, 65_535, 1)? as u32,
            max_skew_ms: duration(settings.max_skew.as_ref(), 500)?,
            anti_entropy_interval_ms: interval(settings)?,
            repair_rate: repair_rate(settings)?,
            evict_after_ms: evict_after(settings)?,
            probe_share: probe_share(settings)?,
            hedge_percent: between(settings.hedge_percent.as_ref(), 0, 100, HEDGE_PERCENT)? as u8,
        };
        if let Some(setting) = &settings.max_value
            && !(1..=MOST_VALUE).contains(&config.max_value)
        {
            return Err(wrong(setting, "a value may have between 1 byte and 2mb"));
        }
        exposure(settings, &config)?;
        Ok(config)
    }
}

/// Half of the cores: the kernel's share of serving small requests is as large as ours.
fn default_threads() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() as u64 / 2).max(1))
}

fn address(setting: Option<&Setting<String>>, port: u16) -> Result<SocketAddr, ConfigError> {
    let Some(setting) = setting else {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    };
    setting
        .value
        .parse()
        .map_err(|_| wrong(setting, format!("IP:PORT, such as 127.0.0.1:{port}")))
}

fn peers(
    setting: Option<&Setting<Vec<String>>>,
    own: SocketAddr,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let Some(setting) = setting else {
        return Ok(Vec::new());
    };
    let mut peers = Vec::new();
    for text in setting.value.iter().filter(|text| !text.trim().is_empty()) {
        let peer: SocketAddr = text.trim().parse().map_err(|_| {
            wrong(
                setting,
                format!("{text:?} should be IP:PORT, such as 127.0.0.1:7381"),
            )
        })?;
        if peer != own && !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    Ok(peers)
}

fn cluster_key(settings: &Settings) -> Result<Option<Vec<u8>>, ConfigError> {
    const SHORTEST: usize = 16;
    let long_enough = |setting: &Setting<String>, key: &[u8]| {
        if key.len() < SHORTEST {
            let hidden = Setting {
                value: "(hidden)",
                origin: setting.origin.clone(),
            };
            return Err(wrong(
                &hidden,
                format!("at least {SHORTEST} bytes, not {}", key.len()),
            ));
        }
        Ok(Some(key.to_vec()))
    };
    match (&settings.cluster_key, &settings.cluster_key_file) {
        (Some(key), _) => long_enough(key, key.value.as_bytes()),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file.value)
                .map_err(|error| wrong(file, format!("a readable file ({error})")))?;
            long_enough(file, text.trim().as_bytes())
        }
        (None, None) => Ok(None),
    }
}

fn password(settings: &Settings) -> Result<Option<String>, ConfigError> {
    match &settings.password {
        Some(setting) if setting.value.is_empty() => Err(wrong(
            setting,
            "at least one character; leave the setting out for none",
        )),
        other => Ok(other.as_ref().map(|setting| setting.value.clone())),
    }
}

fn defaults(settings: &Settings) -> Result<Defaults, ConfigError> {
    let n = between(settings.replicas.as_ref(), 1, MOST_REPLICAS, 3)? as u8;
    let majority = u64::from(n / 2 + 1);
    let r = between(settings.r.as_ref(), 1, u64::from(n), majority)? as u8;
    let w = between(settings.w.as_ref(), 1, u64::from(n), majority)? as u8;
    let strict = settings
        .strict
        .as_ref()
        .is_some_and(|setting| setting.value);
    let mode = if strict { Mode::Strict } else { Mode::Sloppy };
    let deadline_ms = duration(settings.timeout.as_ref(), 1_000)?;
    if let Some(setting) = &settings.timeout
        && !(1..=60_000).contains(&deadline_ms)
    {
        return Err(wrong(setting, "between 1ms and 60s"));
    }
    Ok(Defaults {
        n,
        r,
        w,
        mode,
        deadline_ms: deadline_ms as u32,
    })
}

/// From one comparison of replicas to the next.
fn interval(settings: &Settings) -> Result<u64, ConfigError> {
    let interval_ms = duration(settings.anti_entropy_interval.as_ref(), 60_000)?;
    match &settings.anti_entropy_interval {
        Some(setting) if !(1_000..=86_400_000).contains(&interval_ms) => {
            Err(wrong(setting, "between 1s and 24h"))
        }
        _ => Ok(interval_ms),
    }
}

fn evict_after(settings: &Settings) -> Result<Option<u64>, ConfigError> {
    let Some(setting) = &settings.evict_after else {
        return Ok(None);
    };
    let after_ms = duration(Some(setting), 0)?;
    match after_ms >= SHORTEST_EVICTION_MS {
        true => Ok(Some(after_ms)),
        false => Err(wrong(
            setting,
            "1m or longer: data moves to other nodes; leave the setting out for never",
        )),
    }
}

fn repair_rate(settings: &Settings) -> Result<u32, ConfigError> {
    let Some(setting) = &settings.repair_rate else {
        return Ok(32 << 20);
    };
    let rate = size(Some(setting), 0)?;
    let fits = u32::try_from(rate).ok().filter(|rate| *rate >= 64 << 10);
    fits.ok_or_else(|| wrong(setting, "bytes a second, between 64kb and 4gb"))
}

/// One read in a hundred, unless told otherwise.
fn probe_share(settings: &Settings) -> Result<f64, ConfigError> {
    match &settings.probe_share {
        None => Ok(0.01),
        Some(setting) if (0.0..=1.0).contains(&setting.value) => Ok(setting.value),
        Some(setting) => Err(wrong(setting, "a share of all reads, from 0 (none) to 1")),
    }
}

fn between(
    setting: Option<&Setting<u64>>,
    low: u64,
    high: u64,
    default: u64,
) -> Result<u64, ConfigError> {
    match setting {
        None => Ok(default),
        Some(setting) if (low..=high).contains(&setting.value) => Ok(setting.value),
        Some(setting) => Err(wrong(
            setting,
            format!("a whole number from {low} to {high}"),
        )),
    }
}

fn size(setting: Option<&Setting<String>>, default: u64) -> Result<u64, ConfigError> {
    let Some(setting) = setting else {
        return Ok(default);
    };
    parse_size(&setting.value).ok_or_else(|| wrong(setting, "a size such as 512mb or 4g"))
}

fn duration(setting: Option<&Setting<String>>, default_ms: u64) -> Result<u64, ConfigError> {
    let Some(setting) = setting else {
        return Ok(default_ms);
    };
    parse_duration_ms(&setting.value)
        .ok_or_else(|| wrong(setting, "a duration such as 250ms, 2s or 30m"))
}

/// Beyond loopback a node needs a cluster key, and a password or an explicit `open`.
fn exposure(settings: &Settings, config: &Config) -> Result<(), ConfigError> {
    let beyond = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_loopback(),
    };
    let shown = |setting: &Option<Setting<String>>, address: SocketAddr| match setting {
        Some(setting) => Setting {
            value: address.to_string(),
            origin: setting.origin.clone(),
        },
        None => Setting::flag("listen-peer", address.to_string()),
    };
    if beyond(config.listen_peer) && config.cluster_key.is_none() {
        let at = shown(&settings.listen_peer, config.listen_peer);
        return Err(wrong(
            &at,
            "a node that other machines can reach needs --cluster-key-file (16 bytes or more)",
        ));
    }
    let open = settings.open.as_ref().is_some_and(|setting| setting.value);
    for (setting, address) in [
        (&settings.listen_resp, config.listen_resp),
        (&settings.listen_http, config.listen_http),
    ] {
        if beyond(address) && config.password.is_none() && !open {
            let at = shown(setting, address);
            return Err(wrong(
                &at,
                "a door that other machines can reach needs --password, or --open to do without",
            ));
        }
    }
    Ok(())
}
