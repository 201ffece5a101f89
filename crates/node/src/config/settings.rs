//! Settings as given, each with where it came from.

use std::{fmt, path::Path};

use serde::Deserialize;
use toml::Spanned;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag or an environment variable, by the flag's name.
    Flag(&'static str),
    /// A line of a configuration file.
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => {
                let variable = name.to_uppercase().replace('-', "_");
                write!(f, "--{name} (or HENGE_{variable})")
            }
            Self::File { path, line, key } => write!(f, "{path}:{line}: {key}"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value as given.
    pub value: T,
    /// Where from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value given by the flag `name`.
    pub fn flag(name: &'static str, value: T) -> Self {
        Self {
            value,
            origin: Origin::Flag(name),
        }
    }
}

/// The file cannot be read or is not what is expected.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SettingsFileError {
    path: String,
    problem: String,
}

/// Declares the settings once: the struct, the file's form, and how they are laid over each other.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// All settings as given; what is `None` was not given.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Settings {
            $($(#[$doc])* pub $name: Option<Setting<$kind>>,)*
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            $($name: Option<Spanned<$kind>>,)*
        }

        impl Settings {
            /// These settings, with those of `below` where these say nothing.
            pub fn over(self, below: Self) -> Self {
                Self { $($name: self.$name.or(below.$name),)* }
            }

            fn from_file(path: &str, text: &str) -> Result<Self, toml::de::Error> {
                let file: File = toml::from_str(text)?;
                let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
                Ok(Self { $($name: file.$name.map(|spanned| Setting {
                    origin: Origin::File {
                        path: path.to_owned(),
                        line: line(spanned.span().start),
                        key: stringify!($name),
                    },
                    value: spanned.into_inner(),
                }),)* })
            }
        }
    };
}

settings! {
    /// Address of the Redis-protocol door.
    listen_resp: String,
    /// Address of the HTTP door.
    listen_http: String,
    /// Address for the other nodes.
    listen_peer: String,
    /// Peer addresses of all nodes of the cluster, this one included or not.
    peers: Vec<String>,
    /// Peer addresses of members of a running cluster, which this node is to join.
    join: Vec<String>,
    /// Name of the cluster: nodes of differently named clusters refuse each other.
    cluster: String,
    /// Secret that proves membership.
    cluster_key: String,
    /// File that holds the cluster key.
    cluster_key_file: String,
    /// Password of the doors.
    password: String,
    /// Serve without a password beyond loopback.
    open: bool,
    /// Let clients destroy everything at once.
    allow_flush: bool,
    /// Replicas of each key.
    replicas: u64,
    /// Replies a read waits for.
    r: u64,
    /// Replicas a write waits for.
    w: u64,
    /// Only primaries count towards quorums.
    strict: bool,
    /// How long a request may take.
    timeout: String,
    /// Memory for data.
    memory_limit: String,
    /// Largest value.
    max_value: String,
    /// By how much a session may end earlier than a touch asked for.
    touch_slack: String,
    /// Threads that serve requests.
    data_threads: u64,
    /// Where this node stands: replicas are spread over zones.
    zone: String,
    /// Share of the data relative to other nodes.
    weight: u64,
    /// Clock difference to peers that is tolerated.
    max_skew: String,
    /// How often replicas are compared.
    anti_entropy_interval: String,
    /// Most bytes of repair traffic a second.
    repair_rate: String,
    /// How long a member may be down before it is let go.
    evict_after: String,
    /// Share of reads beside which all replicas are asked what they hold.
    probe_share: f64,
    /// Of a hundred reads, how many may ask one replica more.
    hedge_percent: u64,
}

impl Settings {
    /// Reads a configuration file. The error names line and column of what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, SettingsFileError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| SettingsFileError {
            path: shown.clone(),
            problem: error.to_string(),
        })?;
        Self::from_file(&shown, &text).map_err(|error| SettingsFileError {
            path: shown.clone(),
            problem: error.to_string(),
        })
    }

    /// As [`Settings::read`], from text; `name` stands in messages.
    pub fn parse(name: &str, text: &str) -> Result<Self, SettingsFileError> {
        Self::from_file(name, text).map_err(|error| SettingsFileError {
            path: name.to_owned(),
            problem: error.to_string(),
        })
    }
}
