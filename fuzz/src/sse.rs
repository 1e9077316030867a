//! The decoder of server-sent events against the standard's algorithm, at arbitrary splits.
//!
//! The first byte of the input says how many bytes make a piece, so that one corpus entry can be
//! cut in many ways.

use exoclaw::net::sse;

#[path = "../../host/src/net/sse/reference.rs"]
mod reference;

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

/// Whether there was an event.
pub fn run(input: &[u8]) -> bool {
    let Some((&size, stream)) = input.split_first() else { return false };
    let piece = usize::from(size).max(1);
    let events = decode(stream, piece, LIMIT);
    assert_eq!(events, Ok(reference::parse(stream)));
    assert_eq!(decode(stream, piece, SMALL_LIMIT), decode(stream, 1, SMALL_LIMIT));
    events.is_ok_and(|events| !events.is_empty())
}
