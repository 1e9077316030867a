//! Why a webhook cannot be served, and why a call of it is refused.

use hyper::header::HeaderName;

/// Why a channel's webhook cannot be verified as it is declared and configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Nobody could be told from the platform.
    #[error(
        "its webhook is verified by the secret `{0}`, which the plugin was not granted; without it anyone could call. \
         Add it to the plugin's grants: secrets.{0} = {{ env = \"…\", hosts = [\"…\"] }}"
    )]
    MissingSecret(String),
    /// As good as none.
    #[error("its webhook is verified by the secret `{0}`, which is empty; set it to what the platform was given")]
    EmptySecret(String),
    /// The platform signs nothing.
    #[error(
        "nobody signs the calls of its webhook, so that anyone who can reach it could write as anyone; where that is \
         meant, set `unsigned_webhook = true` in its table of [channels]"
    )]
    Unsigned,
    /// The signed text holds the address, which is not known.
    #[error("the calls of its webhook are signed with its address: set `webhook_url` in its table of [channels]")]
    NoUrl,
    /// A name that no header has.
    #[error("the plugin wants its webhook verified by a header `{0}`, and that is no header's name")]
    Header(String),
    /// A prefix that no header can have.
    #[error("the plugin wants signatures of its webhook to begin with `{0}`, which no header can hold")]
    Prefix(String),
    /// A parameter without a name, or two of one name.
    #[error("the plugin wants its webhook verified by a parameter of the query without a name of its own")]
    Parameter,
    /// Braces that mean nothing.
    #[error("the plugin's template of signed text has `{0}`; known are {{body}}, {{url}} and {{header:NAME}}")]
    Template(String),
    /// A signature over anything but the body.
    #[error(
        "the plugin's template of signed text lacks {{body}}: whoever saw one call of its webhook could send any other"
    )]
    BodyUnsigned,
    /// A time that anyone can change.
    #[error(
        "the plugin's template of signed text lacks {{header:{0}}}, where the time stands: whoever saw one call of its \
         webhook could send it again at any time"
    )]
    TimeUnsigned(HeaderName),
    /// Not a key.
    #[error("`{0}` is no public key of Ed25519: expected 64 hexadecimal digits, as the platform shows them")]
    PublicKey(String),
    /// A key for which anyone can sign.
    #[error("`{0}` is a public key for which anyone can sign; set the one that the platform shows")]
    WeakKey(String),
    /// An address that is none.
    #[error(
        "the platform's keys cannot be fetched at `{0}`: expected an address such as https://platform.example/keys"
    )]
    JwksUrl(String),
    /// No way to the keys.
    #[error("the platform's keys are fetched at {0}, where the plugin may not go: add its host to the plugin's `http`")]
    JwksUnreachable(String),
    /// Tokens for anyone would do.
    #[error("its webhook is verified by tokens, and the plugin names no {0} that they must have")]
    AnyToken(&'static str),
}

/// Why a call is refused. The caller is not told; the log at `debug` is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header that has to be there.
    #[error("there is no `{0}`")]
    NoHeader(HeaderName),
    /// Something else that has to be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A header or parameter that two readers could read differently.
    #[error("`{0}` is there more than once")]
    Twice(String),
    /// Not written as the platform writes it.
    #[error("{0} is not written as it has to be")]
    Malformed(&'static str),
    /// Written right, and wrong.
    #[error("{0} is wrong")]
    Wrong(&'static str),
    /// Too old, or from the future.
    #[error("it was signed {0} s away from now")]
    Stale(u64),
    /// Of a token: not yet, or no longer.
    #[error("the token is {0}")]
    TokenTime(&'static str),
    /// Of a token: for someone else, or from someone else.
    #[error("the token's {0} is another")]
    TokenClaim(&'static str),
    /// Of a token: signed in another way than the key is for.
    #[error("the token is signed by an algorithm that does not count here")]
    Algorithm,
    /// Of a token: no published key has that name.
    #[error("no published key signed the token")]
    UnknownKey,
    /// It cannot be told now. The caller may come again.
    #[error("the platform's keys are not there: {0}")]
    Unavailable(String),
}
