//! A GET by which a platform asks who answers.

use super::query::{self, Plus};
use super::{Refusal, VerifierError, secret};
use crate::runtime::bindings::channel;
use crate::secrets::Secret;

/// The longest echo, in bytes. Platforms send some dozens.
const MAX_ECHO: usize = 1 << 10;

/// What is compared, and what is echoed.
#[derive(Debug)]
pub(super) struct Challenge {
    token: String,
    secret: Secret,
    echo: String,
}

impl Challenge {
    pub(super) fn new(
        declared: &channel::Challenge,
        find: &dyn Fn(&str) -> Option<Secret>,
    ) -> Result<Self, VerifierError> {
        let channel::Challenge { token_parameter: token, secret: name, echo_parameter: echo } = declared;
        if token.is_empty() || echo.is_empty() || token == echo {
            return Err(VerifierError::Parameter);
        }
        Ok(Self { token: token.clone(), secret: secret(name, find)?, echo: echo.clone() })
    }

    /// The echo, for who shows the token.
    pub(super) fn answer(&self, query: Option<&str>) -> Result<String, Refusal> {
        let token = query::only(query, &self.token, Plus::Space)?;
        if !self.secret.matches(token.as_bytes()) {
            return Err(Refusal::Wrong("the token"));
        }
        let echo = query::only(query, &self.echo, Plus::Space)?;
        if echo.len() <= MAX_ECHO { Ok(echo) } else { Err(Refusal::Malformed("the challenge")) }
    }
}
