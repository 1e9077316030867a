//! Secrets at the boundary: put into requests where the grants or a channel's templates say, and
//! hidden in what comes back.
//!
//! Nothing here sends anything: [`SecretRules`] decides over a request's parts just before they go
//! out, and the [`Redactor`] that it returns reads the response before the plugin does.

mod place;
mod redact;
mod source;
mod template;

pub use place::{PlaceError, SecretRules, Unbound, plain_answer};
pub use redact::{Encoded, RedactedBody, Redactor, Stream};
pub use source::{Remedy, SourceError, Unresolved, resolve};
pub use template::{Joined, TemplateError};
