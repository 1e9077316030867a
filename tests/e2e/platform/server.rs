//! What all platforms are served by: HTTP/1.1 and WebSocket on loopback, over TLS or without, misbehaving as the
//! test has planned.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use percent_encoding::percent_decode_str;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::desk::{Desk, Trouble};
use crate::harness::http::{self, RawRequest, Reader};
use crate::harness::within;

/// The authority that signed what [`Scheme::Tls`] shows, for `[net] ca_file`.
pub(crate) const CA_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/fixtures/ca.pem");

/// How a platform is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Plain,
    Tls,
}

impl Scheme {
    pub(crate) fn http(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls => "https",
        }
    }

    pub(crate) fn ws(self) -> &'static str {
        match self {
            Self::Plain => "ws",
            Self::Tls => "wss",
        }
    }
}

/// A connection, whichever way it came.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A WebSocket, seen from the platform.
pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// A request, as a platform reads it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// No other request to this platform has it.
    pub(crate) number: u64,
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    fn new(number: u64, raw: RawRequest) -> Self {
        let RawRequest { method, path, headers, body } = raw;
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        Self { number, method, path: path.to_owned(), query: pairs(query), headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The media type of its body, without parameters.
    pub(crate) fn media_type(&self) -> &str {
        let whole = self.header("content-type").unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim()
    }

    /// The path's parts, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        self.path.split('/').skip(1).map(decode).collect()
    }

    fn is_upgrade(&self) -> bool {
        self.header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
    }
}

/// Names and values of `application/x-www-form-urlencoded`.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

/// What a platform answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().into_bytes())
    }

    pub(crate) fn bytes(status: u16, media_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type".into(), media_type.into())], body }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn on_the_wire(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        // RFC 9110, 8.6: none with 204.
        if self.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// A platform's own rules.
pub(crate) trait Platform: Send + Sync + 'static {
    fn desk(&self) -> &Desk;

    /// What a request asks for, under the name by which a test plans troubles.
    fn operation(&self, request: &Request) -> String;

    /// Carries a request out. Whatever it changes, it changes before it first waits.
    fn answer(&self, request: &Request) -> impl Future<Output = Answer> + Send;

    /// What is answered where nothing is.
    fn unserved(&self, request: &Request) -> Answer {
        self.desk().violation(format!("nothing is served to {} at {}", request.method, request.path));
        Answer::empty(404)
    }

    /// Whether a WebSocket may be opened here; else what is answered instead.
    fn admits(&self, request: &Request) -> Result<(), Answer> {
        self.desk().violation(format!("no WebSocket is served at {}", request.path));
        Err(Answer::empty(404))
    }

    /// Serves a WebSocket to its end.
    fn converse(&self, _request: Request, _socket: Socket) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A platform that is served as long as this lives. What broke its rules fails the test.
pub(crate) struct Server<P: Platform> {
    address: SocketAddr,
    scheme: Scheme,
    platform: Arc<P>,
    /// How many connections are served.
    open: watch::Receiver<usize>,
    _task: JoinSet<()>,
}

impl<P: Platform> Server<P> {
    /// Serves what `platform` makes of the address that it has.
    pub(crate) async fn serve(scheme: Scheme, platform: impl FnOnce(SocketAddr) -> P) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let platform = Arc::new(platform(address));
        let mut task = JoinSet::new();
        let (count, open) = watch::channel(0);
        task.spawn(accept(listener, tls(scheme), Arc::clone(&platform), count));
        Self { address, scheme, platform, open, _task: task }
    }

    /// Waits until nobody is connected any more, and all that they have sent is carried out.
    pub(crate) async fn quiet(&self) {
        let quiet = async {
            // Connections are accepted in their order: behind this one, no earlier one waits for it.
            let mut last = TcpStream::connect(self.address).await.expect("the server listens");
            last.shutdown().await.expect("a live socket");
            let _ = last.read_to_end(&mut Vec::new()).await;
            drop(last);
            self.open.clone().wait_for(|open| *open == 0).await.map(|_| ()).expect("the server runs");
        };
        within("the last connection ends", quiet).await;
    }

    pub(super) fn platform(&self) -> &P {
        &self.platform
    }

    pub(crate) fn desk(&self) -> &Desk {
        self.platform.desk()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it is, without a path.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.http(), self.address)
    }
}

impl<P: Platform> Drop for Server<P> {
    fn drop(&mut self) {
        self.platform.desk().close(std::any::type_name::<P>());
    }
}

pub(crate) fn tls(scheme: Scheme) -> Option<TlsAcceptor> {
    if scheme == Scheme::Plain {
        return None;
    }
    let certificate = include_bytes!("../../../host/src/net/fixtures/server.pem");
    let key = include_bytes!("../../../host/src/net/fixtures/server.key");
    let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key that fits its certificate");
    Some(TlsAcceptor::from(Arc::new(config)))
}

async fn accept<P: Platform>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    platform: Arc<P>,
    open: watch::Sender<usize>,
) {
    let open = Arc::new(open);
    let numbers = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a live socket");
        let (tls, platform, numbers) = (tls.clone(), Arc::clone(&platform), Arc::clone(&numbers));
        let connection = Connection::new(&open);
        connections.spawn(async move {
            let _connection = connection;
            match tls {
                None => serve(Box::new(stream), &numbers, &*platform).await,
                // Who is killed in the middle of a handshake says no more.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(Box::new(stream), &numbers, &*platform).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A connection, counted as long as this lives.
struct Connection(Arc<watch::Sender<usize>>);

impl Connection {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn serve<P: Platform>(stream: Box<dyn Stream>, numbers: &AtomicU64, platform: &P) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = Reader::new(reader);
    loop {
        let raw = match reader.request().await {
            Ok(Some(raw)) => raw,
            Ok(None) => return,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return platform.desk().violation(format!("no HTTP/1.1 request: {error}"));
            }
            // Who is killed says no more, not even the end of a request.
            Err(_) => return,
        };
        let request = Request::new(numbers.fetch_add(1, Ordering::Relaxed), raw);
        if request.is_upgrade() {
            let refused = match platform.admits(&request) {
                Ok(()) => {
                    let (reader, unread) = reader.into_parts();
                    let stream = reader.unsplit(writer);
                    if let Some(socket) = upgrade(&request, stream, unread).await {
                        platform.converse(request, socket).await;
                    }
                    return;
                }
                Err(answer) => answer,
            };
            let _ = writer.write_all(&refused.on_the_wire()).await;
            return;
        }
        let answered = async {
            let answer = attend(platform, &request).await?;
            writer.write_all(&answer.on_the_wire()).await.ok()?;
            writer.flush().await.ok()
        };
        // A whole request is carried out, even where its sender is gone.
        tokio::select! {
            biased;
            answered = answered => match answered {
                Some(()) => platform.desk().answered(request.number),
                None => return,
            },
            () = reader.closed() => return,
        }
    }
}

/// What is answered to a request, unless the connection ends instead.
async fn attend<P: Platform>(platform: &P, request: &Request) -> Option<Answer> {
    let operation = platform.operation(request);
    match platform.desk().trouble(&operation) {
        None => {
            let answer = platform.answer(request).await;
            if let Some(lag) = platform.desk().lag_of(&operation) {
                tokio::time::sleep(lag).await;
            }
            Some(answer)
        }
        Some(Trouble::Refuse(answer)) => Some(answer),
        Some(Trouble::DropBefore) => None,
        Some(Trouble::DropAfter) => {
            platform.answer(request).await;
            None
        }
        Some(Trouble::AnswerLate(gate)) => {
            let answer = platform.answer(request).await;
            gate.opened().await;
            Some(answer)
        }
        Some(Trouble::ActLate(gate)) => {
            gate.opened().await;
            Some(platform.answer(request).await)
        }
    }
}

async fn upgrade(request: &Request, mut stream: Box<dyn Stream>, unread: Vec<u8>) -> Option<Socket> {
    let key = request.header("sec-websocket-key")?;
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    Some(WebSocketStream::from_partially_read(stream, unread, Role::Server, None).await)
}
