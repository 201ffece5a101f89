//! `FLUSHALL` and `FLUSHDB`, where the operator allows them: every key of the cluster, or of one database,
//! is deleted, one by one, with the connection's quorum.
//!
//! They are not what they are in Redis: keys that are written meanwhile may stay, and ids of sessions
//! remain used up, as after any logout.

use futures::{StreamExt, stream};
use henge_node::{Condition, Operation};

use super::{
    Call, Plan, Planned, Stepper,
    parse::{is, syntax},
    scan::{ScanOptions, page},
};
use crate::resp::{decode::Args, reply::Reply};

/// Deletions under way at a time.
const AT_ONCE: usize = 64;

pub(super) fn flush<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    if !call.shared.may_flush() {
        let name = call.command.name.to_uppercase();
        return Err(Reply::error(format!(
            "ERR {name} is refused: it would destroy the data of every client; delete keys by SCAN and \
             DEL, or start the nodes with --allow-flush"
        )));
    }
    match args.get(1) {
        Some(word) if args.len() > 2 || !(is(word, "ASYNC") || is(word, "SYNC")) => {
            return Err(syntax());
        }
        _ => {}
    }
    let steps = call.stepper();
    let wanted = match call.command.name {
        "flushall" => ScanOptions::everything(),
        _ => ScanOptions::matching(b"*", call.shared.limits.pattern)?,
    };
    Ok(Plan::Steps(Box::pin(async move {
        match steps.delete_all(&wanted).await {
            Ok(()) => Reply::OK,
            Err(error) => error,
        }
    })))
}

impl Stepper {
    /// Deletes all keys that are wanted, of all nodes. Goes on after an error, which it answers with in
    /// the end.
    pub(super) async fn delete_all(&self, wanted: &ScanOptions) -> Result<(), Reply> {
        let (mut from, mut failed) = (0, None);
        loop {
            let (next, keys) = page(self, from, wanted).await?;
            let deletions = keys.iter().map(async |key| {
                let condition = Condition::Always;
                self.call(key, Operation::Delete { condition }).await
            });
            let mut deleted = stream::iter(deletions).buffer_unordered(AT_ONCE);
            while let Some(done) = deleted.next().await {
                failed = failed.or(done.err());
            }
            if next == 0 {
                return failed.map_or(Ok(()), Err);
            }
            from = next;
        }
    }
}
