use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;

use super::*;

/// Texts, and their tokens in `o200k_base` and `cl100k_base`: by tiktoken 0.14, and of the second to the sixth and the
/// seventh also in OpenAI's cookbook ("How to count tokens with tiktoken").
const PUBLISHED: &[(&str, u64, u64)] = &[
    ("", 0, 0),
    ("a", 1, 1),
    ("hello world", 2, 2),
    ("tiktoken is great!", 6, 6),
    ("antidisestablishmentarianism", 6, 6),
    ("2 + 2 = 4", 7, 7),
    ("お誕生日おめでとう", 8, 9),
    ("don't DON'T I'll we've", 4, 8),
    ("  leading and trailing  ", 5, 5),
    ("\n\n\n", 1, 1),
    ("a\r\n  \r\nb   c", 6, 6),
    ("fn main() {\n    println!(\"hi\");\n}\n", 10, 10),
    ("{\"id\":17,\"list\":[1,2.5,null],\"ok\":true}", 18, 18),
    ("人工智能正在改变我们的生活方式。", 8, 14),
    ("Привет, как дела?", 6, 8),
    ("مرحبا بالعالم", 4, 10),
    ("नमस्ते दुनिया", 5, 13),
    ("👍🏽👨\u{200d}👩\u{200d}👧\u{200d}👦 🇨🇭 ❤\u{fe0f}", 19, 32),
    ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk", 29, 30),
    ("3.14159265358979323846", 9, 9),
    ("e\u{301}\u{301}\u{301} Zalgo", 6, 6),
    ("HTTPServerErrorΣίσυφος", 7, 10),
    ("\u{a0}\u{3000}\u{2028}x", 4, 5),
    ("ſ'ſ's", 4, 6),
    ("1234567 89", 5, 5),
];

#[test]
fn texts_of_every_kind_count_as_published() {
    for (text, o200k, cl100k) in PUBLISHED {
        assert_eq!(Encoding::O200kBase.count(text), *o200k, "{text:?}");
        assert_eq!(Encoding::Cl100kBase.count(text), *cl100k, "{text:?}");
    }
}

#[test]
fn what_looks_like_a_special_token_is_text() {
    for (text, tokens) in [("<|endoftext|>", 7), ("<|im_start|>user<|im_end|>", 13)] {
        assert_eq!(Encoding::O200kBase.count(text), tokens);
        assert_eq!(Encoding::Cl100kBase.count(text), tokens);
    }
}

#[test]
fn the_same_over_and_over_counts_as_published() {
    let texts = [
        ("a", 1_000, 125, 125),
        (" ", 1_000, 9, 9),
        ("\n", 1_000, 63, 32),
        ("=", 1_000, 16, 17),
        ("中", 1_000, 1_000, 1_000),
        ("x ", 1_000, 1_001, 1_001),
        ("🦀", 300, 900, 900),
    ];
    for (unit, times, o200k, cl100k) in texts {
        let text = unit.repeat(times);
        assert_eq!(Encoding::O200kBase.count(&text), o200k, "{unit:?}");
        assert_eq!(Encoding::Cl100kBase.count(&text), cl100k, "{unit:?}");
    }
}

/// The digests in tiktoken's `openai_public.py`.
#[test]
fn the_tables_are_the_published_ones() {
    let files = [
        (Encoding::O200kBase, "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
        (Encoding::Cl100kBase, "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
    ];
    for (encoding, published) in files {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for (rank, (_, token)) in Vocabulary::places(encoding.tokens()).enumerate() {
            digest.update(format!("{} {rank}\n", BASE64.encode(token)).as_bytes());
        }
        assert_eq!(HEXLOWER.encode(digest.finish().as_ref()), published, "{encoding:?}");
    }
}

proptest! {
    /// Whatever the text.
    #[test]
    fn every_text_has_a_count_that_its_bytes_bound(text in "(\\PC|[ \r\n\t])*") {
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            let tokens = encoding.count(&text);
            prop_assert!(tokens <= text.len() as u64);
            prop_assert_eq!(tokens == 0, text.is_empty());
        }
    }

    #[test]
    fn a_line_that_follows_adds_its_own_tokens(first in "[a-z]{1,12}", second in "[a-z]{1,12}") {
        let text = format!("{first}\n{second}");
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            prop_assert_eq!(encoding.count(&text), encoding.count(&first) + 1 + encoding.count(&second));
        }
    }
}
