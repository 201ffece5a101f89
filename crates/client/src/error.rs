//! What became of a request that did not succeed.

use std::time::Duration;

/// Each variant says what became of the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too few replicas: it did not happen and will not.
    #[error("failed: {needed} replicas needed, {got} answered")]
    Failed {
        /// Replicas asked for.
        needed: u32,
        /// Replicas that answered.
        got: u32,
    },
    /// The write may or may not have happened, or may still happen. Read before you repeat it.
    #[error("unknown whether it happened: {0}")]
    Unknown(Doubt),
    /// The node has too much to do. Nothing happened.
    #[error("busy: {0}")]
    Busy(String),
    /// The node's memory or disk is full. Nothing happened; reads and deletes still work.
    #[error("full: {0}")]
    Full(String),
    /// The node understood and refused. Nothing happened, and a repeat will be refused as well.
    #[error("refused: {0}")]
    Refused(String),
    /// No node took the request. Nothing happened.
    #[error("no node reachable after {attempts} attempts: {last}")]
    Unreachable {
        /// Attempts made.
        attempts: u32,
        /// What the last of them met.
        last: String,
    },
    /// A read got no answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The reply was not what the protocol says. A write may have happened.
    #[error("reply not understood: {0}")]
    Protocol(String),
}

/// Why nobody knows whether a write happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Some replicas took it, but too few said so.
    #[error("{needed} replicas needed, {got} answered")]
    Quorum {
        /// Replicas asked for.
        needed: u32,
        /// Replicas that answered.
        got: u32,
    },
    /// The connection broke after the request was sent.
    #[error("connection lost: {0}")]
    ConnectionLost(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Error {
    /// Reads an error reply; its first word tells the kind.
    pub(crate) fn from_reply(text: &str) -> Self {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "FAILED" => Self::Failed {
                needed: number_after(rest, "needed"),
                got: number_after(rest, "got"),
            },
            "UNKNOWN" => Self::Unknown(Doubt::Quorum {
                needed: number_after(rest, "needed"),
                got: number_after(rest, "got"),
            }),
            "BUSY" | "LOADING" | "TRYAGAIN" => Self::Busy(rest.to_owned()),
            "OOM" => Self::Full(rest.to_owned()),
            _ => Self::Refused(text.to_owned()),
        }
    }

    /// Whether a repeat can do no harm and may help: nothing happened, and not for a lasting reason.
    pub(crate) fn did_not_happen(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::Busy(_) | Self::Unreachable { .. }
        )
    }
}

/// The number that follows `word` in `text`; 0 when there is none.
fn number_after(text: &str, word: &str) -> u32 {
    let mut words = text.split([' ', ',', ':']);
    words.find(|w| *w == word);
    words.next().and_then(|w| w.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_word_tells_the_kind() {
        assert_eq!(
            Error::from_reply("FAILED needed 3 got 2 in 40 ms"),
            Error::Failed { needed: 3, got: 2 }
        );
        let unknown = Error::from_reply("UNKNOWN needed 2 got 1");
        assert_eq!(unknown, Error::Unknown(Doubt::Quorum { needed: 2, got: 1 }));
        assert!(matches!(Error::from_reply("BUSY later"), Error::Busy(_)));
        assert!(matches!(Error::from_reply("OOM full"), Error::Full(_)));
        assert!(matches!(
            Error::from_reply("ERR unknown command"),
            Error::Refused(_)
        ));
        assert!(matches!(Error::from_reply(""), Error::Refused(_)));
    }

    #[test]
    fn only_what_surely_did_not_happen_may_be_repeated() {
        assert!(Error::from_reply("FAILED needed 3 got 2").did_not_happen());
        assert!(Error::from_reply("BUSY").did_not_happen());
        assert!(!Error::from_reply("UNKNOWN needed 3 got 2").did_not_happen());
        assert!(!Error::from_reply("WRONGTYPE no").did_not_happen());
        assert!(!Error::Protocol(String::new()).did_not_happen());
    }
}
