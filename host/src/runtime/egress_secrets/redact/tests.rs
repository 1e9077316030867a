use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn redact(secrets: &[&str], text: &[u8], pieces: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
    let mut stream = Redactor::new(&secrets).stream();
    let (mut given, mut rest) = (Vec::new(), text);
    for length in pieces {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        given.extend(stream.push(piece));
        rest = behind;
    }
    given.extend(stream.push(rest));
    given.extend(stream.finish());
    given
}

fn shown(secret: &str, text: &str) -> String {
    String::from_utf8(redact(&[secret], text.as_bytes(), [])).unwrap()
}

#[test]
fn every_way_to_write_a_secret_is_hidden_and_nothing_around_it() {
    let secret = "p/ss w+rd%\"é\\";
    for echo in [
        secret.to_owned(),
        "p%2Fss%20w%2Brd%25%22%C3%A9%5C".to_owned(),
        "%70%2fss+w%2brd%25%22%c3%a9%5c".to_owned(),
        r#"p\/ss w+rd%\"é\\"#.to_owned(),
        r"p/ss w\u002Brd%\u0022\u00e9\u005c".to_owned(),
        BASE64.encode(secret.as_bytes()).trim_end_matches('=').to_owned(),
        BASE64URL_NOPAD.encode(secret.as_bytes()),
    ] {
        let text = format!("{{\"echo\": \"{echo}\", \"n\": 100%}}");
        let hidden = format!("{{\"echo\": \"{}\", \"n\": 100%}}", "*".repeat(echo.len()));
        assert_eq!(shown(secret, &text), hidden);
    }
}

#[test]
fn basic_authentication_is_hidden_but_for_the_user() {
    let header = format!("Basic {}", BASE64.encode(b"me:hunter2-hunter2"));
    assert_eq!(header, "Basic bWU6aHVudGVyMi1odW50ZXIy");
    assert_eq!(shown("hunter2-hunter2", &header), "Basic bWU6********************");
    // The user's last letters share a character with the password's first bits.
    let header = BASE64.encode(b"you:hunter2-hunter2");
    assert_eq!(shown("hunter2-hunter2", &header), format!("{}{}==", &header[..5], "*".repeat(header.len() - 7)));
}

#[test]
fn occurrences_that_overlap_leave_no_rest() {
    assert_eq!(shown("abababab", "xababababababy"), format!("x{}y", "*".repeat(12)));
    let both = redact(&["longsecret-one", "secret-one-two"], b"longsecret-one-two", []);
    assert_eq!(both, b"*".repeat(18));
    let inside = redact(&["secret-one", "a-secret-one-more"], b"a-secret-one-more", []);
    assert_eq!(inside, b"*".repeat(17));
}

#[test]
fn a_part_of_a_secret_is_shown() {
    for text in ["hunter2-hunter", "unter2-hunter2", "hunter2+hunter2", "hunter2-\nhunter2", "hunter2-\u{0}hunter2"] {
        assert_eq!(shown("hunter2-hunter2", text), text);
    }
}

#[test]
fn what_is_held_back_does_not_depend_on_the_secret() {
    let redactor = |secret: &str| Redactor::new([&Secret::new(secret.into())]).stream();
    let (mut right, mut wrong) = (redactor("hunter2-hunter2"), redactor("xxxxxxxxxxxxxxx"));
    for byte in b"hunter2-hunter2%68%75 aHVudGVy \\u0068unter2-hu".repeat(20) {
        assert_eq!(right.push(&[byte]).len(), wrong.push(&[byte]).len());
        assert!(right.held() < 160, "{}", right.held());
    }
    assert!(right.push(b"hunter2-\n").ends_with(b"hunter2-\n"));
    assert_eq!(right.held(), 0);
}

#[test]
fn a_large_stream_of_beginnings_is_read_once() {
    // Each byte of it goes on with a secret that then does not come.
    let secret = format!("{}b", "a".repeat(8000));
    let text = "a".repeat(1 << 20);
    assert_eq!(redact(&[&secret], text.as_bytes(), [1, 2, 3]), text.as_bytes());
}

#[test]
fn heads_lose_secrets_and_reason_and_must_be_readable() {
    let redactor = Redactor::new([&Secret::new("Hunter2-hunter2".into())]);
    let head = |name: &str, value: &str| {
        let response = hyper::Response::builder()
            .header("x-kept", "as it is")
            .header("location", "https://example.com/?key=Hunter2%2Dhunter2&x=1")
            .header("x-hunter2-hunter2", "1")
            .header(name, value)
            .extension(hyper::ext::ReasonPhrase::from_static(b"Hunter2-hunter2"));
        response.body(()).unwrap().into_parts().0
    };
    let mut plain = head("content-encoding", "Identity");
    assert_eq!(redactor.head(&mut plain), Ok(()));
    assert_eq!(plain.headers["location"], "https://example.com/?key=*****************&x=1");
    assert_eq!(plain.headers["x-kept"], "as it is");
    assert!(!plain.headers.contains_key("x-hunter2-hunter2"));
    assert!(plain.extensions.get::<hyper::ext::ReasonPhrase>().is_none());
    assert_eq!(redactor.head(&mut head("transfer-encoding", "chunked")), Ok(()));
    for (name, value) in
        [("content-encoding", "gzip"), ("content-encoding", "identity, br"), ("transfer-encoding", "gzip, chunked")]
    {
        assert_eq!(redactor.head(&mut head(name, value)), Err(Encoded(value.into())));
    }
    assert_eq!(redactor.text("no route to Hunter2-hunter2"), "no route to ***************");
    assert_eq!(format!("{redactor:?}"), "Redactor(1 secrets)");
}

/// How a host may write a secret into its response.
#[derive(Debug, Clone)]
enum Echo {
    Verbatim,
    /// For each byte: escape it although that is not needed; in capitals.
    Percent(Vec<(bool, bool)>),
    Form(Vec<(bool, bool)>),
    /// For each character: as it stands or by its number; in capitals.
    Json(Vec<(bool, bool)>),
    /// Between what, in which alphabet, and what is done to the result.
    Base64(Vec<u8>, Vec<u8>, usize, Box<Self>),
}

fn echo() -> impl Strategy<Value = Echo> {
    let tastes = || vec(any::<(bool, bool)>(), 1..20);
    let plain = prop_oneof![
        Just(Echo::Verbatim),
        tastes().prop_map(Echo::Percent),
        tastes().prop_map(Echo::Form),
        tastes().prop_map(Echo::Json),
    ];
    let whole = plain.clone();
    prop_oneof![
        whole,
        (vec(any::<u8>(), 0..5), vec(any::<u8>(), 0..5), 0..4usize, plain)
            .prop_map(|(before, after, alphabet, then)| Echo::Base64(before, after, alphabet, Box::new(then)))
    ]
}

impl Echo {
    /// The text, and which of its bytes hold nothing but the secret.
    fn write(&self, secret: &str) -> (String, std::ops::Range<usize>) {
        let percent = |tastes: &[(bool, bool)], form: bool| -> String {
            let one = |(byte, (escape, upper)): (u8, &(bool, bool))| match byte {
                b' ' if form && !escape => "+".to_owned(),
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' if !escape => char::from(byte).to_string(),
                b'!'..=b'~' if !escape && !matches!(byte, b'%' | b'+') => char::from(byte).to_string(),
                _ if *upper => format!("%{byte:02X}"),
                _ => format!("%{byte:02x}"),
            };
            secret.bytes().zip(tastes.iter().cycle()).map(one).collect()
        };
        let all = |text: String| (text.clone(), 0..text.len());
        match self {
            Self::Verbatim => all(secret.to_owned()),
            Self::Percent(tastes) => all(percent(tastes, false)),
            Self::Form(tastes) => all(percent(tastes, true)),
            Self::Json(tastes) => {
                let one = |(character, (escape, upper)): (char, &(bool, bool))| match character {
                    '"' | '\\' | '/' if !upper => format!("\\{character}"),
                    '"' | '\\' => format!("\\u{:04x}", u32::from(character)),
                    _ if !escape => character.to_string(),
                    _ => {
                        let units = character.encode_utf16(&mut [0; 2]).to_vec();
                        let unit = |unit: u16| if *upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                        units.into_iter().map(unit).collect()
                    }
                };
                all(secret.chars().zip(tastes.iter().cycle()).map(one).collect())
            }
            Self::Base64(before, after, alphabet, then) => {
                let bytes = [before, secret.as_bytes(), after].concat();
                let text = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD][*alphabet].encode(&bytes);
                let from = 8 * before.len() / 6;
                let to = (8 * (before.len() + secret.len())).div_ceil(6);
                let [before, inside, after] =
                    [&text[..from], &text[from..to], &text[to..]].map(|part| then.write(part).0);
                let range = before.len()..before.len() + inside.len();
                (format!("{before}{inside}{after}"), range)
            }
        }
    }
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_-]{8,40}", "[ -)+-~]{8,24}", "[ab]{8,10}", "[a-c/+%\"\\\\é€😀 ]{8,12}", "[!-)+-~]{100,200}"]
}

/// Around an echo: nothing that runs on into it.
fn around() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ -~\n]{0,40}[:;{<]", "[%\\\\u0d8-9 ]{0,12}[:;{<]"]
}

proptest! {
    #[test]
    fn no_echo_survives_however_it_is_written_and_cut(
        secret in secret(), echo in echo(), before in around(), after in around(), pieces in vec(1..30usize, 0..40),
    ) {
        let (written, hidden) = echo.write(&secret);
        let text = format!("{before}{written}:{after}");
        let given = redact(&[&secret], text.as_bytes(), pieces);
        prop_assert_eq!(given.len(), text.len());
        let from = before.len() + hidden.start;
        let to = before.len() + hidden.end;
        prop_assert!(given[from..to].iter().all(|byte| *byte == b'*'), "{:?}", String::from_utf8_lossy(&given));
    }

    #[test]
    fn it_is_what_the_reference_says_however_it_is_cut(
        secrets in vec(secret(), 1..4), echoes in vec((around(), echo()), 0..6), pieces in vec(1..30usize, 0..60),
    ) {
        let mut text = String::new();
        for ((before, echo), secret) in echoes.iter().zip(secrets.iter().cycle()) {
            text.push_str(before);
            text.push_str(&echo.write(secret).0);
        }
        let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
        let expected = reference::redact(&secrets, text.as_bytes());
        prop_assert_eq!(redact(&secrets, text.as_bytes(), pieces), &expected[..]);
        prop_assert_eq!(redact(&secrets, text.as_bytes(), []), expected);
    }

    #[test]
    fn soup_is_what_the_reference_says(
        secret in "[ab\\\\/%+ u0-2]{1,4}", text in "([ab\\\\/%+ u0-2\n]|%61|%62|\\\\u006[12]|YWI|FhY|hYm){0,60}",
        pieces in vec(1..9usize, 0..40),
    ) {
        let expected = reference::redact(&[&secret], text.as_bytes());
        prop_assert_eq!(redact(&[&secret], text.as_bytes(), pieces), expected);
    }

    #[test]
    fn what_holds_no_secret_is_left_as_it_is(text in vec(any::<u8>(), 0..300), pieces in vec(1..30usize, 0..40)) {
        prop_assert_eq!(redact(&["hunter2-hunter2"], &text, pieces), text);
    }
}
