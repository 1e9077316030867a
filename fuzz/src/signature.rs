//! Webhook calls against the standards, written down once more: a signature is taken when it is, byte
//! for byte, the one that the platform would have sent, and no other.
//!
//! The input: the scheme, the header that shows who calls, the header with the time, the query, and
//! the body. `@` in the first header stands for the right signature, so that mutations get near it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use exoclaw::channel::webhook::verify::{Head, JwksError, JwksSource, Verified, Verifier, VerifierParts};
use exoclaw::runtime::bindings::channel::{self, Encoding, Hash, Place, Verification};
use exoclaw::secrets::Secret;
use exoclaw::store::Timestamp;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use tokio::runtime::Runtime;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const NOW: u64 = 1_531_420_618;
const TOLERANCE: u64 = 300;

/// Whose private half is in RFC 7515, appendix A.2, and signs nothing here.
const PUBLISHED: &str = r#"{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;

/// Whether the call was taken.
pub fn run(input: &[u8]) -> bool {
    let Some(([scheme, shown, time, query], body)) = super::lines(input) else { return false };
    let Some(verifier) = VERIFIERS.get(scheme) else { return false };
    let right = right(scheme, time, query, body);
    let shown = shown.replace('@', right.as_deref().unwrap_or(SECRET));
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-signature", shown.as_str()), ("authorization", &shown), ("x-time", time)] {
        let Ok(value) = HeaderValue::from_str(value) else { return false };
        headers.insert(name, value);
    }
    let head = Head { headers: &headers, query: Some(query), now: Timestamp(NOW * 1000) };
    let checked = RUNTIME.block_on(async { verifier.admit(head).await.and_then(|admitted| admitted.verify(body)) });
    match scheme {
        "slack" | "github" | "line" => {
            assert_eq!(
                checked.is_ok(),
                right.as_deref() == Some(&shown),
                "{scheme}: {checked:?}, and right is {right:?}"
            );
        }
        "secret" => assert_eq!(checked.is_ok(), shown == SECRET, "{checked:?}"),
        "query" if checked.is_ok() => assert!(is_shown(query), "{query} does not hold the secret"),
        "ed25519" | "jwt" => assert!(checked.is_err(), "nobody can have signed this"),
        _ => {}
    }
    if let Ok(Verified { replay }) = &checked {
        assert_eq!(replay.is_some(), scheme == "slack", "what carries a time can be told from its replay");
    }
    checked.is_ok()
}

/// What the platform would have sent; nothing where it would have sent none then.
fn right(scheme: &str, time: &str, query: &str, body: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match scheme {
        "slack" => {
            let seconds: u64 = time.parse().ok()?;
            let near = seconds.to_string() == time && seconds.abs_diff(NOW) <= TOLERANCE;
            let text = [b"v0:", time.as_bytes(), b":", body].concat();
            near.then(|| format!("v0={}", hex(&hmac(&SHA256, &text))))
        }
        "github" => Some(format!("sha1={}", hex(&hmac(&SHA1_FOR_LEGACY_USE_ONLY, body)))),
        "line" => {
            let text = [b"https://bot.example/hook?", query.as_bytes(), b"\n", body].concat();
            Some(data_encoding::BASE64.encode(&hmac(&SHA256, &text)))
        }
        _ => None,
    }
}

/// RFC 2104, section 2. Both hashes work on blocks of 64 bytes.
fn hmac(hash: &'static Algorithm, text: &[u8]) -> Vec<u8> {
    let mut key = [0; 64];
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    let with = |pad: u8, text: &[u8]| {
        let mut block: Vec<u8> = key.iter().map(|byte| byte ^ pad).collect();
        block.extend_from_slice(text);
        digest(hash, &block).as_ref().to_vec()
    };
    with(0x5c, &with(0x36, text))
}

/// Whether exactly one parameter has the name, and that one the secret.
fn is_shown(query: &str) -> bool {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found: Vec<_> = pairs.filter(|(name, _)| decode(name) == b"key").map(|(_, value)| decode(value)).collect();
    found == [SECRET.as_bytes()]
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"));

static VERIFIERS: LazyLock<HashMap<&str, Verifier>> = LazyLock::new(|| {
    let hmac = |hash, prefix: &str, encoding, template: &str, timestamp| {
        let (secret, header) = ("s".to_owned(), "x-signature".to_owned());
        let (prefix, template) = (prefix.to_owned(), template.to_owned());
        Verification::Hmac(channel::Hmac { hash, secret, header, prefix, encoding, template, timestamp })
    };
    let time = || Some(channel::SignedTimestamp { header: "x-time".to_owned(), tolerance_seconds: TOLERANCE as u32 });
    let shared = |place| Verification::SharedSecret(channel::SharedSecret { secret: "s".to_owned(), place });
    let verifications = [
        ("slack", hmac(Hash::Sha256, "v0=", Encoding::Hex, "v0:{header:x-time}:{body}", time())),
        ("github", hmac(Hash::Sha1, "sha1=", Encoding::Hex, "{body}", None)),
        ("line", hmac(Hash::Sha256, "", Encoding::Base64, "{url}\n{body}", None)),
        ("secret", shared(Place::Header("x-signature".to_owned()))),
        ("query", shared(Place::Query("key".to_owned()))),
        (
            "ed25519",
            Verification::Ed25519(channel::Ed25519 {
                public_key: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".to_owned(),
                header: "x-signature".to_owned(),
                template: "{header:x-time}{body}".to_owned(),
                timestamp: time(),
            }),
        ),
        (
            "jwt",
            Verification::Jwt(channel::Jwt {
                jwks_url: "https://platform.example/keys".to_owned(),
                issuer: "i".to_owned(),
                audience: "a".to_owned(),
            }),
        ),
    ];
    let secret = |_: &str| Some(Secret::new(SECRET.to_owned()));
    let parts = VerifierParts {
        secret: &secret,
        webhook_url: Some("https://bot.example/hook"),
        unsigned: false,
        jwks: Some(Arc::new(Published)),
    };
    let make = |(name, verification)| {
        let webhook = channel::Webhook { verification, challenge: None };
        (name, Verifier::new(&webhook, &parts).expect("it can be verified"))
    };
    verifications.into_iter().map(make).collect()
});

struct Published;

impl JwksSource for Published {
    fn allows(&self, _: &hyper::Uri) -> bool {
        true
    }

    fn fetch(
        &self,
        _: &hyper::Uri,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Bytes, JwksError>> + Send + 'static>> {
        Box::pin(std::future::ready(Ok(Bytes::from_static(PUBLISHED.as_bytes()))))
    }
}
