//! What embedding programs and doors ask of rotations, carried out on a data thread.

use super::{Rotated, Rotation};
use crate::{Failure, Handle, Kind, LocalNode, Options, Unready};

impl LocalNode {
    /// Gives the session under `old` the key `new`. For `grace_ms` more (at most
    /// [`MAX_GRACE_MS`](super::MAX_GRACE_MS)) the old key stands for it, then it is dead for good. The new
    /// key is to be as random as a new session's. The same call again finishes what a failure interrupted.
    ///
    /// # Errors
    /// Up to [`Failure::Failed`] the old key is what it was, and the new one shows nothing.
    /// [`Failure::Unknown`]: exactly one of the two opens the session.
    pub async fn rotate(
        &self,
        old: &[u8],
        new: &[u8],
        grace_ms: u64,
        options: Options,
    ) -> Result<Rotated, Failure> {
        let mut rotation = Rotation::new(old, new, grace_ms, options)?;
        let buckets = self.buckets();
        if [old, new]
            .iter()
            .any(|key| buckets.of(key).kind != Kind::Session)
        {
            let text = "only sessions' ids can be rotated, and one of these keys is none";
            return Err(Failure::Invalid(text.to_owned()));
        }
        loop {
            let outcome = self.call_own(&rotation.request()).await;
            if let Some(ended) = rotation.answered(outcome, self.wall_ms()) {
                return ended;
            }
        }
    }
}

impl Handle {
    /// See [`LocalNode::rotate`].
    ///
    /// # Errors
    /// As there.
    pub async fn rotate(
        &self,
        old: &[u8],
        new: &[u8],
        grace_ms: u64,
        options: Options,
    ) -> Result<Rotated, Failure> {
        let (old, new) = (old.to_vec(), new.to_vec());
        let rotated = self.on_data_thread(move |node| async move {
            node.rotate(&old, &new, grace_ms, options).await
        });
        rotated
            .await
            .unwrap_or(Err(Failure::NotReady(Unready::Stopping)))
    }
}
