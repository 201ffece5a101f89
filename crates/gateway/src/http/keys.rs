//! One key over HTTP.
//!
//! `PUT` takes the value as the body; `PATCH` takes a JSON object of field names and base64 values
//! (`null` removes a field). `If-None-Match: *` writes only what is absent, `If-Match: *` only what
//! is there; 412 tells that the condition did not hold. In a bucket of siblings a write replaces the
//! values that its `Henge-Context` has seen; one without a context to a key that has piled up
//! [`MOST_BLIND`] values is refused with 409 and the context that it needs.
//!
//! A write with `?token` answers with the context of what it wrote, in `Henge-Context`; a `GET` that
//! has one in `Henge-After` or `?after=` shows that or something later.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use henge_node::{
    Buckets, Condition, Expiry, FieldWrites, Kind, Operation, Options, Outcome, Receipt, Request,
};
use henge_versioning::{Context, RecordRef, VersionVector, siblings};

use super::{
    Door,
    answer::{
        self, AFTER, CONTEXT, absent, bad_request, failed, problem, with_context, with_receipt,
        written,
    },
    params::Params,
    target::Target,
};
use crate::resp::{live, seal, seal_written};

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

/// The text of a header, if there is one.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    (headers.get(name)).map(|value| value.to_str().unwrap_or_default())
}

fn open(door: &Door, token: &str, key: &[u8]) -> Result<Context, Refused> {
    Context::open(token, &door.shared().context_key, key)
        .map_err(|error| Box::new(bad_request(&error.to_string())))
}

/// The vector of the context that a request carries, if it carries one.
fn seen(door: &Door, headers: &HeaderMap, key: &[u8]) -> Result<Option<VersionVector>, Refused> {
    let token = text(headers, CONTEXT);
    let opened = token.map(|token| open(door, token, key)).transpose()?;
    Ok(opened.map(|context| context.vector))
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

    /// Carries a write out, as a login if it names a principal; with the context of what it wrote, if that is wanted, which comes with a
    /// receipt.
    async fn write<'r>(
        &self,
        key: &'r [u8],
        operation: Operation<'r>,
        params: &Params,
        declined: Option<fn() -> Response>,
    ) -> Response {
        let options = Options {
            receipt: params.options.receipt || params.token,
            ..params.options
        };
        let request = Request {
            key,
            operation,
            options,
        };
        let outcome = match &params.principal {
            Some(principal) => self.node.login(&request, principal).await,
            None => self.node.call(&request).await,
        };
        let receipt = outcome.receipt.as_deref();
        let token = (params.token).then(|| seal_written(receipt, &self.shared().context_key, key));
        let told = told(
            &outcome,
            declined,
            receipt.filter(|_| params.options.receipt),
        );
        with_context(told, token.flatten().as_deref())
    }

    fn seal(&self, record: Option<&[u8]>, key: &[u8]) -> Option<String> {
        seal(record, &self.shared().context_key, key)
    }
}

/// `GET`.
pub(super) async fn read(
    State(door): State<Door>,
    Path(path): Path<(String, String)>,
    query: RawQuery,
    headers: HeaderMap,
) -> Response {
    let read = async {
        let params = Params::read(query)?;
        let buckets = door.node.buckets();
        let target = target(&buckets, &path)?;
        let after = params.after.as_deref().or(text(&headers, AFTER));
        let operation = match (after, params.max_staleness_ms) {
            (Some(_), Some(_)) => {
                let text = "after and max_staleness_ms exclude each other";
                return Err(Box::new(bad_request(text)));
            }
            (Some(token), None) => Operation::GetAfter {
                context: Box::new(open(&door, token, &target.key)?),
            },
            (None, Some(max_staleness_ms)) => Operation::GetWithin { max_staleness_ms },
            (None, None) => Operation::Get,
        };
        let outcome = door.call(&target.key, operation, params.options).await;
        let receipt = outcome.receipt.as_deref();
        let done = match &outcome.result {
            Ok(done) => done,
            Err(failure) => return Ok(failed(failure, receipt)),
        };
        let now_ms = door.node.wall_ms();
        let response = live(done.record.as_deref(), now_ms)
            .map_or_else(absent, |record| answer::value(&record, now_ms));
        let token = door.seal(done.record.as_deref(), &target.key);
        Ok(with_receipt(
            with_context(response, token.as_deref()),
            receipt,
        ))
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
        if target.bucket.kind == Kind::Siblings && params.principal.is_none() {
            return put_sibling(&door, &target.key, &value, expiry, &headers, &params).await;
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
        let declined = (condition != Condition::Always).then_some(unmet as fn() -> Response);
        Ok(door.write(&target.key, operation, &params, declined).await)
    };
    put.await.unwrap_or_else(|refused: Refused| *refused)
}

async fn put_sibling(
    door: &Door,
    key: &[u8],
    value: &[u8],
    expiry: Expiry,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Response, Refused> {
    let context = match seen(door, headers, key)? {
        Some(context) => context,
        None => refuse_pile(door, key, params.options).await?,
    };
    let operation = Operation::PutSibling {
        value,
        context,
        expiry,
    };
    Ok(door.write(key, operation, params, None).await)
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
        door.seal(done.record.as_deref(), key).as_deref(),
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
        Ok(door.write(&target.key, operation, &params, None).await)
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
        Ok(door.write(&target.key, operation, &params, None).await)
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
        Ok(door
            .write(&target.key, operation, &params, Some(absent))
            .await)
    };
    touch.await.unwrap_or_else(|refused: Refused| *refused)
}

/// The outcome of a write; `declined` is the answer where nothing was there to apply it to.
fn told(
    outcome: &Outcome,
    declined: Option<fn() -> Response>,
    receipt: Option<&Receipt>,
) -> Response {
    match (&outcome.result, declined) {
        (Err(failure), _) => failed(failure, receipt),
        (Ok(done), Some(declined)) if !done.applied && !done.absorbed => declined(),
        (Ok(done), _) => written(done.applied, done.absorbed, receipt),
    }
}

/// 412.
fn unmet() -> Response {
    problem(
        StatusCode::PRECONDITION_FAILED,
        "precondition",
        "the condition does not hold; nothing was changed",
    )
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
