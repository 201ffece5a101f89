//! What a simulated client asks: an owned request, with the history's view of it.

use henge_node::{Condition, Expiry, Operation, Options, Request};
use henge_versioning::{Context, VersionVector};

use crate::history::{Element, Quorum};

/// Milliseconds since 1970 at which a run begins.
pub const START_MS: u64 = 1_700_000_000_000;

/// One request of one client.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The key.
    pub key: String,
    /// What to do.
    pub what: What,
    /// With which consistency.
    pub quorum: Quorum,
    /// Milliseconds until the node must answer.
    pub timeout_ms: u64,
    /// Of a read: what it has to show.
    pub after: Option<Box<Context>>,
}

/// What to do with the key.
#[derive(Clone, Debug)]
pub enum What {
    /// Read.
    Get,
    /// Add a sibling that replaces those in the context.
    PutSibling(Element, VersionVector),
    /// Remove the siblings in the context.
    DeleteSiblings(VersionVector),
    /// Set a register.
    PutRegister(Element),
    /// Set one field of a session, of the element's name; with a new deadline or with the old one.
    PutField(Element, Option<u64>),
    /// Move a session's deadline to this wall-clock millisecond.
    Touch(u64),
    /// Destroy a session.
    Logout,
}

impl Ask {
    /// Whether it changes anything.
    pub fn is_write(&self) -> bool {
        !matches!(self.what, What::Get)
    }

    /// The element it writes.
    pub fn element(&self) -> Option<Element> {
        match self.what {
            What::PutSibling(element, _) | What::PutRegister(element) => Some(element),
            What::PutField(element, _) => Some(element),
            What::Get | What::DeleteSiblings(_) | What::Touch(_) | What::Logout => None,
        }
    }

    /// Shows the request in the node's own terms.
    pub fn with_request<T>(&self, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        let name = self.element().map(field_name).unwrap_or_default();
        let value = self
            .element()
            .map(|element| element.to_string())
            .unwrap_or_default();
        let value = value.as_bytes();
        let operation = match &self.what {
            What::Get => match &self.after {
                Some(context) => Operation::GetAfter {
                    context: context.clone(),
                },
                None => Operation::Get,
            },
            What::PutSibling(_, context) => Operation::PutSibling {
                value,
                context: context.clone(),
                expiry: Expiry::Keep,
            },
            What::DeleteSiblings(context) => Operation::DeleteSiblings {
                context: context.clone(),
            },
            What::PutRegister(_) => Operation::Put {
                value,
                expiry: Expiry::Clear,
                condition: Condition::Always,
            },
            What::PutField(_, deadline) => Operation::PutFields {
                fields: [(name.as_bytes(), Some(value))].into_iter().collect(),
                expiry: deadline.map_or(Expiry::Keep, Expiry::At),
            },
            What::Touch(at) => Operation::Expire {
                at: *at,
                condition: Condition::Always,
            },
            What::Logout => Operation::Delete {
                condition: Condition::Always,
            },
        };
        let options = Options {
            r: Some(self.quorum.r.into()),
            w: Some(self.quorum.w.into()),
            strict: Some(self.quorum.strict),
            timeout_ms: Some(self.timeout_ms),
            receipt: self.wants_receipt(),
        };
        use_it(&Request {
            key: self.key.as_bytes(),
            operation,
            options,
        })
    }

    /// Whether it is to be told who answered: always, but for every second touch, or none would ever be
    /// answered by one before it.
    pub(crate) fn wants_receipt(&self) -> bool {
        !matches!(self.what, What::Touch(at) if at % 2 == 0)
    }
}

/// The field that a session keeps an element under: one of its own, so that no field ever
/// overwrites another.
fn field_name(element: Element) -> String {
    format!("f{element}")
}
