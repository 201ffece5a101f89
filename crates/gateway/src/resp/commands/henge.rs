//! `HENGE.GET`, `HENGE.SET`, `HENGE.FSET`, `HENGE.DEL`, `HENGE.TOUCH`: what Redis' commands cannot
//! say. Quorums per request, receipts, causal contexts, siblings.

use std::{collections::BTreeMap, sync::Arc};

use henge_node::{Condition, Expiry, FieldWrites, Kind, Operation, Options, Outcome, Request};
use henge_versioning::{Context, VersionVector};

use super::{
    Call, Plan, Planned, failed,
    parse::{is, shown, syntax, unsigned},
    principals,
    quorum::read_option,
    set_options::{lifetime, lifetime_word},
    strings::value_fits,
};
use crate::{
    resp::{
        decode::{Args, OwnedArgs},
        names::is_marked,
        reply::Reply,
        shape::{Shape, live},
        telling,
    },
    shared::Shared,
};

/// Options of the commands of this family; each takes those that make sense for it.
struct Wanted<'a> {
    options: Options,
    condition: Condition,
    expiry: Option<Expiry>,
    /// `CONTEXT token`, of writes; `AFTER token`, of reads.
    token: Option<&'a [u8]>,
    /// `STALENESS ms`, of reads.
    max_staleness_ms: Option<u64>,
    /// `CONTEXT`, of reads; `TOKEN`, of writes.
    context: bool,
    /// `PRINCIPAL`: whose session it is.
    principal: Option<&'a [u8]>,
}

/// Which options a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Read,
    Delete,
    Lifetime,
    Everything,
}

impl Takes {
    fn has_lifetime(self) -> bool {
        matches!(self, Self::Lifetime | Self::Everything)
    }
}

impl<'a> Wanted<'a> {
    fn parse(
        call: &Call<'_>,
        mut words: impl Iterator<Item = &'a [u8]>,
        takes: Takes,
    ) -> Result<Self, Reply> {
        let mut wanted = Self {
            options: call.client.defaults,
            condition: Condition::Always,
            expiry: None,
            token: None,
            max_staleness_ms: None,
            context: false,
            principal: None,
        };
        while let Some(word) = words.next() {
            if read_option(word, &mut words, &mut wanted.options)? {
                continue;
            }
            match () {
                () if is(word, "CONTEXT") && takes == Takes::Read => wanted.context = true,
                () if is(word, "AFTER") && takes == Takes::Read => {
                    wanted.token = Some(words.next().ok_or_else(syntax)?);
                }
                () if is(word, "STALENESS") && takes == Takes::Read => {
                    let bound = words.next().ok_or_else(syntax)?;
                    wanted.max_staleness_ms = Some(unsigned(bound, "STALENESS")?);
                }
                () if is(word, "TOKEN") && takes != Takes::Read => wanted.context = true,
                () if takes.has_lifetime() && is(word, "PRINCIPAL") => {
                    wanted.principal = Some(words.next().ok_or_else(syntax)?);
                }
                () if is(word, "CONTEXT") && takes != Takes::Read => {
                    wanted.token = Some(words.next().ok_or_else(syntax)?)
                }
                () if takes == Takes::Everything && is(word, "NX") => {
                    wanted.condition = Condition::Absent;
                }
                () if takes == Takes::Everything && is(word, "XX") => {
                    wanted.condition = Condition::Present;
                }
                () if takes.has_lifetime() => {
                    wanted.read_expiry(call, word, &mut words)?;
                }
                () => return Err(unknown_option(word)),
            }
        }
        Ok(wanted)
    }

    fn read_expiry(
        &mut self,
        call: &Call<'_>,
        word: &[u8],
        words: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Reply> {
        let expiry = if is(word, "KEEPTTL") {
            Expiry::Keep
        } else {
            let (unit, base) = lifetime_word(word).ok_or_else(|| unknown_option(word))?;
            let number = words.next().ok_or_else(syntax)?;
            Expiry::At(lifetime(
                number,
                unit,
                base,
                call.node.wall_ms(),
                call.command.name,
            )?)
        };
        if self.expiry.replace(expiry).is_some() {
            Err(syntax())
        } else {
            Ok(())
        }
    }

    /// The presented context.
    fn presented(&self, shared: &Shared, key: &[u8]) -> Result<Option<Context>, Reply> {
        let opened =
            (self.token).map(|token| Context::open(&shown(token), &shared.context_key, key));
        (opened.transpose()).map_err(|error| Reply::error(format!("ERR {error}")))
    }

    /// What the presented context has seen.
    fn seen(&self, shared: &Shared, key: &[u8]) -> Result<VersionVector, Reply> {
        let presented = self.presented(shared, key)?;
        Ok(presented.map_or_else(VersionVector::new, |context| context.vector))
    }

    /// A shape that tells what the write to `key` did, as a map. What it wrote comes with a receipt.
    fn write_shape(&mut self, shared: &Arc<Shared>, key: &[u8]) -> Shape {
        let sealing = self.context.then(|| (Arc::clone(shared), key.to_vec()));
        let tells = self.options.receipt;
        self.options.receipt |= self.context;
        Shape::With(Box::new(move |outcome: &Outcome, _| {
            match &outcome.result {
                Ok(done) => {
                    let receipt = outcome.receipt.as_deref();
                    let token = (sealing.as_ref()).and_then(|(shared, key)| {
                        telling::seal_written(receipt, &shared.context_key, key)
                    });
                    telling::written(done, receipt.filter(|_| tells), token)
                }
                Err(failure) => failed(failure),
            }
        }))
    }
}

fn unknown_option(word: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR unknown option '{}'",
        shown(&word[..word.len().min(64)])
    ))
}

pub(super) fn get<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let wanted = Wanted::parse(call, args.from(2), Takes::Read)?;
    let key = args.at(1);
    let operation = match (wanted.presented(call.shared, key)?, wanted.max_staleness_ms) {
        (Some(_), Some(_)) => {
            return Err(Reply::error(
                "ERR AFTER and STALENESS exclude each other".to_owned(),
            ));
        }
        (Some(context), None) => Operation::GetAfter {
            context: Box::new(context),
        },
        (None, Some(max_staleness_ms)) => Operation::GetWithin { max_staleness_ms },
        (None, None) => Operation::Get,
    };
    let sealing = wanted.context.then(|| (call.shared.clone(), key.to_vec()));
    let shape = Shape::With(Box::new(move |outcome: &Outcome, now_ms| {
        let done = match &outcome.result {
            Ok(done) => done,
            Err(failure) => return failed(failure),
        };
        let token = sealing.as_ref().and_then(|(shared, key)| {
            telling::seal(done.record.as_deref(), &shared.context_key, key)
        });
        let record = live(done.record.as_deref(), now_ms);
        telling::read(record, now_ms, token, outcome.receipt.as_deref())
    }));
    Ok(Plan::One(
        Request {
            key,
            operation,
            options: wanted.options,
        },
        shape,
    ))
}

pub(super) fn set<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let mut wanted = Wanted::parse(call, args.from(3), Takes::Everything)?;
    let (key, value) = (args.at(1), args.at(2));
    value_fits(call, value.len())?;
    let expiry = wanted.expiry.unwrap_or(Expiry::Clear);
    if call.node.buckets().of(key).kind == Kind::Siblings {
        return set_sibling(call, args, &wanted, expiry);
    }
    let put = Operation::Put {
        value,
        expiry,
        condition: wanted.condition,
    };
    let shape = wanted.write_shape(call.shared, key);
    let request = Request {
        key,
        operation: put,
        options: wanted.options,
    };
    planned(call, request, shape, wanted.principal)
}

/// A write; of a session that belongs to somebody, a login.
fn planned<'a>(
    call: &Call<'_>,
    request: Request<'a>,
    shape: Shape,
    principal: Option<&[u8]>,
) -> Planned<'a> {
    match (shape, principal) {
        (Shape::With(tell), Some(principal)) => principals::log_in(call, &request, principal, tell),
        (shape, _) => Ok(Plan::One(request, shape)),
    }
}

/// A write to a sibling set answers with the context after it, so that the client can go on.
fn set_sibling<'a>(
    call: &mut Call<'_>,
    args: Args<'a>,
    wanted: &Wanted<'a>,
    expiry: Expiry,
) -> Planned<'a> {
    let context = wanted.seen(call.shared, args.at(1))?;
    let (steps, args, options) = (call.stepper(), OwnedArgs::from(args), wanted.options);
    Ok(Plan::Steps(Box::pin(async move {
        let (key, value) = (args.borrow().at(1), args.borrow().at(2));
        let operation = Operation::PutSibling {
            value,
            context,
            expiry,
        };
        let outcome = steps
            .node
            .call(&Request {
                key,
                operation,
                options,
            })
            .await;
        let done = match outcome.result {
            Ok(done) => done,
            Err(failure) => return failed(&failure),
        };
        let after = steps
            .call(key, Operation::Get)
            .await
            .ok()
            .and_then(|read| read.record);
        let token = telling::seal(after.as_deref(), &steps.shared.context_key, key);
        telling::written(&done, outcome.receipt.as_deref(), token)
    })))
}

/// `HENGE.FSET key [options] FIELDS f v [f v …]`.
pub(super) fn fset<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let begin = args
        .from(2)
        .position(|word| is(word, "FIELDS"))
        .ok_or_else(syntax)?
        + 2;
    let mut wanted = Wanted::parse(call, args.from(2).take(begin - 2), Takes::Lifetime)?;
    let pairs = args.len() - begin - 1;
    if pairs == 0 || pairs % 2 == 1 {
        return Err(syntax());
    }
    let mut fields = BTreeMap::new();
    for at in (begin + 1..args.len()).step_by(2) {
        if is_marked(args.at(at)) {
            return Err(Reply::error(
                "ERR HENGE.FSET takes no name that is empty or begins with a zero byte; HSET does",
            ));
        }
        fields.insert(args.at(at), args.at(at + 1));
    }
    value_fits(
        call,
        fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum(),
    )?;
    let fields: FieldWrites<'a> = fields
        .into_iter()
        .map(|(name, value)| (name, Some(value)))
        .collect();
    let expiry = wanted.expiry.unwrap_or(Expiry::Keep);
    let shape = wanted.write_shape(call.shared, args.at(1));
    let request = Request {
        key: args.at(1),
        operation: Operation::PutFields { fields, expiry },
        options: wanted.options,
    };
    planned(call, request, shape, wanted.principal)
}

pub(super) fn del<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let mut wanted = Wanted::parse(call, args.from(2), Takes::Delete)?;
    let key = args.at(1);
    let operation = match wanted.token {
        Some(_) if call.node.buckets().of(key).kind == Kind::Siblings => {
            Operation::DeleteSiblings {
                context: wanted.seen(call.shared, key)?,
            }
        }
        _ => Operation::Delete {
            condition: Condition::Always,
        },
    };
    let shape = wanted.write_shape(call.shared, key);
    Ok(Plan::One(
        Request {
            key,
            operation,
            options: wanted.options,
        },
        shape,
    ))
}

/// `HENGE.TOUCH key ttl_ms [options]`.
pub(super) fn touch<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let ttl_ms = unsigned(args.at(2), "the lifetime in milliseconds")?;
    let mut wanted = Wanted::parse(call, args.from(3), Takes::Delete)?;
    let shape = wanted.write_shape(call.shared, args.at(1));
    let at = call.node.wall_ms().saturating_add(ttl_ms);
    let operation = Operation::Expire {
        at,
        condition: Condition::Always,
    };
    let request = Request {
        key: args.at(1),
        operation,
        options: wanted.options,
    };
    Ok(Plan::One(request, shape))
}
