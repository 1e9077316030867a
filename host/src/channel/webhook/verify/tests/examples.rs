//! Signatures that the platforms and standards themselves publish.

use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;

#[test]
fn slacks_own_example_is_right() {
    let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
    let verified = Call::slack().check(&slack).expect("it is Slack's");
    assert_eq!(verified.replay.map(|key| key.until), Some(Timestamp((SIGNED + 300) * 1000)));
}

#[test]
fn githubs_own_example_is_right() {
    let github = verifier(Verification::Hmac(github())).expect("a verifier");
    assert_eq!(Call::github().check(&github), Ok(Verified { replay: None }), "it carries no time");
}

#[test]
fn hashes_and_encodings_are_those_of_the_standards() {
    // HMACs of Wikipedia's article on them.
    let fox = "The quick brown fox jumps over the lazy dog";
    for (hash, encoding, signature) in [
        (Hash::Sha1, Encoding::Hex, "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"),
        (Hash::Sha256, Encoding::Hex, "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"),
        (Hash::Sha256, Encoding::Base64, "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg="),
    ] {
        let declared = channel::Hmac {
            hash,
            encoding,
            secret: "key".into(),
            header: "signature".into(),
            prefix: String::new(),
            ..github()
        };
        let verifier = verifier(Verification::Hmac(declared)).expect("a verifier");
        assert_eq!(Call::new(&[("signature", signature)], fox).check(&verifier), Ok(Verified { replay: None }));
        assert!(Call::new(&[("signature", signature)], "The quick").check(&verifier).is_err());
    }
}

#[test]
fn the_address_is_signed_as_the_platform_calls_it() {
    let declared = channel::Hmac { template: "{url}|{body}".into(), secret: "key".into(), ..github() };
    let verifier = verifier(Verification::Hmac(declared)).expect("a verifier");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key");
    let sign = |text: &[u8]| format!("sha256={}", HEXLOWER.encode(ring::hmac::sign(&key, text).as_ref()));
    let with = Call::new(&[("x-hub-signature-256", &sign(b"https://bot.example/webhook/x?a=%20b|hi"))], "hi");
    let with = Call { query: Some("a=%20b".into()), ..with };
    assert!(with.check(&verifier).is_ok());
    assert!(Call { query: Some("a=+b".into()), ..with.clone() }.check(&verifier).is_err());
    assert!(Call { query: None, ..with }.check(&verifier).is_err());
    let without = Call::new(&[("x-hub-signature-256", &sign(b"https://bot.example/webhook/x|hi"))], "hi");
    assert!(without.check(&verifier).is_ok());
}

/// As Discord signs interactions, by the first key of RFC 8032, section 7.1.
pub(super) fn discord(public_key: &str) -> channel::Ed25519 {
    channel::Ed25519 {
        public_key: public_key.into(),
        header: "X-Signature-Ed25519".into(),
        template: "{header:X-Signature-Timestamp}{body}".into(),
        timestamp: Some(channel::SignedTimestamp { header: "X-Signature-Timestamp".into(), tolerance_seconds: 300 }),
    }
}

pub(super) const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const PRIVATE_KEY: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

pub(super) fn signed_by_discord(body: &str) -> Call {
    let pair = Ed25519KeyPair::from_seed_unchecked(&HEXLOWER.decode(PRIVATE_KEY.as_bytes()).expect("hexadecimal"));
    let pair = pair.expect("a key");
    assert_eq!(HEXLOWER.encode(pair.public_key().as_ref()), PUBLIC_KEY);
    let signature = HEXLOWER.encode(pair.sign(format!("{SIGNED}{body}").as_bytes()).as_ref());
    Call::new(&[("x-signature-ed25519", &signature), ("x-signature-timestamp", &SIGNED.to_string())], body)
}

#[test]
fn interactions_are_verified_as_discord_signs_them() {
    let call = signed_by_discord(r#"{"type":1}"#);
    for key in [PUBLIC_KEY.to_owned(), PUBLIC_KEY.to_uppercase()] {
        let discord = verifier(Verification::Ed25519(discord(&key))).expect("a verifier");
        assert!(call.check(&discord).expect("it is Discord's").replay.is_some());
    }
}

#[test]
fn a_secret_is_found_in_its_header_or_parameter_and_hidden_from_the_plugin() {
    let shared = |place| channel::SharedSecret { secret: "token".into(), place };
    let header = verifier(Verification::SharedSecret(shared(channel::Place::Header("X-Token".into()))));
    let header = header.expect("a verifier");
    let call = Call::new(&[("x-token", "a+long=token"), ("authorization", "x"), ("accept", "*/*")], "");
    assert_eq!(call.check(&header), Ok(Verified { replay: None }));
    let shown: Vec<_> = header.shown_headers(&call.headers).map(|(name, _)| name.as_str()).collect();
    assert_eq!(shown, ["accept"]);

    let query = verifier(Verification::SharedSecret(shared(channel::Place::Query("key".into()))));
    let query = query.expect("a verifier");
    for text in ["key=a+long=token", "a=1&key=a%2Blong%3Dtoken"] {
        assert!(Call::query(text).check(&query).is_ok(), "{text}");
    }
    assert_eq!(query.shown_query("a=1&key=a%2Blong%3Dtoken&b"), "a=1&b");
}

#[test]
fn a_challenge_is_echoed_to_who_shows_the_token() {
    let challenge = channel::Challenge {
        token_parameter: "hub.verify_token".into(),
        secret: "token".into(),
        echo_parameter: "hub.challenge".into(),
    };
    let webhook = channel::Webhook { verification: Verification::Hmac(github()), challenge: Some(challenge) };
    let verifier = Verifier::new(&webhook, &parts()).expect("a verifier");
    let ask = |query: &str| verifier.challenge(Some(query));
    let right = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a%2Blong%3Dtoken";
    assert_eq!(ask(right).as_deref(), Ok("1158201444"));
    assert_eq!(ask("hub.challenge=1&hub.verify_token=a%2Blong"), Err(Refusal::Wrong("the token")));
    assert_eq!(ask("hub.challenge=1"), Err(Refusal::Missing("a parameter")));
    assert_eq!(ask(&format!("{right}&hub.verify_token=x")), Err(Refusal::Twice("hub.verify_token".into())));
    let long = format!("hub.challenge={}&hub.verify_token=a%2Blong%3Dtoken", "1".repeat(1025));
    assert_eq!(ask(&long), Err(Refusal::Malformed("the challenge")));
}
