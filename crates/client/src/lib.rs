//! Rust client of Henge: fetches the ring, goes straight to a replica, retries what is safe.
//!
//! A [`Client`] keeps one pipelined connection per node. Requests of any number of tasks are
//! gathered into one write per wake-up, and replies are matched to them in order. The ring is
//! fetched from a seed, and again every few seconds, when a reply shows another ring tag and when a
//! connection breaks; each request then goes to a live primary of its key.
//!
//! What it never does: it never repeats a write of which nobody knows whether it happened, unless
//! the caller calls it [`idempotent`](Write::idempotent); it never turns "unknown" into "failed";
//! and no queue, reply or wait in it is without a bound.
//!
//! Against one plain Redis it works too (`get`, `set`, `delete`, `touch`, `set_fields`); what Redis
//! cannot do (contexts) is refused, what it cannot report (receipts) is absent.
//!
//! ```no_run
//! use std::time::Duration;
//! use henge_client::{Client, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), henge_client::Error> {
//! let client = Client::connect(["127.0.0.1:7379"], Options::default()).await?;
//! client.set("sess:42", "alice").ttl(Duration::from_secs(1800)).w(2).await?;
//! let session = client.get("sess:42").r(2).await?;
//! assert_eq!(session.value(), Some(&b"alice"[..]));
//! client.touch("sess:42", Duration::from_secs(1800)).await?;
//! client.delete("sess:42").await?;
//! # Ok(())
//! # }
//! ```

mod client;
pub use client::{Client, Explained};

mod sessions;

mod options;
pub use options::{Options, Spread};

mod request;
pub use request::{Mode, Read, Write};

mod reply;
pub use reply::{Done, Got, Quorum, Receipt, Ttl};

mod ring_view;
pub use ring_view::{Member, RingError, RingView};

mod error;
pub use error::{Doubt, Error};

mod value;
pub use value::{DecodeError, MAX_DEPTH, MAX_ELEMENTS, Value, decode};

mod link;
