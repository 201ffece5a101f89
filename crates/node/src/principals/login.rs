//! A login, step by step: the index first, then the session.

use henge_versioning::RecordRef;

use super::{
    index::Index,
    index_key,
    owner::{OWNER_FIELD, Owner},
};
use crate::{Condition, Expiry, Failure, FieldWrites, Operation, Options, Outcome, Request};

/// A login in progress. The driver sends [`Login::request`], hands what came of it to
/// [`Login::answered`], and goes on until that gives the outcome.
///
/// ```text
/// entry ──kept by W, in life g──► session with (principal, g) ──► done
///   │
///   └──not kept, or perhaps──► done: nothing was written of the session
/// ```
#[derive(Clone, Debug)]
pub struct Login {
    index: Vec<u8>,
    principal: Vec<u8>,
    session: Vec<u8>,
    /// The session's fields; a value stands under the empty name.
    fields: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    expiry: Expiry,
    options: Options,
    /// What the session's hidden field will say, once the entry is kept.
    owner: Option<Vec<u8>>,
    /// The index as it was before.
    before: Option<Vec<u8>>,
}

impl Login {
    /// Of a write that puts a value without a condition, or that puts fields.
    ///
    /// # Errors
    /// [`Failure::Invalid`] of any other operation, and of a principal that is too long or empty.
    pub fn new(request: &Request<'_>, principal: &[u8]) -> Result<Self, Failure> {
        super::refuse_reserved(request)?;
        let (fields, expiry) = match &request.operation {
            Operation::Put {
                value,
                expiry,
                condition: Condition::Always,
            } => (vec![(Vec::new(), Some(value.to_vec()))], *expiry),
            Operation::PutFields { fields, expiry } => {
                let own = |(name, value): &(&[u8], Option<&[u8]>)| {
                    (name.to_vec(), value.map(<[u8]>::to_vec))
                };
                (fields.iter().map(own).collect(), *expiry)
            }
            _ => {
                let text = "only a write without a condition can name a principal";
                return Err(Failure::Invalid(text.to_owned()));
            }
        };
        Ok(Self {
            index: index_key(principal)?,
            principal: principal.to_vec(),
            session: request.key.to_vec(),
            fields,
            expiry,
            options: request.options,
            owner: None,
            before: None,
        })
    }

    /// The present step. To be carried out as the node's own: clients may not ask for it.
    pub fn request(&self) -> Request<'_> {
        let (key, fields, expiry) = match &self.owner {
            None => (&self.index, self.entry(), Expiry::Keep),
            Some(owner) => (&self.session, self.session_with(owner), self.expiry),
        };
        Request {
            key,
            operation: Operation::PutFields { fields, expiry },
            options: self.options,
        }
    }

    fn entry(&self) -> FieldWrites<'_> {
        FieldWrites::from_iter([(&self.session[..], Some(&b""[..]))])
    }

    fn session_with<'a>(&'a self, owner: &'a [u8]) -> FieldWrites<'a> {
        let fields = self.fields.iter();
        let fields = fields.map(|(name, value)| (&name[..], value.as_deref()));
        fields.chain([(OWNER_FIELD, Some(owner))]).collect()
    }

    /// What the step came to; gives the login's outcome when it is over.
    pub fn answered(&mut self, outcome: Outcome) -> Option<Outcome> {
        if self.owner.is_some() {
            return Some(outcome);
        }
        let done = match outcome.result {
            Ok(done) => done,
            Err(_) => return Some(outcome),
        };
        if !done.applied {
            return Some(Outcome {
                result: Err(super::too_many()),
                receipt: outcome.receipt,
            });
        }
        let before = done.record.as_deref().map(RecordRef::parse);
        let index = Index::of(before.and_then(Result::ok).as_ref());
        let owner = Owner {
            life: index.next_entry(),
            principal: &self.principal,
        };
        self.owner = Some(owner.encode());
        self.before = done.record;
        None
    }

    /// The session's key.
    pub(crate) fn session(&self) -> &[u8] {
        &self.session
    }

    /// The index' key, what it was before this login, once the entry is kept, and the request's options.
    pub(crate) fn into_index(self) -> (Vec<u8>, Option<Vec<u8>>, Options) {
        (self.index, self.before, self.options)
    }
}
