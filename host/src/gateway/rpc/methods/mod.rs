//! The methods, by what they are about.

mod channel;
mod chat;
mod directory;
mod outbox;
mod pairing;
mod session;
mod system;
mod usage;

use schemars::JsonSchema;
use serde::Deserialize;

use super::table::Method;

/// Parameters of a method that takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoParams {}

pub(super) fn all() -> Vec<Method> {
    let mut all = Vec::new();
    all.extend(system::methods());
    all.extend(chat::methods());
    all.extend(session::methods());
    all.extend(directory::methods());
    all.extend(channel::methods());
    all.extend(pairing::methods());
    all.extend(outbox::methods());
    all.extend(usage::methods());
    all
}
