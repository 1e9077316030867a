//! The decoder of server-sent events against the standard's algorithm, at arbitrary splits.
//!
//! The first byte of the input says how many bytes make a piece, so that one corpus entry can be
//! cut in many ways.

#![no_main]

// The decoder's own files, since the crate around them takes minutes to build under a sanitizer.
#[path = "../../host/src/net/sse/mod.rs"]
#[allow(dead_code, reason = "what the decoder offers besides is not fuzzed")]
mod sse;
#[path = "../../host/src/net/sse/reference.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;

/// Far above what one input holds.
const LIMIT: usize = 1 << 20;
/// Where inputs meet it.
const SMALL_LIMIT: usize = 16;

fn decode(stream: &[u8], piece: usize, limit: usize) -> Result<Vec<reference::Owned>, sse::TooLarge> {
    let mut decoder = sse::Decoder::new(limit);
    let mut events = Vec::new();
    for mut piece in stream.chunks(piece) {
        while let Some(event) = decoder.next(&mut piece)? {
            events.push((event.name.to_owned(), event.data.to_owned(), event.id.to_owned()));
        }
        assert!(piece.is_empty());
    }
    Ok(events)
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, stream)) = input.split_first() else { return };
    let piece = usize::from(size).max(1);
    assert_eq!(decode(stream, piece, LIMIT), Ok(reference::parse(stream)));
    assert_eq!(decode(stream, piece, SMALL_LIMIT), decode(stream, 1, SMALL_LIMIT));
});
