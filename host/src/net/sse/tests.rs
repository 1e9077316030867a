//! The decoder against the standard's examples and against the reference, at every split.

use proptest::prelude::*;

use super::reference::{Owned, parse};
use super::*;

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
    let mut decoder = Decoder::new(1 << 16);
    let mut events = Vec::new();
    for mut piece in pieces {
        while let Some(event) = decoder.next(&mut piece).expect("within the limit") {
            events.push((event.name.to_owned(), event.data.to_owned(), event.id.to_owned()));
        }
        assert!(piece.is_empty());
    }
    events
}

fn event(name: &str, data: &str, id: &str) -> Owned {
    (name.to_owned(), data.to_owned(), id.to_owned())
}

#[test]
fn the_examples_of_the_standard_read_as_it_says() {
    let stocks = b"data: YHOO\ndata: +2\ndata: 10\n\n";
    assert_eq!(decode([&stocks[..]]), [event("message", "YHOO\n+2\n10", "")]);
    let ids = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n";
    assert_eq!(decode([&ids[..]]), [event("message", "first event", "1"), event("message", "second event", "")]);
    let empty = b"data\n\ndata\ndata\n\ndata:";
    assert_eq!(decode([&empty[..]]), [event("message", "", ""), event("message", "\n", "")]);
    let spaces = decode([&b"data:test\n\ndata: test\n\n"[..]]);
    assert_eq!(spaces, [event("message", "test", ""), event("message", "test", "")]);
}

#[test]
fn every_split_of_a_hard_stream_gives_the_same_events() {
    let stream = "\u{FEFF}: hello\r\nevent: a\rdata: grüße 🦀\r\n\r\ndata: x\rdata: y\r\r\n\u{FEFF}data: no\n\
                  id: 7\nretry: 250\nevent: b\ndata:{\"k\":1}\n\n\nevent: lost\n\ndata: İ\r\n\r"
        .as_bytes();
    let whole = decode([stream]);
    assert_eq!(whole, parse(stream));
    assert_eq!(whole.len(), 4);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(decode(pieces), whole, "split at {first} and {second}");
        }
    }
    assert_eq!(decode(stream.chunks(1)), whole);
}

#[test]
fn a_byte_order_mark_counts_at_the_start_alone() {
    assert_eq!(decode([&b"\xEF"[..], b"\xBB", b"\xBFdata: a\n\n"]), [event("message", "a", "")]);
    assert_eq!(decode([&b"\n\xEF\xBB\xBFdata: a\n\n"[..]]), []);
    assert_eq!(decode([&b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n"[..]]), []);
}

#[test]
fn an_event_is_there_as_soon_as_a_lone_cr_ends_it() {
    let mut decoder = Decoder::new(64);
    let mut piece: &[u8] = b"data: a\r\r";
    assert_eq!(decoder.next(&mut piece), Ok(Some(Event { name: "message", data: "a", id: "" })));
    let mut rest: &[u8] = b"\ndata: b\n\n";
    assert_eq!(decoder.next(&mut rest), Ok(Some(Event { name: "message", data: "b", id: "" })));
}

#[test]
fn what_exceeds_the_limit_is_an_error_at_every_split() {
    let long_line = [b"data: ".as_slice(), &[b'x'; 60], b"\n\n"].concat();
    let long_event = b"data: 0123456789\n".repeat(8);
    let endless_comment = [b':'; 200];
    for stream in [long_line.as_slice(), &long_event, &endless_comment] {
        for size in 1..stream.len() {
            let mut decoder = Decoder::new(64);
            let failed = stream.chunks(size).any(|mut piece| decoder.next(&mut piece) == Err(TooLarge { limit: 64 }));
            assert!(failed, "pieces of {size}");
        }
    }
}

#[test]
fn a_retry_that_is_no_number_changes_nothing() {
    let mut decoder = Decoder::new(64);
    let mut input: &[u8] = b"retry: 1500\nretry: soon\nretry:\nretry: 99999999999999999999\n";
    assert_eq!(decoder.next(&mut input), Ok(None));
    assert_eq!(decoder.retry(), Some(Duration::from_millis(1500)));
}

/// Streams made of what matters to the decoder, with some noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "\r", "\n", "\r\n", "\n\n", ":", " ", "data", "data:", "data: ", "event: ", "id: ", "retry: 5", "\0", "é",
            "🦀", "\u{FEFF}", "x",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_of_any_stream_gives_what_the_reference_gives(
        stream in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let bounds = std::iter::once(0).chain(cuts.iter().copied()).zip(cuts.iter().copied().chain([stream.len()]));
        let whole = parse(&stream);
        prop_assert_eq!(&decode(bounds.map(|(from, to)| &stream[from..to])), &whole);
        prop_assert_eq!(&decode(stream.chunks(1)), &whole);
    }
}
