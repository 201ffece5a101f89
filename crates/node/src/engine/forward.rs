//! Requests and outcomes as they travel between nodes: when a node that holds no replica of a key
//! asks one that does to coordinate.

use henge_versioning::{ActorId, Context, VersionVector};
use serde::{Deserialize, Serialize};

use crate::{
    Condition, Done, Expiry, Failure, FieldWrites, Modification, Operation, Options, Outcome,
    Receipt, Request, rotation::Step,
};

/// [`Request`] on the wire. The order of variants and fields is wire format: append only.
#[derive(Serialize, Deserialize)]
struct WireRequest<'a> {
    #[serde(borrow, with = "serde_bytes")]
    key: &'a [u8],
    #[serde(borrow)]
    operation: WireOperation<'a>,
    options: Options,
}

#[derive(Serialize, Deserialize)]
enum WireOperation<'a> {
    Get,
    Put {
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        expiry: Expiry,
        condition: Condition,
    },
    PutFields {
        #[serde(borrow)]
        fields: Vec<(&'a serde_bytes::Bytes, Option<&'a serde_bytes::Bytes>)>,
        expiry: Expiry,
    },
    Delete {
        condition: Condition,
    },
    Expire {
        at: u64,
        condition: Condition,
    },
    PutSibling {
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        context: Vec<(ActorId, u64)>,
        expiry: Expiry,
    },
    DeleteSiblings {
        context: Vec<(ActorId, u64)>,
    },
    GetAfter {
        /// As [`Context::encode`] writes it.
        #[serde(borrow, with = "serde_bytes")]
        context: &'a [u8],
    },
    ReplaceField {
        #[serde(borrow, with = "serde_bytes")]
        name: &'a [u8],
        #[serde(borrow)]
        before: Option<&'a serde_bytes::Bytes>,
        #[serde(borrow, with = "serde_bytes")]
        after: &'a [u8],
    },
    GetWithin {
        max_staleness_ms: u64,
    },
    Rotate(#[serde(borrow)] Step<'a>),
    Modify {
        #[serde(borrow)]
        field: Option<&'a serde_bytes::Bytes>,
        #[serde(borrow)]
        by: Modification<'a>,
        expiry: Expiry,
        condition: Condition,
    },
    Exchange {
        #[serde(borrow)]
        value: Option<&'a serde_bytes::Bytes>,
        expiry: Expiry,
        condition: Condition,
    },
}

/// [`Outcome`] on the wire. Behind it lies, if there is one, the context of what was written.
#[derive(Serialize, Deserialize)]
struct WireOutcome {
    result: Result<WireDone, Failure>,
    receipt: Option<Receipt>,
}

#[derive(Serialize, Deserialize)]
struct WireDone {
    applied: bool,
    absorbed: bool,
    record: Option<serde_bytes::ByteBuf>,
}

/// The bytes of a request that another node is to coordinate.
pub(crate) fn encode_request(request: &Request<'_>) -> Vec<u8> {
    let mut after = Vec::new();
    let operation = match &request.operation {
        Operation::Get => WireOperation::Get,
        Operation::GetAfter { context } => {
            context.encode(&mut after);
            WireOperation::GetAfter { context: &after }
        }
        Operation::GetWithin { max_staleness_ms } => WireOperation::GetWithin {
            max_staleness_ms: *max_staleness_ms,
        },
        Operation::Put {
            value,
            expiry,
            condition,
        } => WireOperation::Put {
            value,
            expiry: *expiry,
            condition: *condition,
        },
        Operation::PutFields { fields, expiry } => WireOperation::PutFields {
            fields: fields
                .iter()
                .map(|&(name, value)| {
                    (
                        serde_bytes::Bytes::new(name),
                        value.map(serde_bytes::Bytes::new),
                    )
                })
                .collect(),
            expiry: *expiry,
        },
        Operation::ReplaceField {
            name,
            before,
            after,
        } => WireOperation::ReplaceField {
            name,
            before: before.map(serde_bytes::Bytes::new),
            after,
        },
        Operation::Modify {
            field,
            by,
            expiry,
            condition,
        } => WireOperation::Modify {
            field: field.map(serde_bytes::Bytes::new),
            by: *by,
            expiry: *expiry,
            condition: *condition,
        },
        Operation::Exchange {
            value,
            expiry,
            condition,
        } => WireOperation::Exchange {
            value: value.map(serde_bytes::Bytes::new),
            expiry: *expiry,
            condition: *condition,
        },
        Operation::Delete { condition } => WireOperation::Delete {
            condition: *condition,
        },
        Operation::Expire { at, condition } => WireOperation::Expire {
            at: *at,
            condition: *condition,
        },
        Operation::PutSibling {
            value,
            context,
            expiry,
        } => WireOperation::PutSibling {
            value,
            context: context.iter().collect(),
            expiry: *expiry,
        },
        Operation::DeleteSiblings { context } => WireOperation::DeleteSiblings {
            context: context.iter().collect(),
        },
        Operation::Rotate(step) => WireOperation::Rotate(step.clone()),
    };
    let wire = WireRequest {
        key: request.key,
        operation,
        options: request.options,
    };
    // Serialising into memory fails only for types postcard cannot express, and these are ours.
    postcard::to_allocvec(&wire).unwrap_or_default()
}

/// A request that another node forwarded; `None` if the bytes are not one.
pub(crate) fn decode_request(bytes: &[u8]) -> Option<Request<'_>> {
    let wire: WireRequest<'_> = postcard::from_bytes(bytes).ok()?;
    let operation = match wire.operation {
        WireOperation::Get => Operation::Get,
        WireOperation::GetAfter { context } => Operation::GetAfter {
            context: Box::new(Context::decode(context).ok()?),
        },
        WireOperation::GetWithin { max_staleness_ms } => Operation::GetWithin { max_staleness_ms },
        WireOperation::Put {
            value,
            expiry,
            condition,
        } => Operation::Put {
            value,
            expiry,
            condition,
        },
        WireOperation::PutFields { fields, expiry } => Operation::PutFields {
            fields: fields
                .into_iter()
                .map(|(name, value)| (&name[..], value.map(|value| &value[..])))
                .collect::<FieldWrites<'_>>(),
            expiry,
        },
        WireOperation::ReplaceField {
            name,
            before,
            after,
        } => Operation::ReplaceField {
            name,
            before: before.map(|value| &value[..]),
            after,
        },
        WireOperation::Modify {
            field,
            by,
            expiry,
            condition,
        } => Operation::Modify {
            field: field.map(|name| &name[..]),
            by,
            expiry,
            condition,
        },
        WireOperation::Exchange {
            value,
            expiry,
            condition,
        } => Operation::Exchange {
            value: value.map(|value| &value[..]),
            expiry,
            condition,
        },
        WireOperation::Delete { condition } => Operation::Delete { condition },
        WireOperation::Expire { at, condition } => Operation::Expire { at, condition },
        WireOperation::PutSibling {
            value,
            context,
            expiry,
        } => Operation::PutSibling {
            value,
            context: VersionVector::from_iter(context),
            expiry,
        },
        WireOperation::DeleteSiblings { context } => Operation::DeleteSiblings {
            context: VersionVector::from_iter(context),
        },
        WireOperation::Rotate(step) => Operation::Rotate(step),
    };
    Some(Request {
        key: wire.key,
        operation,
        options: wire.options,
    })
}

/// The bytes of an outcome on its way back to the node that forwarded the request.
pub(super) fn encode_outcome(mut outcome: Outcome) -> Vec<u8> {
    let written = (outcome.receipt.as_mut()).and_then(|receipt| receipt.written.take());
    let wire = WireOutcome {
        result: outcome.result.map(|done| WireDone {
            applied: done.applied,
            absorbed: done.absorbed,
            record: done.record.map(serde_bytes::ByteBuf::from),
        }),
        receipt: outcome.receipt.map(|receipt| *receipt),
    };
    let mut bytes = postcard::to_allocvec(&wire).unwrap_or_default();
    if let Some(context) = written {
        context.encode(&mut bytes);
    }
    bytes
}

/// The outcome of a forwarded request; `None` if the bytes are not one.
pub(super) fn decode_outcome(bytes: &[u8]) -> Option<Outcome> {
    let (wire, rest): (WireOutcome, _) = postcard::take_from_bytes(bytes).ok()?;
    let written = || Context::decode(rest).ok().map(Box::new);
    let result = wire.result.map(|done| Done {
        applied: done.applied,
        absorbed: done.absorbed,
        record: done.record.map(serde_bytes::ByteBuf::into_vec),
    });
    Some(Outcome {
        result,
        receipt: wire.receipt.map(|receipt| {
            let written = written();
            Box::new(Receipt { written, ..receipt })
        }),
    })
}
