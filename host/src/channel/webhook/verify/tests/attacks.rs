//! What strangers have tried, and what would let them in by mistake.

use super::examples::{PUBLIC_KEY, discord, signed_by_discord};
use super::*;

fn error(verification: Verification) -> String {
    verifier(verification).expect_err("refused").to_string()
}

#[test]
fn a_webhook_without_its_secret_is_not_served() {
    let shared = |secret: &str| {
        let place = channel::Place::Header("x-token".into());
        Verification::SharedSecret(channel::SharedSecret { secret: secret.into(), place })
    };
    let hmac = |secret: &str| Verification::Hmac(channel::Hmac { secret: secret.into(), ..github() });
    for make in [&shared as &dyn Fn(&str) -> Verification, &hmac] {
        let missing = error(make("app-secret"));
        assert!(missing.contains("secrets.app-secret = { env"), "{missing}");
        let empty = error(make("empty"));
        assert!(empty.contains("`empty`, which is empty"), "{empty}");
    }
    let challenge =
        channel::Challenge { token_parameter: "token".into(), secret: "absent".into(), echo_parameter: "echo".into() };
    let webhook = channel::Webhook { verification: Verification::Hmac(github()), challenge: Some(challenge) };
    assert_eq!(Verifier::new(&webhook, &parts()).err(), Some(VerifierError::MissingSecret("absent".into())));
}

#[test]
fn what_nobody_signs_is_served_only_where_its_owner_says_so() {
    assert!(error(Verification::None).contains("unsigned_webhook = true"));
    let webhook = channel::Webhook { verification: Verification::None, challenge: None };
    let allowed = Verifier::new(&webhook, &VerifierParts { unsigned: true, ..parts() }).expect("a verifier");
    assert!(allowed.is_unsigned());
    assert_eq!(Call::new(&[], "").check(&allowed), Ok(Verified { replay: None }));
}

#[test]
fn a_template_that_would_leave_something_open_is_refused() {
    let template = |template: &str| Verification::Hmac(channel::Hmac { template: template.into(), ..slack() });
    assert!(error(template("v0:{header:X-Slack-Request-Timestamp}")).contains("lacks {body}"));
    assert!(error(template("v0:{body}")).contains("lacks {header:x-slack-request-timestamp}"));
    for wrong in ["{body}{nobody}", "{body", "}{body}", "{body}}", "{BODY}{body}", "{header}{body}"] {
        assert!(matches!(verifier(template(wrong)), Err(VerifierError::Template(_))), "{wrong}");
    }
    assert!(matches!(verifier(template("{header:a b}{body}")), Err(VerifierError::Header(_))));
    let url = channel::Webhook {
        verification: Verification::Hmac(channel::Hmac { template: "{url}{body}".into(), ..github() }),
        challenge: None,
    };
    let nowhere = VerifierParts { webhook_url: None, ..parts() };
    assert_eq!(Verifier::new(&url, &nowhere).err(), Some(VerifierError::NoUrl));
}

#[test]
fn a_key_that_anyone_has_is_refused() {
    let mut weak: Vec<String> = ["0", "f"].iter().map(|digit| digit.repeat(64)).collect();
    weak[1] = format!("ec{}", "f".repeat(62));
    weak.push(format!("01{}80", "0".repeat(60)));
    for key in &weak {
        let error = error(Verification::Ed25519(discord(key)));
        assert!(error.contains("anyone can sign"), "{error}");
    }
    for key in ["", "abc", &"g".repeat(64), &PUBLIC_KEY[2..]] {
        assert!(matches!(verifier(Verification::Ed25519(discord(key))), Err(VerifierError::PublicKey(_))), "{key}");
    }
}

#[test]
fn the_same_signature_in_another_spelling_is_another() {
    let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
    let digits = SLACK_SIGNATURE.trim_start_matches("v0=");
    for other in [
        format!("v0={}", digits.to_uppercase()),
        format!("V0={digits}"),
        digits.to_owned(),
        format!("v0= {digits}"),
        format!("v0={digits}00"),
        format!("v0={}", &digits[..62]),
        format!("v0=0x{digits}"),
        format!("v0={digits}, v0={digits}"),
        String::new(),
    ] {
        let refused = Call::slack().set("x-slack-signature", &other).check(&slack);
        assert_eq!(refused, Err(Refusal::Malformed("the signature")), "{other}");
    }

    let base64 = channel::Hmac { secret: "key".into(), encoding: Encoding::Base64, prefix: String::new(), ..github() };
    let base64 = verifier(Verification::Hmac(base64)).expect("a verifier");
    let fox = "The quick brown fox jumps over the lazy dog";
    let check = |signature: &str| Call::new(&[("x-hub-signature-256", signature)], fox).check(&base64);
    let right = "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg=";
    assert!(check(right).is_ok());
    for other in [
        // Without padding, with more of it, in the alphabet of addresses, with set bits behind the last byte.
        right.trim_end_matches('=').to_owned(),
        format!("{right}="),
        right.replace('+', "-"),
        right.replace("g=", "h="),
        format!("{} {}", &right[..8], &right[8..]),
    ] {
        assert_eq!(check(&other), Err(Refusal::Malformed("the signature")), "{other}");
    }
}

#[test]
fn an_ed25519_signature_has_no_second_form() {
    let discord = verifier(Verification::Ed25519(discord(PUBLIC_KEY))).expect("a verifier");
    let call = signed_by_discord("{}");
    assert!(call.check(&discord).is_ok());
    let signature = call.headers["x-signature-ed25519"].to_str().expect("a text").to_owned();
    // s + l, which is the same number modulo l, the order of the group (RFC 8032, section 5.1).
    let mut bytes = data_encoding::HEXLOWER.decode(signature.as_bytes()).expect("hexadecimal");
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = u8::try_from(carry & 0xff).expect("a byte");
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    let other = data_encoding::HEXLOWER.encode(&bytes);
    assert_eq!(call.clone().set("x-signature-ed25519", &other).check(&discord), Err(Refusal::Wrong("the signature")));
    let upper = signature.to_uppercase();
    let refused = call.set("x-signature-ed25519", &upper).check(&discord);
    assert_eq!(refused, Err(Refusal::Malformed("the signature")));
}

#[test]
fn what_stands_twice_is_refused_even_where_both_are_right() {
    let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
    let call = Call::slack().add("x-slack-signature", SLACK_SIGNATURE);
    assert_eq!(call.check(&slack), Err(Refusal::Twice("x-slack-signature".into())));
    let call = Call::slack().add("x-slack-request-timestamp", &SIGNED.to_string());
    assert_eq!(call.check(&slack), Err(Refusal::Twice("x-slack-request-timestamp".into())));
    let shared = channel::SharedSecret { secret: "token".into(), place: channel::Place::Header("x-token".into()) };
    let shared = verifier(Verification::SharedSecret(shared)).expect("a verifier");
    let call = Call::new(&[("x-token", "a+long=token"), ("x-token", "a+long=token")], "");
    assert_eq!(call.check(&shared), Err(Refusal::Twice("x-token".into())));
}

#[test]
fn what_is_missing_is_refused() {
    let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
    for name in ["x-slack-signature", "x-slack-request-timestamp"] {
        let mut call = Call::slack();
        call.headers.remove(name);
        assert_eq!(call.check(&slack), Err(Refusal::NoHeader(name.parse().expect("a name"))), "{name}");
    }
}

#[test]
fn a_signature_is_taken_for_so_long_before_and_after_it_was_made() {
    let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
    for away in [0, 299_999, 300_000] {
        assert!(Call::slack().at(SIGNED * 1000 + away).check(&slack).is_ok(), "{away} ms later");
        assert!(Call::slack().at(SIGNED * 1000 - away).check(&slack).is_ok(), "{away} ms earlier");
    }
    for away in [300_001, 10_000_000] {
        let stale = |now| Call::slack().at(now).check(&slack);
        assert!(matches!(stale(SIGNED * 1000 + away), Err(Refusal::Stale(_))), "{away} ms later");
        assert!(matches!(stale(SIGNED * 1000 - away), Err(Refusal::Stale(_))), "{away} ms earlier");
    }
    for time in ["+1531420618", "01531420618", "1531420618.0", "1531420618 ", "-1", "", "0x5b479f0a", "1e9"] {
        let call = Call::slack().set("x-slack-request-timestamp", time);
        let refused = call.check(&slack);
        // A header's value has no blanks around it once it was read; here it has.
        assert_eq!(refused, Err(Refusal::Malformed("the time")), "{time:?}");
    }
    let far = Call::slack().set("x-slack-request-timestamp", "18446744073709551615").check(&slack);
    assert_eq!(far, Err(Refusal::Malformed("the time")));
}

#[test]
fn a_secret_is_refused_before_the_body_is_there() {
    let shared = channel::SharedSecret { secret: "token".into(), place: channel::Place::Header("x-token".into()) };
    let shared = verifier(Verification::SharedSecret(shared)).expect("a verifier");
    let call = Call::new(&[("x-token", "a+long=tokem")], "");
    let refused = shared.admit(call.head()).now_or_never().expect("nothing to wait for");
    assert_eq!(refused.err(), Some(Refusal::Wrong("the secret")));
    let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
    let stale = Call::slack().at(0);
    let refused = slack.admit(stale.head()).now_or_never().expect("nothing to wait for");
    assert!(matches!(refused.err(), Some(Refusal::Stale(_))));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let challenge =
        channel::Challenge { token_parameter: "t".into(), secret: "token".into(), echo_parameter: "e".into() };
    let place = channel::Place::Header("x-token".into());
    for verification in [
        Verification::Hmac(slack()),
        Verification::SharedSecret(channel::SharedSecret { secret: "token".into(), place }),
    ] {
        let webhook = channel::Webhook { verification, challenge: Some(challenge.clone()) };
        let printed = format!("{:?}", Verifier::new(&webhook, &parts()).expect("a verifier"));
        assert!(!printed.contains("8f742231") && !printed.contains("a+long"), "{printed}");
    }
}
