//! One key over HTTP.
//!
//! `PUT` takes the value as the body; `PATCH` takes a JSON object of field names and base64 values
//! (`null` removes a field). `If-None-Match: *` writes only what is absent, `If-Match: *` only what
//! is there; 412 tells that the condition did not hold. In a bucket of siblings a write replaces the
//! values that its `Henge-Context` has seen; one without a context to a key that has piled up
//! [`MOST_BLIND`] values is refused with 409 and the context that it needs.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use henge_node::{
    Buckets, Condition, Expiry, FieldWrites, Kind, Operation, Options, Outcome, Request,
};
use henge_versioning::{Context, RecordRef, VersionVector, siblings};

use super::{
    Door,
    answer::{
        self, CONTEXT, absent, bad_request, failed, problem, with_context, with_receipt, written,
    },
    params::Params,
    target::Target,
};
use crate::resp::{live, seal};

/// Siblings that blind writes may pile up.
const MOST_BLIND: usize = 8;

/// What went wrong, as the response.
type Refused = Box<Response>;

fn target<'b>(buckets: &'b Buckets, path: &(String, String)) -> Result<Target<'b>, Refused> {
    Target::find(buckets, &path.0, &path.1).map_err(|text| Box::new(bad_request(&text)))
}

fn is_star(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value == "*")
}

/// The vector of the context that a request carries, if it carries one.
fn seen(door: &Door, headers: &HeaderMap, key: &[u8]) -> Result<Option<VersionVector>, Refused> {
    let Some(token) = headers.get(CONTEXT) else {
        return Ok(None);
    };
    let token = token.to_str().unwrap_or_default();
    Context::open(token, &door.shared().context_key, key)
        .map(|context| Some(context.vector))
        .map_err(|error| Box::new(bad_request(&error.to_string())))
}

impl Door {
    async fn call<'r>(&self, key: &'r [u8], operation: Operation<'r>, options: Options) -> Outcome {
        self.node
            .call(&Request {
                key,
                operation,
                options,
            })
            .await
    }

    fn seal(&self, record: Option<&[u8]>, key: &[u8]) -> String {
        seal(record, &self.shared().context_key, key)
    }
}

/// `GET`.
pub(super) async fn read(
    State(door): State<Door>,
    Path(path): Path<(String, String)>,
    query: RawQuery,
) -> Response {
    let read = async {
        let params = Params::read(query)?;
        let buckets = door.node.buckets();
        let target = target(&buckets, &path)?;
        let outcome = door.call(&target.key, Operation::Get, params.options).await;
        let receipt = outcome.receipt.as_deref();
        let done = match &outcome.result {
            Ok(done) => done,
            Err(failure) => return Ok(failed(failure, receipt)),
        };
        let now_ms = door.node.wall_ms();
        let response = live(done.record.as_deref(), now_ms)
            .map_or_else(absent, |record| answer::value(&record, now_ms));
        let token = door.seal(done.record.as_deref(), &target.key);
        Ok(with_receipt(with_context(response, &token), receipt))
    };
    read.await.unwrap_or_else(|refused: Refused| *refused)
}

/// `PUT`.
pub(super) async fn put(
    State(door): State<Door>,
    Path(path): Path<(String, String)>,
    query: RawQuery,
    headers: HeaderMap,
    value: Bytes,
) -> Response {
    let put = async {
        let params = Params::read(query)?;
        let buckets = door.node.buckets();
        let target = target(&buckets, &path)?;
        let expiry = match params.ttl_ms {
            Some(ttl) => Expiry::At(door.node.wall_ms().saturating_add(ttl)),
            None => Expiry::Clear,
        };
        if target.bucket.kind == Kind::Siblings {
            return put_sibling(&door, &target.key, &value, expiry, &headers, params.options).await;
        }
        let condition = match () {
            () if is_star(&headers, header::IF_NONE_MATCH) => Condition::Absent,
            () if is_star(&headers, header::IF_MATCH) => Condition::Present,
            () => Condition::Always,
        };
        let operation = Operation::Put {
            value: &value,
            expiry,
            condition,
        };
        let outcome = door.call(&target.key, operation, params.options).await;
        Ok(told(&outcome, condition != Condition::Always))
    };
    put.await.unwrap_or_else(|refused: Refused| *refused)
}

async fn put_sibling(
    door: &Door,
    key: &[u8],
    value: &[u8],
    expiry: Expiry,
    headers: &HeaderMap,
    options: Options,
) -> Result<Response, Refused> {
    let context = match seen(door, headers, key)? {
        Some(context) => context,
        None => refuse_pile(door, key, options).await?,
    };
    let outcome = door
        .call(
            key,
            Operation::PutSibling {
                value,
                context,
                expiry,
            },
            options,
        )
        .await;
    Ok(told(&outcome, false))
}

/// What a blind write has seen: nothing. Refused if too many values lie there already.
async fn refuse_pile(door: &Door, key: &[u8], options: Options) -> Result<VersionVector, Refused> {
    let present = door.call(key, Operation::Get, options).await;
    let done = present
        .result
        .map_err(|failure| Box::new(failed(&failure, None)))?;
    let record = done
        .record
        .as_deref()
        .and_then(|bytes| RecordRef::parse(bytes).ok());
    let count = record.map_or(0, siblings::count);
    if count < MOST_BLIND {
        return Ok(VersionVector::new());
    }
    let text =
        format!("{count} values wait to be resolved: write with the Henge-Context given here");
    let response = problem(StatusCode::CONFLICT, "conflict", &text);
    Err(Box::new(with_context(
        response,
        &door.seal(done.record.as_deref(), key),
    )))
}

/// `PATCH`.
pub(super) async fn patch(
    State(door): State<Door>,
    Path(path): Path<(String, String)>,
    query: RawQuery,
    body: Bytes,
) -> Response {
    let patch = async {
        let params = Params::read(query)?;
        let buckets = door.node.buckets();
        let target = target(&buckets, &path)?;
        let fields = decode_fields(&body).map_err(|text| Box::new(bad_request(&text)))?;
        let writes: FieldWrites<'_> = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()))
            .collect();
        let expiry = match params.ttl_ms {
            Some(ttl) => Expiry::At(door.node.wall_ms().saturating_add(ttl)),
            None => Expiry::Keep,
        };
        let operation = Operation::PutFields {
            fields: writes,
            expiry,
        };
        Ok(told(
            &door.call(&target.key, operation, params.options).await,
            false,
        ))
    };
    patch.await.unwrap_or_else(|refused: Refused| *refused)
}

/// Fields by name; none stands for a removal.
fn decode_fields(body: &[u8]) -> Result<BTreeMap<String, Option<Vec<u8>>>, String> {
    let given: BTreeMap<String, Option<String>> = serde_json::from_slice(body)
        .map_err(|error| format!("the body must be an object of base64 values or null: {error}"))?;
    if given.is_empty() {
        return Err("the body names no field".to_owned());
    }
    let decode = |(name, value): (String, Option<String>)| {
        let value = value.map(|text| STANDARD.decode(text)).transpose();
        value
            .map(|value| (name.clone(), value))
            .map_err(|error| format!("{name:?}: {error}"))
    };
    given.into_iter().map(decode).collect()
}

/// `DELETE`.
pub(super) async fn delete(
    State(door): State<Door>,
    Path(path): Path<(String, String)>,
    query: RawQuery,
    headers: HeaderMap,
) -> Response {
    let delete = async {
        let params = Params::read(query)?;
        let buckets = door.node.buckets();
        let target = target(&buckets, &path)?;
        let operation = match seen(&door, &headers, &target.key)? {
            Some(context) if target.bucket.kind == Kind::Siblings => {
                Operation::DeleteSiblings { context }
            }
            _ => Operation::Delete {
                condition: Condition::Always,
            },
        };
        Ok(told(
            &door.call(&target.key, operation, params.options).await,
            false,
        ))
    };
    delete.await.unwrap_or_else(|refused: Refused| *refused)
}

/// `POST …/touch?ttl_ms=`.
pub(super) async fn touch(
    State(door): State<Door>,
    Path(path): Path<(String, String)>,
    query: RawQuery,
) -> Response {
    let touch = async {
        let params = Params::read(query)?;
        let ttl = params
            .ttl_ms
            .ok_or_else(|| Box::new(bad_request("ttl_ms is missing")))?;
        let buckets = door.node.buckets();
        let target = target(&buckets, &path)?;
        let at = door.node.wall_ms().saturating_add(ttl);
        let operation = Operation::Expire {
            at,
            condition: Condition::Always,
        };
        let outcome = door.call(&target.key, operation, params.options).await;
        Ok(match &outcome.result {
            Ok(done) if !done.applied => absent(),
            _ => told(&outcome, false),
        })
    };
    touch.await.unwrap_or_else(|refused: Refused| *refused)
}

/// The outcome of a write.
fn told(outcome: &Outcome, conditional: bool) -> Response {
    let receipt = outcome.receipt.as_deref();
    match &outcome.result {
        Err(failure) => failed(failure, receipt),
        Ok(done) if conditional && !done.applied && !done.absorbed => problem(
            StatusCode::PRECONDITION_FAILED,
            "precondition",
            "the condition does not hold; nothing was changed",
        ),
        Ok(done) => written(done.applied, done.absorbed, receipt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_base64_or_null() {
        let fields = decode_fields(br#"{"a":"dmFs","b":null}"#).unwrap();
        assert_eq!(fields["a"].as_deref(), Some(b"val".as_slice()));
        assert_eq!(fields["b"], None);
        for wrong in [&b"{}"[..], b"[]", b"x", br#"{"a":1}"#, br#"{"a":"***"}"#] {
            assert!(decode_fields(wrong).is_err(), "{wrong:?}");
        }
    }
}
