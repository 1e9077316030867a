//! For tests: a server on loopback that plays back raw bytes and records what it was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// `POST /v1/messages HTTP/1.1`.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Which connection brought it, counted from 0.
    pub(crate) connection: usize,
}

impl Recorded {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    writes: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// The next request may come.
    KeepAlive,
    /// The connection is closed.
    Close,
    /// Nothing more is written until the client goes away.
    Hang,
}

impl Reply {
    /// A status, some headers and a body of known length.
    pub(crate) fn whole(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self { writes: vec![format!("{head}\r\n{body}").into_bytes()], end: End::KeepAlive }
    }

    /// A 200 with an event stream, in chunks of at most `size` bytes, each written by itself.
    pub(crate) fn events(stream: &[u8], size: usize) -> Self {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut writes = vec![head.as_bytes().to_vec()];
        for chunk in stream.chunks(size.max(1)) {
            writes.push([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        writes.push(b"0\r\n\r\n".to_vec());
        Self { writes, end: End::KeepAlive }
    }

    /// Breaks the connection instead of ending the body.
    pub(crate) fn cut(mut self) -> Self {
        self.writes.pop();
        self.end = End::Close;
        self
    }

    /// Falls silent instead of ending the body.
    pub(crate) fn hang(mut self) -> Self {
        self.writes.pop();
        self.end = End::Hang;
        self
    }

    /// Falls silent before the head.
    pub(crate) fn silence() -> Self {
        Self { writes: Vec::new(), end: End::Hang }
    }
}

#[derive(Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Recorded>>,
    hung_up: Notify,
}

/// The server. It ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// Answers each request with the next of `replies`, and with nothing after the last.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { replies: Mutex::new(replies.into_iter().collect()), ..Shared::default() });
        let state = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                connections.spawn(serve(stream, number, Arc::clone(&state)));
            }
        });
        Self { address, shared, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().expect("not poisoned").clone()
    }

    /// Waits until a client has left a connection on which the server had fallen silent.
    pub(crate) async fn hung_up(&self) {
        self.shared.hung_up.notified().await;
    }
}

async fn serve(stream: TcpStream, connection: usize, shared: Arc<Shared>) {
    stream.set_nodelay(true).expect("a socket option");
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream, connection).await {
        shared.requests.lock().expect("not poisoned").push(request);
        let reply = shared.replies.lock().expect("not poisoned").pop_front().unwrap_or_else(Reply::silence);
        for write in &reply.writes {
            if stream.get_mut().write_all(write).await.is_err() {
                return;
            }
        }
        match reply.end {
            End::KeepAlive => {}
            End::Close => return,
            End::Hang => {
                let _ = stream.read(&mut [0]).await;
                shared.hung_up.notify_one();
                return;
            }
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Recorded> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Recorded { line: line.trim_end().to_owned(), headers, body, connection })
}
