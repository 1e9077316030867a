//! Who signs tokens for a platform, and publishes the keys to check them by (RFC 7515, 7517, 7519).

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::desk::Desk;
use super::push::now;
use super::server::{Answer, Platform, Request, Scheme, Server};

/// What its one key is called.
const KEY: &str = "key-1";

/// The issuer, as long as this lives.
pub(crate) struct Issuer {
    server: Server<Api>,
    key: EcdsaKeyPair,
}

pub(crate) struct Api {
    desk: Desk,
    published: Value,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let key = fresh_key();
        // SEC 1, section 2.3.3: uncompressed, the point is `4`, x and y.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        let published = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY, "x": x, "y": y},
        ]});
        let server = Server::serve(Scheme::Tls, |_| Api { desk: Desk::default(), published }).await;
        Self { server, key }
    }

    /// Its name in tokens, and where it is.
    pub(crate) fn origin(&self) -> String {
        self.server.origin()
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.server.platform().desk
    }

    /// A token for `audience` that is good for so many seconds, or was.
    pub(crate) fn token(&self, audience: &str, seconds: i64) -> String {
        self.signed_by(&self.key, audience, seconds)
    }

    /// The same, signed by someone else in its name.
    pub(crate) fn forged(&self, audience: &str) -> String {
        self.signed_by(&fresh_key(), audience, 300)
    }

    fn signed_by(&self, key: &EcdsaKeyPair, audience: &str, seconds: i64) -> String {
        let expires = now().checked_add_signed(seconds).expect("a time after 1970");
        let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = part(json!({"alg": "ES256", "typ": "JWT", "kid": KEY}));
        let claims = part(json!({"iss": self.origin(), "aud": audience, "exp": expires}));
        let signed = format!("{header}.{claims}");
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

fn fresh_key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("the key")
}

impl Platform for Api {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn operation(&self, request: &Request) -> String {
        request.path.trim_start_matches('/').to_owned()
    }

    async fn answer(&self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/keys") => Answer::json(200, &self.published),
            _ => self.unserved(request),
        }
    }
}
