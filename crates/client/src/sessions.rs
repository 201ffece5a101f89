//! What concerns sessions as such: whose they are, and which id they have.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Client, Error, Value,
    client::of_a_read,
    request::{Args, millis},
};

impl Client {
    /// The keys of a user's live sessions: those written with [`Write::principal`](crate::Write::principal).
    ///
    /// # Errors
    /// If any of them cannot be read: a list never leaves one out.
    pub async fn sessions(&self, principal: impl AsRef<[u8]>) -> Result<Vec<Bytes>, Error> {
        let request = Args::of("HENGE.SESSIONS")
            .bytes(principal.as_ref())
            .finish();
        let reply = self.call(b"", request, true).await.map_err(of_a_read)?;
        let pairs = reply.pairs().into_iter();
        let keys = pairs.map(|(key, _)| match key {
            Value::Bulk(key) => Ok(key.clone()),
            other => Err(Error::Protocol(format!("to HENGE.SESSIONS: {other:?}"))),
        });
        keys.collect()
    }

    /// Ends all sessions of a user; answers how many there were, by the index. Afterwards no read with
    /// R + W > N shows one whose login was acknowledged before.
    ///
    /// # Errors
    /// If that could not be assured. [`Error::Unknown`]: they may be over, now or later; ask again.
    pub async fn logout_all(&self, principal: impl AsRef<[u8]>) -> Result<u64, Error> {
        let request = Args::of("HENGE.LOGOUTALL")
            .bytes(principal.as_ref())
            .finish();
        let reply = self.call(b"", request, false).await?;
        let sessions = reply.field("sessions").and_then(Value::integer);
        let sessions = sessions.and_then(|count| u64::try_from(count).ok());
        sessions.ok_or_else(|| Error::Protocol(format!("to HENGE.LOGOUTALL: {reply:?}")))
    }

    /// Gives the session under `old` the id `new`, for after a login or another change of privileges. For
    /// `grace` (at most 60 s; `None`: 10 s) the old id stands for the new one, then it is dead for good.
    /// `new` is to be as random as a new session's id. The same call again finishes what a failure
    /// interrupted, and is answered as if it had been the first.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no session under the old id, it has another new id already, or the new
    /// one is taken. [`Error::Unknown`]: exactly one of the two opens the session.
    pub async fn rotate(
        &self,
        old: impl AsRef<[u8]>,
        new: impl AsRef<[u8]>,
        grace: Option<Duration>,
    ) -> Result<(), Error> {
        let mut args = Args::of("HENGE.ROTATE");
        args.bytes(old.as_ref()).bytes(new.as_ref());
        if let Some(grace) = grace {
            args.word("GRACE").number(millis(grace));
        }
        let reply = self.call(old.as_ref(), args.finish(), true).await?;
        match reply.field("rotated").and_then(Value::integer) {
            Some(1) => Ok(()),
            Some(_) => Err(Error::Refused(match reply.field("why") {
                Some(Value::Bulk(why)) => String::from_utf8_lossy(why).into_owned(),
                _ => "the session was not rotated".to_owned(),
            })),
            None => Err(Error::Protocol(format!("to HENGE.ROTATE: {reply:?}"))),
        }
    }
}
