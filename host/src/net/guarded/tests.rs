//! The way out, over real sockets.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::socket::Peer;
use super::*;
use crate::config::{NetConfig, Origin};
use crate::net::testing::{Reply, Server};
use crate::net::{AddressKind, Client, Scope, TimeoutPhase};

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/fixtures/ca.pem");

const FAR: Duration = Duration::from_secs(60);

/// A resolver that gives these answers, one a question, and the last one for ever.
#[derive(Default)]
struct Answers {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(parse).collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolve for Answers {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn client(scope: Scope, resolver: &Arc<Answers>) -> GuardedClient {
    let config = NetConfig { ca_file: Some(PathBuf::from(CA)) };
    let resolver: Arc<dyn Resolve> = Arc::<Answers>::clone(resolver);
    Client::new(&config).unwrap().with_resolver(resolver).guarded(Arc::new(move |_: &Origin| Some(scope)))
}

fn deadlines() -> OutDeadlines {
    OutDeadlines { connect: FAR, response: FAR, idle: FAR, end: Instant::now() + FAR }
}

fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

async fn send(
    client: &GuardedClient,
    uri: &str,
    body: RequestBody,
    deadlines: OutDeadlines,
) -> Result<hyper::Response<ResponseBody>, OutError> {
    let request = Request::post(uri).body(body).unwrap();
    let origin = Origin::of(request.uri()).unwrap();
    client.send(&origin, request, deadlines).await
}

async fn get(client: &GuardedClient, uri: &str) -> Result<hyper::Response<ResponseBody>, OutError> {
    send(client, uri, no_body(), deadlines()).await
}

async fn fault(client: &GuardedClient, uri: &str) -> Fault {
    get(client, uri).await.map(|response| response.status()).expect_err("it was sent").fault
}

/// The address of a server, by another name.
fn named(server: &Server, name: &str) -> String {
    server.base_url().replace("127.0.0.1", name)
}

/// Waits for a request.
async fn arrived(server: &Server) {
    while server.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn closing() -> Reply {
    Reply::whole(200, &[("connection", "close")], "")
}

#[tokio::test]
async fn a_name_server_that_changes_its_mind_gains_nothing() {
    let server = Server::start([closing(), closing(), closing()]).await;
    let resolver = Answers::of(&[&["127.0.0.1"], &["169.254.169.254"], &["169.254.169.254", "127.0.0.1"]]);
    let client = client(Scope::Private, &resolver);
    let uri = named(&server, "rebind.test");

    // One look-up for a connection: the address that was checked is the one that is connected to.
    let response = get(&client, &uri).await.unwrap();
    assert!(response.extensions().get::<Peer>().unwrap().0.ip().is_loopback());
    response.into_body().collect().await.unwrap();
    assert_eq!(resolver.asked(), 1);

    let refused = fault(&client, &uri).await;
    assert!(matches!(refused, Fault::Prohibited { kind: AddressKind::Metadata, .. }), "{refused:?}");
    assert_eq!((resolver.asked(), server.requests().len()), (2, 1));

    // Among several addresses, only those that may be connected to are tried.
    let response = get(&client, &uri).await.unwrap();
    assert!(response.extensions().get::<Peer>().unwrap().0.ip().is_loopback());
    assert_eq!((resolver.asked(), server.requests().len()), (3, 2));
    assert_eq!(server.requests()[1].header("host"), Some(&uri["http://".len()..]));
}

#[tokio::test]
async fn a_public_name_that_leads_home_is_refused_before_a_connection_is_made() {
    let server = Server::start([closing()]).await;
    let resolver = Answers::of(&[&["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1"]]);
    let refused = fault(&client(Scope::Public, &resolver), &named(&server, "home.test")).await;
    assert!(matches!(refused, Fault::Prohibited { kind: AddressKind::Loopback, .. }), "{refused:?}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_address_is_connected_to_when_it_is_the_named_one() {
    let server = Server::start([closing(), closing()]).await;
    let resolver = Answers::of(&[]);
    let named = client(Scope::Exactly("127.0.0.1".parse().unwrap()), &resolver);
    assert_eq!(get(&named, &server.base_url()).await.unwrap().status(), 200);
    let other = client(Scope::Exactly("127.0.0.2".parse().unwrap()), &resolver);
    assert!(matches!(fault(&other, &server.base_url()).await, Fault::Prohibited { .. }));
    assert_eq!((resolver.asked(), server.requests().len()), (0, 1));
}

#[tokio::test]
async fn a_dead_address_costs_no_more_than_its_turn() {
    let server = Server::start([closing()]).await;
    // Nothing listens at the first two.
    let resolver = Answers::of(&[&["::1", "127.0.0.2", "127.0.0.1"]]);
    let response = get(&client(Scope::Private, &resolver), &named(&server, "many.test")).await.unwrap();
    assert_eq!(response.extensions().get::<Peer>().unwrap().0.ip().to_string(), "127.0.0.1");
}

#[tokio::test]
async fn an_unknown_name_an_empty_port_and_a_policy_that_says_no_each_have_their_own_fault() {
    let unknown = client(Scope::Private, &Answers::of(&[]));
    assert!(matches!(fault(&unknown, "http://nowhere.test/").await, Fault::Name(_)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let local = client(Scope::Private, &Answers::of(&[]));
    assert!(matches!(fault(&local, &format!("http://{address}/")).await, Fault::Refused));
    let none = Client::new(&NetConfig::default()).unwrap().guarded(Arc::new(|_: &Origin| None));
    assert!(matches!(fault(&none, &format!("http://{address}/")).await, Fault::NotGranted));
}

#[tokio::test]
async fn two_clients_share_no_connection_and_one_keeps_its_own() {
    let server = Server::start((0..3).map(|_| Reply::whole(200, &[], "ok"))).await;
    let resolver = Answers::of(&[&["127.0.0.1"]]);
    let (one, other) = (client(Scope::Private, &resolver), client(Scope::Private, &resolver));
    let uri = named(&server, "shared.test");
    for client in [&one, &one, &other] {
        get(client, &uri).await.unwrap().into_body().collect().await.unwrap();
    }
    let connections: Vec<_> = server.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let server = Server::start([Reply::whole(302, &[("location", "http://169.254.169.254/")], "")]).await;
    let client = client(Scope::Private, &Answers::of(&[&["127.0.0.1"]]));
    let response = get(&client, &named(&server, "moved.test")).await.unwrap();
    assert_eq!((response.status().as_u16(), server.requests().len()), (302, 1));
}

#[tokio::test]
async fn silence_ends_at_each_deadline() {
    let server =
        Server::start([Reply::silence(), Reply::events(b"data", 9).hang(), Reply::events(b"data", 9).hang()]).await;
    let client = client(Scope::Private, &Answers::of(&[&["127.0.0.1"]]));
    let uri = named(&server, "slow.test");
    let soon = Duration::from_millis(50);

    let late = send(&client, &uri, no_body(), OutDeadlines { response: soon, ..deadlines() }).await;
    let late = late.map(drop).unwrap_err();
    assert!(matches!(late.fault, Fault::Timeout { phase: TimeoutPhase::Response, .. }), "{late}");
    server.hung_up().await;

    for (idle, end) in [(soon, FAR), (FAR, Duration::from_secs(2))] {
        let deadlines = OutDeadlines { idle, end: Instant::now() + end, ..deadlines() };
        let response = send(&client, &uri, no_body(), deadlines).await.unwrap();
        let late = response.into_body().collect().await.map(drop).unwrap_err();
        assert!(matches!(late.fault, Fault::Timeout { phase: TimeoutPhase::Idle, .. }), "{late}");
        server.hung_up().await;
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_is_hung_up() {
    let server = Server::start([Reply::silence()]).await;
    let client = client(Scope::Private, &Answers::of(&[&["127.0.0.1"]]));
    let uri = named(&server, "x.test");
    tokio::select! {
        _ = get(&client, &uri) => panic!("nothing was answered"),
        () = arrived(&server) => {}
    }
    server.hung_up().await;
}

#[tokio::test]
async fn connections_end_with_their_client_also_those_in_use() {
    let server = Server::start([Reply::events(b"data", 9).hang()]).await;
    let client = client(Scope::Private, &Answers::of(&[&["127.0.0.1"]]));
    let response = get(&client, &named(&server, "x.test")).await.unwrap();
    drop(client);
    server.hung_up().await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_body_goes_out_as_it_comes_and_one_that_breaks_is_not_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://stream.test:{}/", listener.local_addr().unwrap().port());
    let client = client(Scope::Private, &Answers::of(&[&["127.0.0.1"]]));
    let (parts, body) = tokio::sync::mpsc::channel(1);
    let body = stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
    let body = StreamBody::new(body).boxed_unsync();
    let sending = tokio::spawn(async move { send(&client, &uri, body, deadlines()).await.map(drop) });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    parts.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.unwrap();
    while !read.ends_with(b"first\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
    parts.send(Err("cut".into())).await.unwrap();
    assert!(matches!(sending.await.unwrap().unwrap_err().fault, Fault::Broken(_)));
    stream.read_to_end(&mut read).await.unwrap();
    assert!(read.ends_with(b"first\r\n"), "{}", String::from_utf8_lossy(&read));
}

#[tokio::test]
async fn a_head_without_end_a_protocol_that_nobody_asked_for_and_no_http_are_faults() {
    let filler = format!("x-filler: {}\r\n", "x".repeat(1_000));
    let endless = format!("HTTP/1.1 200 OK\r\n{}", filler.repeat(100));
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_owned();
    for (answer, expected) in
        [(endless, "HeadTooLarge"), (switched, "Protocol"), ("SSH-2.0-x\r\n\r\n".into(), "Protocol")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://odd.test:{}/", listener.local_addr().unwrap().port());
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            // The client may leave in the middle.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.read(&mut [0]).await;
        }));
        let fault = fault(&client(Scope::Private, &Answers::of(&[&["127.0.0.1"]])), &uri).await;
        assert!(format!("{fault:?}").starts_with(expected), "{fault:?}");
        drop(serving);
    }
}

/// A server over TLS for `service.test` that speaks `alpn` and answers with what it was asked by.
async fn tls_server(alpn: &[u8]) -> (u16, AbortOnDropHandle<()>) {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../fixtures/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../fixtures/server.key")).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let h2 = alpn == b"h2";
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // A client that does not believe the certificate leaves here.
                let Ok(stream) = acceptor.accept(socket).await else { return };
                serve(stream, h2).await;
            });
        }
    });
    (port, AbortOnDropHandle::new(task))
}

async fn serve(stream: TlsStream<TcpStream>, h2: bool) {
    let server_name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.or_else(|| Some(request.headers().get("host")?.to_str().ok()?.to_owned()));
        let answer = format!("{:?} {server_name} {}", request.version(), host.unwrap_or_default());
        async move { Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(answer)))) }
    });
    let io = TokioIo::new(stream);
    // The client's going away is how a connection ends here.
    let _ = match h2 {
        true => hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
        false => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
    };
}

#[tokio::test]
async fn tls_and_host_go_by_the_name_though_the_connection_went_to_an_address() {
    for (alpn, version) in [(&b"h2"[..], "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
        let (port, _server) = tls_server(alpn).await;
        let client = client(Scope::Private, &Answers::of(&[&["127.0.0.1"]]));
        let response = get(&client, &format!("https://SERVICE.test:{port}/")).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("{version} service.test service.test:{port}"));

        let other = fault(&client, &format!("https://other.test:{port}/")).await;
        assert!(matches!(other, Fault::Certificate(_)), "{other:?}");
    }
}
