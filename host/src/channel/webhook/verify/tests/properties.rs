//! What holds of every call.

use proptest::prelude::*;

use super::examples::{PUBLIC_KEY, discord, signed_by_discord};
use super::*;

/// Where a bit is flipped.
#[derive(Debug, Clone, Copy)]
enum Place {
    Body(usize),
    Header(&'static str, usize),
}

fn flipped(mut call: Call, place: Place) -> Option<Call> {
    match place {
        Place::Body(bit) if call.body.is_empty() => call.body.push(u8::try_from(bit & 0xff).ok()?),
        Place::Body(bit) => {
            let bit = bit % (call.body.len() * 8);
            call.body[bit / 8] ^= 1 << (bit % 8);
        }
        Place::Header(name, bit) => {
            let mut bytes = call.headers.get(name)?.as_bytes().to_vec();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            call.headers.insert(name, HeaderValue::from_bytes(&bytes).ok()?);
        }
    }
    Some(call)
}

fn places(headers: &'static [&'static str]) -> impl Strategy<Value = Place> {
    let header = (0..headers.len(), any::<usize>()).prop_map(|(index, bit)| Place::Header(headers[index], bit));
    prop_oneof![any::<usize>().prop_map(Place::Body), header]
}

proptest! {
    #[test]
    fn a_bit_that_is_flipped_anywhere_makes_an_hmac_wrong(
        place in places(&["x-slack-signature", "x-slack-request-timestamp"]),
    ) {
        let slack = verifier(Verification::Hmac(slack())).expect("a verifier");
        if let Some(call) = flipped(Call::slack(), place) {
            prop_assert!(call.check(&slack).is_err());
        }
    }

    #[test]
    fn a_bit_that_is_flipped_anywhere_makes_an_ed25519_signature_wrong(
        body in "\\PC{0,40}",
        place in places(&["x-signature-ed25519", "x-signature-timestamp"]),
    ) {
        let discord = verifier(Verification::Ed25519(discord(PUBLIC_KEY))).expect("a verifier");
        let call = signed_by_discord(&body);
        prop_assert!(call.check(&discord).is_ok());
        if let Some(call) = flipped(call, place) {
            prop_assert!(call.check(&discord).is_err());
        }
    }

    #[test]
    fn of_all_ways_to_write_a_digest_one_is_right(upper in proptest::collection::vec(any::<bool>(), 64)) {
        let github = verifier(Verification::Hmac(github())).expect("a verifier");
        let digits = GITHUB_SIGNATURE.trim_start_matches("sha256=");
        let other: String = digits
            .chars()
            .zip(&upper)
            .map(|(digit, upper)| if *upper { digit.to_ascii_uppercase() } else { digit })
            .collect();
        let call = Call::github().set("x-hub-signature-256", &format!("sha256={other}"));
        prop_assert_eq!(call.check(&github).is_ok(), other == digits);
    }

    #[test]
    fn a_secret_is_right_alone(guess in "\\PC{0,20}") {
        let place = channel::Place::Query("key".into());
        let shared = channel::SharedSecret { secret: "token".into(), place };
        let shared = verifier(Verification::SharedSecret(shared)).expect("a verifier");
        let escaped = percent_encoding::utf8_percent_encode(&guess, percent_encoding::NON_ALPHANUMERIC);
        prop_assert_eq!(Call::query(&format!("key={escaped}")).check(&shared).is_ok(), guess == "a+long=token");
    }
}
