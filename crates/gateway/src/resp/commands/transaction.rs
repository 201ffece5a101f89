//! `MULTI` and `EXEC`: a batch that one coordinator carries out in order, without anything else of
//! the same connection in between.
//!
//! What Redis promises beyond that is not promised here: other clients may see the batch half done,
//! and keys on different nodes do not change at one moment. `WATCH` compares digests at `EXEC`.

use bytes::BytesMut;
use henge_node::Operation;

use super::{
    Access, Call, Command, Plan, Planned, Stepper, lookup, parse::unknown_command, wrong_arity,
};
use crate::resp::{
    client::{Client, Transaction},
    decode::{Args, OwnedArgs},
    encode::Writer,
    reply::Reply,
    shape::live,
};

/// Keys one client may watch.
const MAX_WATCHED: usize = 1024;

pub(super) fn multi<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    if call.client.transaction.is_some() {
        return Err(Reply::error("ERR MULTI calls can not be nested"));
    }
    call.client.transaction = Some(Transaction::default());
    Ok(Plan::Reply(Reply::OK))
}

pub(super) fn discard<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    call.client.watched.borrow_mut().clear();
    match call.client.transaction.take() {
        Some(_) => Ok(Plan::Reply(Reply::OK)),
        None => Err(Reply::error("ERR DISCARD without MULTI")),
    }
}

pub(super) fn unwatch<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    call.client.watched.borrow_mut().clear();
    Ok(Plan::Reply(Reply::OK))
}

/// Between `MULTI` and `EXEC`: queues a command, or spoils the transaction if it is wrong. `None`:
/// there is no transaction, or it is a
/// command that is carried out at once.
pub(crate) fn enqueue(
    client: &mut Client,
    limit: usize,
    command: Option<&'static Command>,
    args: Args<'_>,
) -> Option<Reply> {
    let transaction = client.transaction.as_mut()?;
    let refused = match command {
        None => Some(unknown_command(args)),
        Some(command) if !command.accepts(args.len()) => Some(wrong_arity(command.name)),
        Some(command) => match command.name {
            "exec" | "discard" | "multi" | "quit" | "reset" => return None,
            "watch" => return Some(Reply::error("ERR WATCH inside MULTI is not allowed")),
            // Keys get their database when they are queued.
            "select" if args.at(1) != client.database.number().to_string().as_bytes() => Some(
                Reply::error("ERR another database cannot be selected in a transaction"),
            ),
            name if command.access == Access::Connection && name != "unwatch" => Some(
                Reply::error(format!("ERR {name} is not allowed in a transaction")),
            ),
            _ if transaction.bytes > limit => Some(Reply::error(format!(
                "ERR the transaction has more than {limit} bytes"
            ))),
            _ => None,
        },
    };
    if let Some(error) = refused {
        transaction.spoiled = true;
        return Some(error);
    }
    let args = OwnedArgs::from(args);
    transaction.bytes += args.bytes();
    transaction.queued.push(args);
    Some(Reply::Simple("QUEUED"))
}

pub(super) fn exec<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    let watched = call.client.watched.take();
    let Some(transaction) = call.client.transaction.take() else {
        return Err(Reply::error("ERR EXEC without MULTI"));
    };
    if transaction.spoiled {
        return Err(Reply::error(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let copy = call.client.copy_for_batch();
    let steps = call.stepper();
    Ok(Plan::Steps(Box::pin(async move {
        carry_out(&steps, copy, transaction.queued, watched)
            .await
            .unwrap_or_else(|error| error)
    })))
}

/// Carries out a batch, unless a watched key has changed.
async fn carry_out(
    steps: &Stepper,
    mut client: Client,
    queued: Vec<OwnedArgs>,
    watched: Vec<(Vec<u8>, u64)>,
) -> Result<Reply, Reply> {
    for (key, digest) in watched {
        if steps.digest(&key).await? != digest {
            return Ok(Reply::NullArray);
        }
    }
    let (mut out, protocol) = (BytesMut::new(), client.protocol);
    let mut writer = Writer::new(&mut out, protocol);
    writer.array(queued.len());
    for args in &queued {
        one(steps, &mut client, args.borrow(), &mut writer).await;
    }
    Ok(Reply::Encoded(out.freeze()))
}

/// Carries out one command of a batch. Each is planned when its turn comes, so that relative
/// lifetimes begin then.
async fn one(steps: &Stepper, client: &mut Client, args: Args<'_>, writer: &mut Writer<'_>) {
    let Some(command) = lookup(args.at(0)) else {
        return unknown_command(args).write(writer);
    };
    let call = &mut Call {
        client,
        node: &steps.node,
        shared: &steps.shared,
        command,
    };
    match (command.run)(call, args) {
        Ok(Plan::Reply(reply)) | Err(reply) => reply.write(writer),
        Ok(Plan::Steps(steps)) => steps.await.write(writer),
        Ok(Plan::One(request, shape)) => {
            let outcome = steps.node.call(&request).await;
            shape.write(&outcome, steps.node.wall_ms(), writer);
        }
    }
}

/// Remembers what the keys hold now. Nothing else of this connection
/// runs meanwhile.
pub(super) fn watch<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    if call.client.watched.borrow().len() + args.len() - 1 > MAX_WATCHED {
        return Err(Reply::error(format!(
            "ERR at most {MAX_WATCHED} keys can be watched"
        )));
    }
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    let watched = call.client.watched.clone();
    Ok(Plan::Steps(Box::pin(async move {
        for key in args.borrow().from(1) {
            match steps.digest(key).await {
                Ok(digest) => watched.borrow_mut().push((key.to_vec(), digest)),
                Err(error) => return error,
            }
        }
        Reply::OK
    })))
}

impl Stepper {
    /// What a key holds, as a number: 0 if it is absent.
    async fn digest(&self, key: &[u8]) -> Result<u64, Reply> {
        let done = self.call(key, Operation::Get).await?;
        let record = live(done.record.as_deref(), self.node.wall_ms());
        Ok(record.map_or(0, |record| record.digest()))
    }
}
