//! Requests of a channel, over real sockets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::receive::DownloadError;
use super::testing::{LIMIT, TOKEN, get, outbound, outward, outward_with, template};
use super::*;
use crate::config::HttpGrant;
use crate::net::testing::{Reply, Server};
use crate::runtime::bindings::channel::{Body, Field, FieldValue, TransportError};

#[track_caller]
fn not_sent(outcome: channel::Outcome) -> String {
    match outcome {
        Err(TransportError::NotSent(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unanswered(outcome: channel::Outcome) -> String {
    match outcome {
        Err(TransportError::Unanswered(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// A port where nobody listens.
async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A server that reads for a while, answers these bytes, and hangs up.
async fn blunt(answer: &'static [u8]) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The client may leave first.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    (address, AbortOnDropHandle::new(task))
}

#[tokio::test]
async fn a_request_has_its_secrets_and_none_of_the_hosts_headers_and_the_answer_has_no_secret() {
    let echo = format!("it was {TOKEN}, or {}", data_encoding::BASE64.encode(TOKEN.as_bytes()));
    let reply = Reply::whole(201, &[("x-echo", TOKEN), ("x-plain", "kept"), ("keep-alive", "timeout=5")], &echo);
    let server = Server::start([reply]).await;
    let url = server.base_url();
    let mut request =
        outbound("POST", &format!("{url}/bot{{token}}/send?x=1"), Body::Text(template("{\"t\":\"{token}\"}")));
    request.headers = ["authorization", "host", "connection", "content-length", "transfer-encoding", "te", "expect"]
        .map(|name| (name.to_owned(), template(if name == "authorization" { "Bot {token}" } else { "1" })))
        .into();
    let answer = outward(&[&url]).send(&request, &NoFiles).await.unwrap();

    let seen = &server.requests()[0];
    assert_eq!(seen.line, format!("POST /bot{TOKEN}/send?x=1 HTTP/1.1"));
    assert_eq!(seen.header("authorization"), Some(format!("Bot {TOKEN}").as_str()));
    assert_eq!(seen.body, format!("{{\"t\":\"{TOKEN}\"}}").as_bytes());
    assert_eq!(seen.header("host"), Some(&url["http://".len()..]));
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    for gone in ["connection", "transfer-encoding", "te", "expect"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }

    assert_eq!(answer.status, 201);
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.starts_with("it was *") && !body.contains("abc") && body.len() == echo.len(), "{body}");
    let header = |name: &str| answer.headers.iter().find(|header| header.name == name).map(|h| h.value.as_str());
    assert_eq!(header("x-plain"), Some("kept"));
    assert_eq!(header("x-echo"), Some("*".repeat(TOKEN.len()).as_str()));
    assert_eq!(header("keep-alive"), None);
}

#[tokio::test]
async fn a_secret_is_hidden_also_where_the_request_had_none() {
    let server = Server::start([Reply::whole(200, &[], TOKEN)]).await;
    let answer = outward(&[&server.base_url()]).send(&get(&server.base_url()), &NoFiles).await.unwrap();
    assert_eq!(answer.body, "*".repeat(TOKEN.len()).as_bytes());
}

#[tokio::test]
async fn what_is_not_granted_or_not_named_is_not_sent() {
    let server = Server::start([Reply::whole(200, &[], "")]).await;
    let (url, other) = (server.base_url(), format!("http://{}", dead().await));
    let grant =
        HttpGrant { methods: vec![Method::POST], paths: vec!["/api".into()], ..HttpGrant::of(url.parse().unwrap()) };
    let granted = outward_with(&[&url, &other], vec![grant]);
    for (method, address) in [
        ("GET", format!("{url}/api/x")),
        ("POST", format!("{url}/other")),
        ("POST", format!("{url}/api/../other")),
        ("POST", other.clone()),
    ] {
        let refused = not_sent(granted.send(&outbound(method, &address, Body::Text(Vec::new())), &NoFiles).await);
        assert!(refused.contains("no grant allows"), "{refused}");
    }
    // What the owner granted counts only for what the channel said that it needs.
    let unnamed = outward_with(&[&other], vec![HttpGrant::of(url.parse().unwrap())]);
    let refused = not_sent(unnamed.send(&get(&url), &NoFiles).await);
    assert!(refused.contains("is not among the origins"), "{refused}");
    // A name that leads home needs more than a grant.
    let named = format!("http://home.test:{}", url.rsplit(':').next().unwrap());
    let public = outward_with(&[&named], vec![HttpGrant::of(named.parse().unwrap())]);
    let refused = not_sent(public.send(&get(&named), &NoFiles).await);
    assert!(refused.contains("private = true"), "{refused}");
    assert!(server.requests().is_empty());
    let sent = granted.send(&outbound("POST", &format!("{url}/api/x"), Body::Text(Vec::new())), &NoFiles).await;
    assert_eq!(sent.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_not_sent() {
    let url = "http://127.0.0.1:9";
    let out = outward(&[url, "ws://127.0.0.1:9"]);
    let with = |change: &dyn Fn(&mut Outbound)| {
        let mut request = get(url);
        change(&mut request);
        request
    };
    for (request, reason) in [
        (with(&|request| request.url.push(Piece::Secret("other".into()))), "must begin with its scheme and host"),
        (with(&|request| request.url = template("http://127.0.0.1:9/{token}#{token}")), ""),
        (with(&|request| request.headers.push(("x".into(), vec![Piece::Secret("other".into())]))), "is not among the"),
        (with(&|request| request.headers.push(("x".into(), template("a\r\nb: c")))), "no header may have"),
        (with(&|request| request.headers.push(("x y".into(), template("a")))), "no name of a header"),
        (with(&|request| request.headers.push(("x".into(), template(&"a".repeat(40_000))))), "larger than 32 KiB"),
        (with(&|request| request.method = "CONNECT".into()), "its method"),
        (with(&|request| request.method = "TRACK".into()), "its method"),
        (with(&|request| request.method = "a b".into()), "its method"),
        (with(&|request| request.url = template("ws://127.0.0.1:9/")), "goes to `https:`"),
        (with(&|request| request.body = Body::Bytes(vec![0; LIMIT as usize + 1])), "`[plugins.limits] body`"),
        (with(&|request| request.body = Body::File("x".into())), "there is none such"),
    ] {
        let refused = not_sent(out.send(&request, &NoFiles).await);
        assert!(refused.contains(reason), "{refused}");
        assert!(!refused.contains(TOKEN), "{refused}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let address = dead().await;
    let (silent, _silent) = {
        // TCP's handshake is the system's: TLS waits for ever.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (format!("https://{}", listener.local_addr().unwrap()), listener)
    };
    let (plain, _plain) = blunt(b"HTTP/1.1 200 OK\r\n\r\n").await;
    for (url, reason) in [
        (format!("http://{address}"), "refused"),
        ("http://nowhere.example:80".to_owned(), "not resolved"),
        (format!("https://{plain}"), "TLS"),
        (silent, "connecting took longer"),
    ] {
        let request = Outbound { timeout_ms: 300, ..get(&url) };
        let refused = not_sent(outward(&[&url]).send(&request, &NoFiles).await);
        assert!(refused.contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn once_it_may_have_been_sent_it_is_unanswered() {
    for (answer, reason) in [
        (&b""[..], ""),
        (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "broke"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", "larger than"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx", "encoded"),
    ] {
        let (address, _server) = blunt(answer).await;
        let url = format!("http://{address}");
        let told = unanswered(outward(&[&url]).send(&get(&url), &NoFiles).await);
        assert!(told.contains(reason), "{told}");
    }
    let long = "x".repeat(LIMIT as usize + 1);
    let server = Server::start([Reply::events(long.as_bytes(), 1 << 14), Reply::silence()]).await;
    let (url, out) = (server.base_url(), outward(&[&server.base_url()]));
    assert!(unanswered(out.send(&get(&url), &NoFiles).await).contains("larger than"));
    let late = unanswered(out.send(&Outbound { timeout_ms: 50, ..get(&url) }, &NoFiles).await);
    assert!(late.contains("took longer"), "{late}");
    server.hung_up().await;
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = Server::start([Reply::whole(302, &[("location", "http://169.254.169.254/")], "")]).await;
    let answer = outward(&[&server.base_url()]).send(&get(&server.base_url()), &NoFiles).await.unwrap();
    assert_eq!((answer.status, server.requests().len()), (302, 1));
}

/// A file of so many pieces of 64 KiB, which knows how many of them are held at once.
struct Counted {
    pieces: usize,
    said: u64,
    live: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    breaks: bool,
}

struct Piece64(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Piece64 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Piece64 {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Counted {
    fn new(pieces: usize) -> Self {
        let (live, most) = (Arc::default(), Arc::default());
        Self { pieces, said: (pieces as u64) << 16, live, most, breaks: false }
    }
}

impl FileSource for Counted {
    fn open<'a>(&'a self, _file: &'a str) -> BoxFuture<'a, Result<OpenFile, FileSourceError>> {
        let (live, most) = (self.live.clone(), self.most.clone());
        let pieces = stream::iter(0..self.pieces).map(move |number| {
            most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok(Bytes::from_owner(Piece64(vec![number as u8; 1 << 16], live.clone())))
        });
        let breaks = self.breaks.then(|| Err(io::Error::other("the disk is gone")));
        let body = pieces.chain(stream::iter(breaks)).boxed();
        let file = OpenFile { size: self.said, body };
        Box::pin(std::future::ready(Ok(file)))
    }
}

fn form() -> Body {
    let text = |name: &str, value: &str| Field {
        name: name.into(),
        filename: None,
        mime_type: None,
        value: FieldValue::Text(template(value)),
    };
    let file = Field {
        name: "document".into(),
        filename: Some("a \"b\".bin".into()),
        mime_type: Some("application/pdf".into()),
        value: FieldValue::File("f".into()),
    };
    Body::Form(vec![text("chat", "42"), file, text("caption", "by {token}")])
}

#[tokio::test]
async fn ten_megabytes_go_out_in_a_form_without_being_held() {
    let server = Server::start([Reply::whole(200, &[], "")]).await;
    let file = Counted::new(160);
    let request = outbound("POST", &server.base_url(), form());
    let answer = outward(&[&server.base_url()]).send(&request, &file).await.unwrap();
    assert_eq!(answer.status, 200);
    let most = file.most.load(Ordering::SeqCst);
    assert!(most <= 8, "{most} pieces of 160 were held at once");
    assert_eq!(file.live.load(Ordering::SeqCst), 0);

    let seen = &server.requests()[0];
    let boundary = seen.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"chat\"\r\n\r\n42\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"document\"; filename=\"a %22b%22.bin\"\r\n\
         Content-Type: application/pdf\r\n\r\n"
    );
    let tail = format!(
        "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nby {TOKEN}\r\n--{boundary}--\r\n"
    );
    let file = seen.body.strip_prefix(head.as_bytes()).unwrap().strip_suffix(tail.as_bytes()).unwrap();
    assert_eq!(file.len(), 160 << 16);
    assert!(file.chunks(1 << 16).enumerate().all(|(number, piece)| piece.iter().all(|byte| *byte == number as u8)));
}

#[tokio::test]
async fn a_file_that_is_not_what_it_said_is_broken_off() {
    let sources = [
        Counted { breaks: true, said: 10 << 16, ..Counted::new(3) },
        Counted { said: (3 << 16) + 1, ..Counted::new(3) },
        Counted { said: (3 << 16) - 1, ..Counted::new(3) },
    ];
    for source in sources {
        let server = Server::start([Reply::whole(200, &[], "")]).await;
        for body in [form(), Body::File("f".into())] {
            let request = outbound("POST", &server.base_url(), body);
            unanswered(outward(&[&server.base_url()]).send(&request, &source).await);
        }
        assert!(server.requests().is_empty(), "no whole request arrived");
    }
}

#[tokio::test]
async fn a_sessions_file_is_streamed_from_the_store() {
    use crate::store::*;
    let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let session = SessionKey::new("main", "x", "y", "z").unwrap();
    let accept = Accept {
        session: session.clone(),
        turn: TurnId::new(Timestamp(1), 1),
        message: Arc::new(Message::text(Role::User, "hello")),
        destination: None,
        begin: None,
        idempotency: None,
        epoch: Epoch(0),
        now: Timestamp(1),
    };
    store.accept(accept).await.unwrap();
    let id = FileId::new(7);
    let content: Vec<u8> = (0..700_000_u32).map(|byte| (byte % 251) as u8).collect();
    let file = NewFile {
        id,
        session: session.clone(),
        plugin: PluginName::unnamed(),
        name: "a.bin".parse().unwrap(),
        mime_type: "application/octet-stream".parse().unwrap(),
        now: Timestamp(1),
    };
    store.file_create(file).await.unwrap();
    let append = FileAppend { session: session.clone(), id, data: content.clone(), limit: 1 << 20 };
    store.file_append(append).await.unwrap();

    let source = SessionSource { store, session };
    let server = Server::start([Reply::whole(200, &[], "")]).await;
    let out = outward(&[&server.base_url()]);
    let put = |id: &str| outbound("PUT", &server.base_url(), Body::File(id.into()));
    out.send(&put(id.as_str()), &source).await.unwrap();
    assert_eq!(server.requests()[0].body, content);
    for other in [FileId::new(8).as_str(), "no id"] {
        assert!(not_sent(out.send(&put(other), &source).await).contains("none such"));
    }
}

#[tokio::test]
async fn a_download_is_bounded_and_redacted() {
    let body = format!("{TOKEN}{}", "x".repeat(200_000));
    let reply = || Reply::events(body.as_bytes(), 1 << 14);
    let server = Server::start([reply(), reply(), Reply::whole(200, &[], &body), reply().cut()]).await;
    let out = outward(&[&server.base_url()]);
    let get = get(&server.base_url());

    let download = out.download(&get, 1 << 20).await.unwrap();
    assert_eq!(download.status, 200);
    let whole: Vec<Bytes> = download.body.map(Result::unwrap).collect().await;
    assert_eq!(whole.concat().len(), body.len());
    assert!(whole.concat().starts_with(b"**************xxx"));

    let mut large = out.download(&get, 100_000).await.unwrap().body;
    let mut read = 0;
    let error = loop {
        match large.next().await.unwrap() {
            Ok(piece) => read += piece.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DownloadError::TooLarge { limit: 100_000 }) && read <= 100_000);
    assert!(matches!(out.download(&get, 100_000).await, Err(TransportError::Unanswered(_))), "it said its length");
    let cut: Vec<_> = out.download(&get, 1 << 20).await.unwrap().body.collect().await;
    assert!(matches!(cut.last(), Some(Err(DownloadError::Broken(_)))));
}
