//! Configuration: what people write, checked once into what cannot be wrong afterwards.
//!
//! Every setting is a key of the configuration file, a flag and an environment variable
//! (`listen_resp`, `--listen-resp`, `HENGE_LISTEN_RESP`); a flag wins over a variable, a variable
//! over the file. [`Settings`] holds them as given, each with where it came from; [`Config`] is the
//! checked form, and every complaint names the place and what would be right.

mod settings;
pub use settings::{Origin, Setting, Settings, SettingsFileError};

mod check;
pub(crate) use check::MOST_VALUE;
pub use check::{Config, ConfigError};

mod size;
pub use size::{parse_duration_ms, parse_size};

#[cfg(test)]
mod tests;
