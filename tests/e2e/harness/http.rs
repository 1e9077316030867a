//! Just enough of HTTP/1.1, by hand, so that a test decides about every byte on the wire.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Gate, within};

/// A request as it came.
#[derive(Debug)]
pub(crate) struct RawRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What a server says, step by step.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// One HTTP chunk, flushed.
    Bytes(Vec<u8>),
    /// Nothing until the gate is open.
    Wait(Gate),
    /// Closes the connection in the middle of the body.
    Cut,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".into(), content_type.into())];
        Self { status, headers, steps: vec![Step::Bytes(body.into())] }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// All bytes of the body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = |step: &Step| match step {
            Step::Bytes(bytes) => bytes.clone(),
            Step::Wait(_) | Step::Cut => Vec::new(),
        };
        self.steps.iter().flat_map(bytes).collect()
    }

    /// The same body in other pieces.
    pub(crate) fn in_pieces<P: AsRef<[u8]>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.steps = pieces.into_iter().map(|piece| Step::Bytes(piece.as_ref().to_vec())).collect();
        self
    }
}

/// The reading side of a connection.
pub(crate) struct Reader<S = OwnedReadHalf> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The connection, and what was read of it beyond the last request.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// The next request; `None` where the client has closed the connection.
    pub(crate) async fn request(&mut self) -> io::Result<Option<RawRequest>> {
        let Some(head) = self.head().await? else { return Ok(None) };
        let (first, headers) = parse_head(&head)?;
        let mut words = first.split(' ');
        let (Some(method), Some(path), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(invalid(format!("no request line: {first}")));
        };
        let body = self.body(&headers).await?;
        Ok(Some(RawRequest { method: method.into(), path: path.into(), headers, body }))
    }

    /// Returns when the client hangs up.
    pub(crate) async fn closed(&mut self) {
        while matches!(self.fill().await, Ok(1..)) {}
    }

    async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).map(Some).map_err(|_| invalid("a head that is not UTF-8"));
            }
            if self.fill().await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    async fn body(&mut self, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
        if let Some(length) = header(headers, "content-length") {
            let length = length.parse().map_err(|_| invalid(format!("a content-length of {length}")))?;
            return self.exactly(length).await;
        }
        if header(headers, "transfer-encoding") != Some("chunked") {
            return Ok(Vec::new());
        }
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let length = usize::from_str_radix(&line, 16).map_err(|_| invalid(format!("a chunk of {line} bytes")))?;
            body.extend(self.exactly(length).await?);
            if !self.line().await?.is_empty() {
                return Err(invalid("a chunk that does not end where it says"));
            }
            if length == 0 {
                return Ok(body);
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| invalid("a line that is not UTF-8"));
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }
}

/// Writes an answer, chunked, and leaves the connection open unless the answer cuts it.
pub(crate) async fn write(stream: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<Written> {
    let mut head = format!("HTTP/1.1 {} Whatever\r\ntransfer-encoding: chunked\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    for step in &answer.steps {
        match step {
            // An empty chunk would be the end.
            Step::Bytes(bytes) if bytes.is_empty() => {}
            Step::Bytes(bytes) => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                stream.write_all(&chunk).await?;
            }
            Step::Wait(gate) => gate.opened().await,
            Step::Cut => return Ok(Written::Cut),
        }
    }
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(Written::Whole)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Whole,
    Cut,
}

/// A response, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// `GET path`, with `Host` as an address's own unless `headers` has one.
pub(crate) async fn fetch(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Fetched> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("host: {address}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        let end = find(&response, b"\r\n\r\n").ok_or_else(|| invalid("a response without a head"))?;
        let (first, _) = parse_head(&String::from_utf8_lossy(&response[..end + 4]))?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| invalid(format!("no status line: {first}")))?;
        Ok(Fetched { status, body: String::from_utf8_lossy(&response[end + 4..]).into_owned() })
    };
    within("an HTTP response", exchange).await
}

pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The first line, and the headers.
fn parse_head(head: &str) -> io::Result<(String, Vec<(String, String)>)> {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("no header: {line}")))?;
        Ok((name.to_owned(), value.trim().to_owned()))
    };
    Ok((first, lines.map(header).collect::<io::Result<_>>()?))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
