//! The one table of how a request that was not carried out is told to clients: the first word of a
//! RESP error, and the status and body of an HTTP answer.
//!
//! | failure | RESP | HTTP | did it happen? |
//! |---|---|---|---|
//! | too few replicas | `FAILED` | 503 | no |
//! | too few answers in time | `UNKNOWN` | 504 | perhaps |
//! | makes no sense | `ERR` | 400 | no |
//! | too many in flight | `BUSY` | 503 | no |
//! | full | `OOM` | 507 | no |
//! | not serving | `NOTREADY` | 503 | no |
//! | write to a destroyed session, where the bucket says so | `DEAD` | 410 | no |

use henge_node::Failure;
use serde::Serialize;

/// A failure as a door tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// First word of the RESP error.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Whether an HTTP client is told to try again, and after how many seconds.
    pub retry_after_s: Option<u32>,
    /// What HTTP answers.
    pub body: ErrorBody,
}

/// The JSON body of an HTTP error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The code, in small letters.
    pub error: &'static str,
    /// Replies that were needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<u8>,
    /// Replies there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<u8>,
    /// What happened, for people.
    pub message: String,
}

impl Refusal {
    /// The RESP error line, without the leading `-`.
    pub fn line(&self) -> String {
        format!("{} {}", self.code, self.body.message)
    }
}

/// Looks a failure up in the table.
pub fn refusal(failure: &Failure) -> Refusal {
    let (code, error, status, retry_after_s) = match failure {
        Failure::Failed { .. } => ("FAILED", "failed", 503, Some(1)),
        Failure::Unknown { .. } => ("UNKNOWN", "unknown", 504, None),
        Failure::Invalid(_) => ("ERR", "invalid", 400, None),
        Failure::Busy { .. } => ("BUSY", "busy", 503, Some(1)),
        Failure::Full(_) => ("OOM", "full", 507, None),
        Failure::NotReady(_) => ("NOTREADY", "not_ready", 503, Some(1)),
        Failure::Dead => ("DEAD", "dead", 410, None),
    };
    let counts = match failure {
        Failure::Failed { needed, got, .. } | Failure::Unknown { needed, got } => {
            (Some(*needed), Some(*got))
        }
        _ => (None, None),
    };
    let message = failure.to_string();
    let body = ErrorBody {
        error,
        needed: counts.0,
        got: counts.1,
        message,
    };
    Refusal {
        code,
        status,
        retry_after_s,
        body,
    }
}

#[cfg(test)]
mod tests {
    use henge_node::{Shortage, Unready};

    use super::*;

    #[test]
    fn each_failure_has_its_word_and_status() {
        let table = [
            (
                Failure::Failed {
                    needed: 3,
                    got: 2,
                    why: Shortage::Unreachable,
                },
                "FAILED needed 3 got 2: no more replicas can be reached; nothing was changed",
                503,
            ),
            (
                Failure::Unknown { needed: 2, got: 1 },
                "UNKNOWN needed 2 got 1: it may or may not have happened",
                504,
            ),
            (Failure::Invalid("r is 9".into()), "ERR r is 9", 400),
            (
                Failure::Full("store is full".into()),
                "OOM store is full",
                507,
            ),
            (
                Failure::NotReady(Unready::Stopping),
                "NOTREADY this node is stopping",
                503,
            ),
            (
                Failure::Dead,
                "DEAD this session was destroyed; nothing was changed",
                410,
            ),
        ];
        for (failure, line, status) in table {
            let refusal = refusal(&failure);
            assert_eq!((refusal.line().as_str(), refusal.status), (line, status));
        }
    }

    #[test]
    fn the_json_carries_the_numbers() {
        let refusal = refusal(&Failure::Failed {
            needed: 3,
            got: 2,
            why: Shortage::Silent,
        });
        let json = serde_json::to_value(&refusal.body).unwrap();
        let wanted = serde_json::json!({
            "error": "failed", "needed": 3, "got": 2, "message": "needed 3 got 2: no more replicas answered in time; nothing was changed"
        });
        assert_eq!(json, wanted);
        let busy = super::refusal(&Failure::Busy { in_flight: 7 });
        assert!(
            serde_json::to_value(&busy.body)
                .unwrap()
                .get("needed")
                .is_none()
        );
    }
}
