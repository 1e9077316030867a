//! The redactor against one that is slow and sees the whole text, at arbitrary splits.
//!
//! The input: the secret on the first line; a byte that says how many bytes make a piece; and the
//! text, in which the bytes 1 to 5 stand for the secret in one of its forms.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use exoclaw::runtime::egress_secrets::Redactor;
use exoclaw::secrets::Secret;

#[path = "../../host/src/runtime/egress_secrets/redact/reference.rs"]
mod reference;

/// The longest secret and text that the reference is given, in bytes: it is slow.
const MAX_SECRET: usize = 64;
const MAX_TEXT: usize = 2048;

/// Whether something was hidden.
pub fn run(input: &[u8]) -> bool {
    let Some(([secret], rest)) = super::lines(input) else { return false };
    let Some((&size, text)) = rest.split_first() else { return false };
    if secret.is_empty() || secret.len() > MAX_SECRET || secret.chars().any(char::is_control) {
        return false;
    }
    let text = &planted(secret, text);
    if text.len() > MAX_TEXT {
        return false;
    }
    let expected = reference::redact(&[secret], text);
    let redactor = Redactor::new([&Secret::new(secret.to_owned())]);
    for size in [usize::from(size).max(1), MAX_TEXT] {
        let mut stream = redactor.stream();
        let mut given = Vec::new();
        for piece in text.chunks(size) {
            given.extend(stream.push(piece));
        }
        given.extend(stream.finish());
        assert_eq!(given, expected, "in pieces of {size}");
        // Stars may make it up again, where it has some.
        let survives = given.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(secret.contains('*') || !survives);
    }
    expected != *text
}

fn planted(secret: &str, text: &[u8]) -> Vec<u8> {
    let percent = || secret.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let json = || secret.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
    let mut planted = Vec::new();
    for byte in text {
        match byte {
            1 => planted.extend(secret.bytes()),
            2 => planted.extend(percent().bytes()),
            3 => planted.extend(json().bytes()),
            4 => planted.extend(BASE64.encode(secret.as_bytes()).bytes()),
            5 => planted.extend(BASE64URL_NOPAD.encode(format!("u:{secret}").as_bytes()).bytes()),
            other => planted.push(*other),
        }
    }
    planted
}
