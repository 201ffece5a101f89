//! The one password of both doors, and the brake on guessing it.
//!
//! There is one user, `default`, as in a Redis with `requirepass`. Compared in constant time (a
//! keyed hash of both, so that not even the length shows). An address that was wrong ten times
//! waits a second for each further answer, right or wrong; a right password clears its count.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use subtle::ConstantTimeEq;

/// Wrong passwords before an address is slowed down.
const FREE_TRIES: u32 = 10;
/// How long a slowed-down address waits for its answer.
const DELAY: Duration = Duration::from_secs(1);
/// Addresses whose failures are remembered. When there are more, the lot is forgotten: an attacker
/// with that many addresses is not slowed down by us anyway.
const REMEMBERED: usize = 4096;

/// Checks passwords. Shared by all connections of a node.
#[derive(Debug)]
pub(crate) struct Auth {
    password: Option<String>,
    failures: Mutex<BTreeMap<String, u32>>,
}

/// What came of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether it is right.
    pub(crate) right: bool,
    /// How long to wait before telling.
    pub(crate) delay: Option<Duration>,
}

impl Auth {
    /// `None`: no password is needed.
    pub(crate) fn new(password: Option<String>) -> Self {
        Self {
            password,
            failures: Mutex::default(),
        }
    }

    /// Whether clients must authenticate.
    pub(crate) fn is_required(&self) -> bool {
        self.password.is_some()
    }

    /// Checks user and password of a client at `address` (`ip:port` or `ip`). Without a password
    /// set everything is right.
    pub(crate) fn check(&self, address: &str, user: &[u8], password: &[u8]) -> Verdict {
        let Some(wanted) = &self.password else {
            return Verdict {
                right: true,
                delay: None,
            };
        };
        // Both comparisons always run: a wrong user costs what a wrong password costs.
        let right = bool::from(same(user, b"default") & same(password, wanted.as_bytes()));
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let failed = self.count(host, right);
        Verdict {
            right,
            delay: (failed >= FREE_TRIES).then_some(DELAY),
        }
    }

    /// Books the outcome and returns the failures of this address before it.
    fn count(&self, host: &str, right: bool) -> u32 {
        let mut failures = self
            .failures
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = failures.get(host).copied().unwrap_or(0);
        if right {
            failures.remove(host);
        } else {
            if failures.len() >= REMEMBERED && before == 0 {
                failures.clear();
            }
            failures.insert(host.to_owned(), before.saturating_add(1));
        }
        before
    }
}

/// Compares digests of equal length instead of the secrets themselves.
fn same(given: &[u8], wanted: &[u8]) -> subtle::Choice {
    use sha2::{Digest, Sha256};
    Sha256::digest(given)
        .as_slice()
        .ct_eq(Sha256::digest(wanted).as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_of_the_default_user_is_right() {
        let auth = Auth::new(Some("secret".into()));
        let check = |user: &str, password: &str| {
            auth.check("127.0.0.1:1", user.as_bytes(), password.as_bytes())
                .right
        };
        assert!(check("default", "secret"));
        assert!(
            !check("default", "secre") && !check("default", "secret1") && !check("default", "")
        );
        assert!(!check("admin", "secret"));
        assert!(Auth::new(None).check("127.0.0.1:1", b"x", b"y").right);
    }

    #[test]
    fn the_eleventh_guess_waits_until_a_right_one() {
        let auth = Auth::new(Some("secret".into()));
        let guess = |address: &str, text: &[u8]| auth.check(address, b"default", text).delay;
        for port in 0..10 {
            assert_eq!(guess(&format!("10.0.0.1:{port}"), b"wrong"), None);
        }
        assert_eq!(guess("10.0.0.1:99", b"wrong"), Some(DELAY));
        assert_eq!(guess("10.0.0.2:99", b"wrong"), None, "another address");
        assert_eq!(guess("10.0.0.1:99", b"secret"), Some(DELAY));
        assert_eq!(
            guess("10.0.0.1:99", b"wrong"),
            None,
            "the right one cleared it"
        );
    }

    #[test]
    fn remembered_addresses_are_bounded() {
        let auth = Auth::new(Some("secret".into()));
        for host in 0..3 * REMEMBERED {
            auth.check(&format!("h{host}:1"), b"default", b"wrong");
        }
        assert!(auth.failures.lock().unwrap().len() <= REMEMBERED);
    }
}
