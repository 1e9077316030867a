//! Lines over TLS or TCP: each ends with LF or CRLF, and goes out with CRLF.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};

use super::outlet::{Content, Outlet, write};
use super::talk::{Ear, End, Over, Talk, both, briefly};
use crate::channel::outward::Address;
use crate::net::Stream;
use crate::runtime::bindings::channel::Frame;

/// What is read at once, in bytes.
const READ: usize = 8 << 10;

pub(super) async fn talk(talk: &mut Talk, address: &Address) -> Option<End> {
    let Talk { out, limits, headers, ear, ends, .. } = talk;
    let stream = match ends.unless_let_go(out.open(address, headers)).await? {
        Ok((stream, _)) => stream,
        Err(error) => return Some(End::of(error.to_string())),
    };
    ear.connected().await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = read(&mut reader, limits.frame, ear);
    let mut outlet = LineOutlet(&mut writer);
    let writing = write(&mut outlet, &mut ends.outgoing, None, limits.write);
    match both(&mut ends.closing, &mut ends.overrun, limits, reading, writing).await {
        Over::Ended(end) => Some(end),
        Over::LetGo(close) => {
            if close.is_some() {
                // TLS says goodbye, TCP sends what is left.
                briefly(limits, writer.shutdown()).await;
            }
            None
        }
    }
}

async fn read(reader: &mut (impl AsyncReadExt + Unpin), limit: usize, ear: &Ear) -> End {
    let mut decoder = LineDecoder::new(limit);
    let mut buffer = vec![0; READ];
    loop {
        let mut came = match reader.read(&mut buffer).await {
            Ok(0) if decoder.is_within() => return End::of("the platform hung up in the middle of a line"),
            Ok(0) => return End::of("the platform hung up"),
            Ok(count) => &buffer[..count],
            Err(error) => return End::of(format!("the connection broke: {error}")),
        };
        loop {
            match decoder.next(&mut came) {
                Ok(Some(line)) => {
                    let text = ear.hidden_text(Bytes::from(line)).await;
                    ear.frame(Frame::Text(text)).await;
                }
                Ok(None) => break,
                Err(TooLong) => return End::of(format!("a line has more than {limit} bytes")),
            }
        }
    }
}

/// A line is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// Cuts what comes into lines, wherever it is cut itself.
struct LineDecoder {
    limit: usize,
    line: Vec<u8>,
}

impl LineDecoder {
    fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new() }
    }

    /// Takes bytes from the front of `input` until a line has ended; none once all is taken.
    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, TooLong> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (head, rest) = match end {
            Some(end) => (&input[..end], &input[end + 1..]),
            None => (*input, &input[input.len()..]),
        };
        *input = rest;
        // A CR that may belong to the end does not count.
        if self.line.len() + head.len() > self.limit + 1 {
            return Err(TooLong);
        }
        self.line.extend_from_slice(head);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > self.limit { Err(TooLong) } else { Ok(Some(line)) }
    }

    /// Whether a line has begun.
    fn is_within(&self) -> bool {
        !self.line.is_empty()
    }
}

struct LineOutlet<'a>(&'a mut WriteHalf<Stream>);

impl Outlet for LineOutlet<'_> {
    async fn put(&mut self, content: Content) -> Result<(), String> {
        // No other content passes the check.
        let Content::Text(line) = content else { return Ok(()) };
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(line.expose().len() + 2));
        bytes.extend_from_slice(line.expose().as_bytes());
        bytes.extend_from_slice(b"\r\n");
        let writing = async {
            self.0.write_all(&bytes).await?;
            self.0.flush().await
        };
        writing.await.map_err(|error| format!("the connection broke: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]], limit: usize) -> Result<(Vec<String>, bool), TooLong> {
        let mut decoder = LineDecoder::new(limit);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(line) = decoder.next(&mut input)? {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
        Ok((lines, decoder.is_within()))
    }

    #[test]
    fn lines_are_the_same_wherever_the_stream_is_cut() {
        let stream = ":a PRIVMSG #b :\u{e4}\u{1f980}\r\nlf\n\r\n\nx\r\r\npart".as_bytes();
        let expected = (vec![":a PRIVMSG #b :\u{e4}\u{1f980}", "lf", "", "", "x\r"], true);
        for cut in 0..=stream.len() {
            let (one, other) = stream.split_at(cut);
            let (lines, within) = lines(&[one, other], 100).unwrap();
            assert_eq!((lines.iter().map(String::as_str).collect(), within), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(lines(&bytes, 100).unwrap().0, expected.0);
    }

    #[test]
    fn a_line_has_at_most_the_limit_and_its_end_does_not_count() {
        for line in ["12345\r\n", "12345\n"] {
            for size in 1..=line.len() {
                let pieces: Vec<&[u8]> = line.as_bytes().chunks(size).collect();
                assert_eq!(lines(&pieces, 5).unwrap().0, ["12345"], "{line:?} in pieces of {size}");
                assert_eq!(lines(&pieces, 4), Err(TooLong), "{line:?} in pieces of {size}");
            }
        }
        assert_eq!(lines(&[b"1234567"], 5), Err(TooLong), "no end is waited for");
    }
}
