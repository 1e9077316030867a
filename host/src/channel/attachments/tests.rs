//! Attachments, from a channel's handle to the session's file, over real sockets.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::super::line::LineParts;
use super::super::outward::testing::{client, tls};
use super::*;
use crate::agent::{Dispatcher, Parts};
use crate::config::{AgentConfig, AgentName, ByteSize, ChannelConfig, Config, HttpGrant, SecretGrant, SecretSource};
use crate::provider::{Jitter, Provider, Providers};
use crate::runtime::{PluginSpec, Registry, Runtime, Secrets, Services, Source};
use crate::secrets::Secret;
use crate::store::{Accept, MAX_FILE_PIECE, MemoryLimits, MemoryStore, Message, Role, TurnId};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const TOKEN: &str = "loopback-secret-1";

/// A platform over TLS that has one file, `cat`, behind a look-up; `loop` is looked up for ever, `none`
/// is not there.
struct Platform {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Platform {
    async fn start(file: Bytes) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let service = move |request: Request<hyper::body::Incoming>| {
            let path = request.uri().path().to_owned();
            let authorised =
                request.headers().get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"));
            seen.lock().unwrap().push(path.clone());
            let (status, body) = match path.as_str() {
                _ if !authorised => (401, Bytes::new()),
                "/files/cat" => (200, Bytes::from_static(b"/download/cat")),
                "/files/none" => (200, Bytes::from_static(b"/download/none")),
                "/download/cat" => (200, file.clone()),
                _ => (404, Bytes::new()),
            };
            let response = Response::builder().status(status).body(Full::new(body)).unwrap();
            async move { Ok::<_, Infallible>(response) }
        };
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                connections.spawn(async move {
                    let Ok(stream) = tls().accept(socket).await else { return };
                    let http = hyper::server::conn::http1::Builder::new();
                    // The client's going away is how a connection ends here.
                    let _ = http.serve_connection(TokioIo::new(stream), service_fn(service)).await;
                });
            }
        });
        Ok(Self { port, asked, _task: AbortOnDropHandle::new(task) })
    }
}

/// The loopback channel, whose platform this is, and a session.
async fn line(platform: &Platform, file: ByteSize, limits: MemoryLimits) -> Result<(Arc<Line>, SessionKey)> {
    let store: DynStore = Arc::new(MemoryStore::new(limits));
    let session = SessionKey::new("default", "loop", "loop", "ada")?;
    let accept = Accept {
        session: session.clone(),
        turn: TurnId::new(Timestamp(1), 1),
        message: Arc::new(Message::text(Role::User, "look")),
        destination: None,
        begin: None,
        idempotency: None,
        epoch: crate::store::Epoch(0),
        now: Timestamp(1),
    };
    store.accept(accept).await?;
    let origin = format!("https://service.test:{}", platform.port);
    let grant = HttpGrant { private: true, ..HttpGrant::of(origin.parse()?) };
    let guest = exoclaw_bundle::find("loopback").ok_or("no loopback in the bundle")?;
    let mut spec = PluginSpec::new("loop".parse()?, Source::Bundled(guest));
    spec.limits.file = file;
    spec.settings.insert("origin".into(), origin.into());
    let secret = SecretGrant { source: SecretSource::File("x".into()), hosts: vec![grant.origin.clone()], place: None };
    spec.grants.http.push(grant);
    spec.grants.secrets.insert("loopback-token".into(), secret);
    spec.secrets = Secrets([("loopback-token".to_owned(), Secret::new(TOKEN.into()))].into());
    let services = Services { store: store.clone(), client: Some(client()) };
    let config = Config::default();
    let plugin = Runtime::new(&config.limits, services)?.load(spec).await?;
    let mut whole = Config::default();
    whole.agents.insert(AgentName::default_agent(), AgentConfig::default());
    let dispatcher = Dispatcher::new(Parts {
        config: &whole,
        epoch: store.take_over().await?,
        store,
        courier: Arc::new(()),
        attachments: Arc::new(()),
        providers: &Providers::new([] as [Arc<dyn Provider>; 0]),
        jitter: Arc::new(Jitter::seeded(1)),
        tools: &Registry::default(),
    })?;
    let parts = LineParts {
        name: "loop".parse()?,
        config: ChannelConfig::default(),
        delivery: whole.delivery.clone(),
        dispatcher,
        plugin: plugin.channel().ok_or("no channel")?,
        state: Bytes::new(),
    };
    Ok((Line::new(parts, Timestamp(1)), session))
}

fn attachment(handle: &str, name: Option<&str>) -> Attachment {
    let sent = channel::Attachment {
        mime_type: "image/png; x=1".into(),
        name: name.map(Into::into),
        size: None,
        handle: handle.into(),
    };
    kept("loop", &[sent]).remove(0)
}

const ROOM: ByteSize = ByteSize::mib(4);

#[tokio::test]
async fn a_file_comes_by_a_look_up_and_is_the_sessions_under_its_id() -> Result {
    let content: Bytes = (0..1_000_000_u32).map(|byte| (byte % 249) as u8).collect::<Vec<_>>().into();
    let platform = Platform::start(content.clone()).await?;
    let (line, session) = line(&platform, ROOM, MemoryLimits::default()).await?;
    let desk = AttachmentDesk::default();
    let cat = attachment("cat", Some("../cat\u{202e}.png"));
    // A channel may come later than the turn that waits for it.
    let (fetched, ()) = tokio::join!(desk.fetch(&session, &cat), async { desk.attach(Arc::clone(&line)) });
    fetched?;
    assert_eq!(*platform.asked.lock().unwrap(), ["/files/cat", "/download/cat"]);
    let id: FileId = cat.file.parse()?;
    let file = line.store.file_stat(&session, &id).await?.ok_or("no file")?;
    assert_eq!((file.name.as_str(), file.mime_type.as_str(), file.size), (".._cat_.png", "image/png", 1_000_000));
    let read = line.store.file_read(&session, &id, 0, MAX_FILE_PIECE).await?.ok_or("no file")?;
    assert!(read == content);

    // What was left of an attempt that was cut is replaced.
    desk.fetch(&session, &cat).await?;
    assert_eq!(line.store.file_stat(&session, &id).await?.ok_or("no file")?.size, 1_000_000);
    desk.detach("loop");
    assert!(desk.lines.borrow().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_had_says_why_and_leaves_nothing() -> Result {
    let platform = Platform::start(vec![7; 600_000].into()).await?;
    let small = MemoryLimits { session_files: ByteSize::kib(300), ..MemoryLimits::default() };
    for (file, limits, handle, reason) in [
        (ROOM, MemoryLimits::default(), "none", "answered 404 instead of the file"),
        (ROOM, MemoryLimits::default(), "missing", "its channel cannot fetch it"),
        (ByteSize::kib(500), MemoryLimits::default(), "cat", "larger than 512000 bytes"),
        (ROOM, small, "cat", "`[limits] session_files`"),
    ] {
        let (line, session) = line(&platform, file, limits).await?;
        let desk = AttachmentDesk::default();
        desk.attach(Arc::clone(&line));
        let wanted = attachment(handle, None);
        let error = desk.fetch(&session, &wanted).await.expect_err(handle);
        assert!(error.0.contains(reason), "{error}");
        assert!(!error.0.contains(TOKEN));
        assert_eq!(line.store.file_stat(&session, &wanted.file.parse()?).await?, None, "{handle}");
        let declared = Attachment { size: Some(5 << 20), ..wanted };
        let error = desk.fetch(&session, &declared).await.expect_err("too large");
        assert!(error.0.contains("`[plugins.limits] file`"), "{error}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_does_not_come_is_not_waited_for_for_ever() {
    let session = SessionKey::new("default", "loop", "loop", "ada").unwrap();
    let error = AttachmentDesk::default().fetch(&session, &attachment("cat", None)).await.unwrap_err();
    assert!(error.0.contains("not there any more"), "{error}");
}

#[test]
fn each_attachment_has_an_id_of_its_own_and_a_handle_beyond_measure_is_left_out() {
    let sent = |handle: Vec<u8>| channel::Attachment { mime_type: "a/b".into(), name: None, size: Some(1), handle };
    let all = kept("loop", &[sent(vec![1, 255]), sent(vec![0; MAX_HANDLE + 1]), sent(Vec::new())]);
    assert_eq!(all.iter().map(|kept| kept.handle.as_str()).collect::<Vec<_>>(), ["Af8=", ""]);
    assert_ne!(all[0].file, all[1].file);
    for name in ["", " ", ".", "..", "a/b\\c\n", &"\u{e9}".repeat(300)] {
        assert!(file_name(name).is_ok(), "{name:?}");
    }
    assert_eq!(mime_type("image/png; q=1").unwrap().as_str(), "image/png");
    assert_eq!(mime_type("no type").unwrap().as_str(), "application/octet-stream");
}
