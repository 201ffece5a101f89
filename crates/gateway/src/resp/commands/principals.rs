//! `HENGE.SESSIONS`, `HENGE.LOGOUTALL`, and writes with `PRINCIPAL`: all sessions of one user.

use henge_node::{Options, Request, principals::Login};

use super::{Call, Plan, Planned, failed, parse::shown, quorum::read_option};
use crate::resp::{
    deadline::{Base, Unit, told},
    decode::Args,
    reply::Reply,
    shape::Teller,
};

/// A write of a session that belongs to a principal; `tell` makes the reply.
pub(super) fn log_in<'a>(
    call: &Call<'_>,
    request: &Request<'_>,
    principal: &[u8],
    tell: Teller,
) -> Planned<'a> {
    let login = Login::new(request, principal).map_err(|failure| failed(&failure))?;
    let steps = call.stepper();
    Ok(Plan::Steps(Box::pin(async move {
        let outcome = steps.node.carry_out(login).await;
        tell(&outcome, steps.node.wall_ms())
    })))
}

/// `HENGE.SESSIONS principal [R n] [STRICT | SLOPPY] [TIMEOUT ms]`: each live session of this database with
/// the milliseconds that it has left (-1: no deadline).
pub(super) fn sessions<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let options = options(call, args)?;
    let (steps, principal) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let found = match steps.node.sessions(&principal, options).await {
            Ok(found) => found,
            Err(failure) => return failed(&failure),
        };
        let now_ms = steps.node.wall_ms();
        let named = found.iter().filter_map(|session| {
            let name = steps.database.name_of(&session.key)?;
            let left = told(session.deadline, Unit::Millis, Base::Now, now_ms);
            Some((Reply::text(name), Reply::Integer(left)))
        });
        Reply::Map(named.collect())
    })))
}

/// `HENGE.LOGOUTALL principal [R n] [W n] [STRICT | SLOPPY] [TIMEOUT ms]`: ends them all.
pub(super) fn logout_all<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let options = options(call, args)?;
    let (steps, principal) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        match steps.node.logout_all(&principal, options).await {
            Ok(done) => Reply::Map(vec![
                (
                    Reply::text("sessions"),
                    Reply::Integer(done.sessions as i64),
                ),
                (
                    Reply::text("destroyed"),
                    Reply::Integer(done.destroyed as i64),
                ),
            ]),
            Err(failure) => failed(&failure),
        }
    })))
}

fn options(call: &Call<'_>, args: Args<'_>) -> Result<Options, Reply> {
    let (mut options, mut words) = (call.client.defaults, args.from(2));
    while let Some(word) = words.next() {
        if !read_option(word, &mut words, &mut options)? {
            return Err(Reply::error(format!(
                "ERR unknown option '{}'",
                shown(&word[..word.len().min(64)])
            )));
        }
    }
    Ok(options)
}
