//! Calls that carry a secret as it is.

use hyper::header::HeaderName;

use super::query::{self, Plus};
use super::{Head, Refusal, VerifierError, header_name, only, secret};
use crate::runtime::bindings::channel;
use crate::secrets::Secret;

/// A secret, and where it has to stand.
#[derive(Debug)]
pub(super) struct SharedSecret {
    secret: Secret,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Query(String),
}

impl SharedSecret {
    pub(super) fn new(
        declared: &channel::SharedSecret,
        find: &dyn Fn(&str) -> Option<Secret>,
    ) -> Result<Self, VerifierError> {
        let place = match &declared.place {
            channel::Place::Header(name) => Place::Header(header_name(name)?),
            channel::Place::Query(name) if name.is_empty() => return Err(VerifierError::Parameter),
            channel::Place::Query(name) => Place::Query(name.clone()),
        };
        Ok(Self { secret: secret(&declared.secret, find)?, place })
    }

    pub(super) fn check(&self, head: &Head<'_>) -> Result<(), Refusal> {
        let right = match &self.place {
            Place::Header(name) => self.secret.matches(only(head.headers, name)?.as_bytes()),
            // The owner wrote the address, where a `+` is a `+`.
            Place::Query(name) => self.secret.matches(query::only(head.query, name, Plus::Itself)?.as_bytes()),
        };
        if right { Ok(()) } else { Err(Refusal::Wrong("the secret")) }
    }

    /// The header that it stands in.
    pub(super) fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            Place::Header(name) => Some(name),
            Place::Query(_) => None,
        }
    }

    /// A query without it.
    pub(super) fn without(&self, text: &str) -> String {
        match &self.place {
            Place::Header(_) => text.to_owned(),
            Place::Query(name) => query::without(text, name),
        }
    }
}
