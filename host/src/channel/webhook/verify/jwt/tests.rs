//! Tokens, signed in the tests by a key of RFC 7515 and by one of their own.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use futures_util::FutureExt;
use futures_util::future;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Value, json};

use super::*;
use crate::store::Timestamp;

const NOW: u64 = 1_700_000_000;

/// RFC 7515, appendix A.2.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs\
D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV\
MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0\
BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYT\
CBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPG\
BY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA\
-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
const DP: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb3\
4MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
const DQ: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyN\
lxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
const QI: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW\
0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";

fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64")
}

/// Signs as a platform does.
struct Platform {
    rsa: KeyPair,
    p256: EcdsaKeyPair,
    random: SystemRandom,
}

impl Platform {
    fn new() -> Self {
        let random = SystemRandom::new();
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: decode(N), e: vec![1, 0, 1] },
            d: decode(D),
            p: decode(P),
            q: decode(Q),
            dP: decode(DP),
            dQ: decode(DQ),
            qInv: decode(QI),
        };
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self { rsa: KeyPair::from_components(&components).expect("the RFC's key"), p256: p256.expect("a key"), random }
    }

    /// What it publishes, under names of its own choice.
    fn keys(&self, rsa: &str, p256: &str) -> Value {
        let point = self.p256.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": rsa, "n": N, "e": "AQAB", "use": "sig", "alg": "RS256" },
            { "kty": "EC", "crv": "P-256", "kid": p256, "x": BASE64URL_NOPAD.encode(&point[1..33]),
              "y": BASE64URL_NOPAD.encode(&point[33..]) },
            { "kty": "oct", "kid": "shared", "k": "c2VjcmV0" },
            { "kty": "RSA", "kid": "for-encryption", "n": N, "e": "AQAB", "use": "enc" },
            { "unreadable": true },
        ] })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match header["alg"].as_str() {
            Some("ES256") => self.p256.sign(&self.random, signed.as_bytes()).expect("a signature").as_ref().to_vec(),
            _ => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                let done = self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, signed.as_bytes(), &mut signature);
                done.expect("a signature");
                signature
            }
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

fn claims() -> Value {
    json!({ "iss": "https://platform.example", "aud": "bot-1", "exp": NOW + 300, "nbf": NOW - 300, "sub": "x" })
}

/// Answers one fetch after the other, and then fails.
#[derive(Default)]
struct Published {
    answers: Mutex<VecDeque<Result<Value, JwksError>>>,
    fetches: AtomicUsize,
}

impl Published {
    fn new(answers: impl IntoIterator<Item = Result<Value, JwksError>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), fetches: AtomicUsize::new(0) })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

impl JwksSource for Published {
    fn allows(&self, url: &Uri) -> bool {
        url.host() == Some("platform.example")
    }

    fn fetch(&self, _: &Uri) -> BoxFuture<'static, Result<Bytes, JwksError>> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().expect("not poisoned").pop_front();
        let answer = answer.unwrap_or_else(|| Err(JwksError("nobody is there".to_owned())));
        // Not at once, so that others come meanwhile.
        async move {
            tokio::task::yield_now().await;
            answer.map(|json| Bytes::from(json.to_string()))
        }
        .boxed()
    }
}

fn declared() -> channel::Jwt {
    channel::Jwt {
        jwks_url: "https://platform.example/keys".into(),
        issuer: "https://platform.example".into(),
        audience: "bot-1".into(),
    }
}

fn jwt(published: &Arc<Published>) -> Jwt {
    let source: Arc<dyn JwksSource> = Arc::clone(published) as _;
    Jwt::new(&declared(), Some(source)).expect("a verifier")
}

async fn check(jwt: &Jwt, token: &str) -> Result<(), Refusal> {
    check_header(jwt, &format!("Bearer {token}")).await
}

async fn check_header(jwt: &Jwt, value: &str) -> Result<(), Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
    jwt.check(&Head { headers: &headers, query: None, now: Timestamp(NOW * 1000) }).await
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_platforms_is_taken_whichever_of_its_keys_signed_it() {
    let platform = Platform::new();
    let published = Published::new([Ok(platform.keys("a", "b"))]);
    let jwt = jwt(&published);
    let rsa = platform.sign(&json!({ "alg": "RS256", "kid": "a", "typ": "JWT" }), &claims());
    let p256 = platform.sign(&json!({ "alg": "ES256", "kid": "b" }), &claims());
    assert_eq!(check(&jwt, &rsa).await, Ok(()));
    assert_eq!(check(&jwt, &p256).await, Ok(()));
    let mut many = claims();
    many["aud"] = json!(["other", "bot-1"]);
    assert_eq!(check(&jwt, &platform.sign(&json!({ "alg": "ES256", "kid": "b" }), &many)).await, Ok(()));
    assert_eq!(published.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_token_says_has_to_be_for_us_and_now() {
    let platform = Platform::new();
    let jwt = jwt(&Published::new([Ok(platform.keys("a", "b"))]));
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        platform.sign(&json!({ "alg": "ES256", "kid": "b" }), &claims)
    };
    for (token, refusal) in [
        (with("iss", json!("https://platform.example/")), Refusal::TokenClaim("issuer")),
        (with("aud", json!("bot-2")), Refusal::TokenClaim("audience")),
        (with("aud", json!([])), Refusal::TokenClaim("audience")),
        (with("exp", json!(NOW - 60)), Refusal::TokenTime("no longer valid")),
        (with("nbf", json!(NOW + 61)), Refusal::TokenTime("not yet valid")),
        (with("exp", Value::Null), Refusal::Malformed("the token")),
        (with("iss", json!(["https://platform.example"])), Refusal::Malformed("the token")),
        (with("exp", json!("never")), Refusal::Malformed("the token")),
    ] {
        assert_eq!(check(&jwt, &token).await, Err(refusal));
    }
    // The clocks may differ by a minute.
    assert_eq!(check(&jwt, &with("exp", json!(NOW - 59))).await, Ok(()));
    assert_eq!(check(&jwt, &with("nbf", json!(NOW + 60))).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_key_verifies_by_its_own_algorithm_alone() {
    let platform = Platform::new();
    let jwt = jwt(&Published::new([Ok(platform.keys("a", "b"))]));
    let unsigned = |header: Value| {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.", part(&header), part(&claims()))
    };
    assert_eq!(check(&jwt, &unsigned(json!({ "alg": "none", "kid": "a" }))).await, Err(Refusal::Algorithm));
    assert_eq!(check(&jwt, &unsigned(json!({ "alg": "None", "kid": "a" }))).await, Err(Refusal::Algorithm));
    // An HMAC with what everyone knows.
    assert_eq!(check(&jwt, &unsigned(json!({ "alg": "HS256", "kid": "shared" }))).await, Err(Refusal::Algorithm));
    let wrong = |alg: &str, kid: &str| platform.sign(&json!({ "alg": alg, "kid": kid }), &claims());
    assert_eq!(check(&jwt, &wrong("RS256", "b")).await, Err(Refusal::UnknownKey));
    assert_eq!(check(&jwt, &wrong("ES256", "a")).await, Err(Refusal::UnknownKey));
    assert_eq!(check(&jwt, &wrong("RS256", "for-encryption")).await, Err(Refusal::UnknownKey));
    let critical = json!({ "alg": "RS256", "kid": "a", "crit": ["b64"], "b64": false });
    assert_eq!(check(&jwt, &platform.sign(&critical, &claims())).await, Err(Refusal::Algorithm));
    let nameless = platform.sign(&json!({ "alg": "RS256" }), &claims());
    assert_eq!(check(&jwt, &nameless).await, Err(Refusal::Missing("the name of the token's key")));
    let empty = unsigned(json!({ "alg": "RS256", "kid": "a" }));
    assert_eq!(check(&jwt, &empty).await, Err(Refusal::Wrong("the token's signature")));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_changed_or_spelled_otherwise_is_refused() {
    let platform = Platform::new();
    let jwt = jwt(&Published::new([Ok(platform.keys("a", "b"))]));
    let token = platform.sign(&json!({ "alg": "RS256", "kid": "a" }), &claims());
    assert_eq!(check(&jwt, &token).await, Ok(()));
    assert_eq!(check_header(&jwt, &format!("bearer {token}")).await, Ok(()));
    for header in [format!("Bearer  {token}"), token.clone(), format!("Basic {token}"), "Bearer".to_owned()] {
        assert!(check_header(&jwt, &header).await.is_err(), "{header}");
    }
    let [header, body, signature] = token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let other = BASE64URL_NOPAD.encode(claims().to_string().replace("\"x\"", "\"y\"").as_bytes());
    for token in [
        format!("{header}.{other}.{signature}"),
        format!("{header}.{body}.{signature}=="),
        format!("{header}.{body}.{signature}."),
        format!("{header}.{body}"),
        format!("{header}.{body}.{}", signature.replace(['-', '_'], "+")),
        format!("{header}.{body}.{}", &signature[..signature.len() - 4]),
        "a".repeat(9 << 10),
    ] {
        assert!(check(&jwt, &token).await.is_err(), "{token}");
    }
    let twice = BASE64URL_NOPAD.encode(br#"{"alg":"none","alg":"RS256","kid":"a"}"#);
    assert_eq!(check(&jwt, &format!("{twice}.{body}.{signature}")).await, Err(Refusal::Malformed("the token")));
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_once_a_minute_whatever_strangers_call_theirs() {
    let platform = Platform::new();
    let published = Published::new([Ok(platform.keys("a", "b")), Ok(platform.keys("a", "c"))]);
    let jwt = jwt(&published);
    let signed_by = |kid: &str| platform.sign(&json!({ "alg": "ES256", "kid": kid }), &claims());
    assert_eq!(check(&jwt, &signed_by("b")).await, Ok(()));
    for n in 0..100 {
        assert_eq!(check(&jwt, &signed_by(&format!("guess-{n}"))).await, Err(Refusal::UnknownKey));
    }
    assert_eq!(published.fetches(), 1);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(check(&jwt, &signed_by("c")).await, Ok(()));
    assert_eq!(published.fetches(), 2);
    // What the platform withdrew counts no more.
    assert_eq!(check(&jwt, &signed_by("b")).await, Err(Refusal::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn keys_are_used_for_an_hour_at_the_most_and_those_who_wait_share_a_fetch() {
    let platform = Platform::new();
    let published = Published::new([Ok(platform.keys("a", "b"))]);
    let jwt = jwt(&published);
    let token = platform.sign(&json!({ "alg": "RS256", "kid": "a" }), &claims());
    let checks = future::join_all((0..50).map(|_| check(&jwt, &token))).await;
    assert!(checks.iter().all(Result::is_ok));
    assert_eq!(published.fetches(), 1);
    // Nobody answers any more: what is known is used meanwhile, and asked for again now and then.
    for minutes in 1..4 {
        tokio::time::advance(Duration::from_secs(16 * 60)).await;
        assert_eq!(check(&jwt, &token).await, Ok(()));
        assert_eq!(published.fetches(), 1 + minutes);
    }
    tokio::time::advance(Duration::from_secs(13 * 60)).await;
    assert_eq!(check(&jwt, &token).await, Err(Refusal::Unavailable("nobody is there".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_does_not_answer_is_no_reason_to_let_anyone_in() {
    struct Silent;
    impl JwksSource for Silent {
        fn allows(&self, _: &Uri) -> bool {
            true
        }
        fn fetch(&self, _: &Uri) -> BoxFuture<'static, Result<Bytes, JwksError>> {
            future::pending().boxed()
        }
    }
    let platform = Platform::new();
    let silent = Jwt::new(&declared(), Some(Arc::new(Silent))).expect("a verifier");
    let token = platform.sign(&json!({ "alg": "RS256", "kid": "a" }), &claims());
    assert!(matches!(check(&silent, &token).await, Err(Refusal::Unavailable(_))));
    let strange = jwt(&Published::new([Ok(json!({ "keys": "none" }))]));
    assert!(matches!(check(&strange, &token).await, Err(Refusal::Unavailable(_))));
}

#[test]
fn tokens_for_anyone_or_keys_from_anywhere_are_no_verification() {
    let published = || Some(Published::new([]) as Arc<dyn JwksSource>);
    let error = |declared: &channel::Jwt, source| Jwt::new(declared, source).expect_err("refused");
    assert_eq!(
        error(&channel::Jwt { issuer: String::new(), ..declared() }, published()),
        VerifierError::AnyToken("issuer")
    );
    assert_eq!(
        error(&channel::Jwt { audience: String::new(), ..declared() }, published()),
        VerifierError::AnyToken("audience")
    );
    let elsewhere = channel::Jwt { jwks_url: "https://other.example/keys".into(), ..declared() };
    assert!(matches!(error(&elsewhere, published()), VerifierError::JwksUnreachable(_)));
    assert!(matches!(error(&declared(), None), VerifierError::JwksUnreachable(_)));
    for url in ["", "/keys", "ftp://platform.example", "https://a@platform.example/keys"] {
        let declared = channel::Jwt { jwks_url: url.into(), ..declared() };
        assert!(matches!(error(&declared, published()), VerifierError::JwksUrl(_)), "{url}");
    }
}
