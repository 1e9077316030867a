//! The outbox with a plugin that can take every turn (`guests/sender`), a platform that the test holds
//! in its hand, and either store.

mod crash;
mod drafts;
mod owner;
mod steps;
mod unknown;

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::*;
use crate::agent::{Dispatcher, Letter, LetterContent, Parts};
use crate::channel::line::LineParts;
use crate::channel::route::Route;
use crate::config::{ByteSize, ChannelConfig, Config, DeliveryConfig, Durability, LimitsConfig, PluginLimits};
use crate::provider::{Jitter, Providers};
use crate::runtime::bindings::channel::{Body, Outbound, OutboundFrame, Outcome, Piece, Response, TransportError};
use crate::runtime::{ChannelPlugin, PluginSpec, Registry, Runtime, Services, Source};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Delivery, DynStore, MemoryLimits, MemoryStore, NewDelivery, SessionKey};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The channel's name.
const CHANNEL: &str = "sender";

fn load(settings: &str) -> ChannelPlugin {
    let settings = serde_json::from_str(settings).expect("settings");
    // The plugin outlives the test that loads it.
    let loading = std::thread::spawn(move || {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        threads.block_on(async {
            let guest = exoclaw_bundle_test::find("sender").expect("the guest");
            let spec = PluginSpec::new(CHANNEL.parse().expect("a name"), Source::Bundled(guest));
            let runtime = Runtime::new(&LimitsConfig::default(), Services::detached()).expect("an engine");
            // All tests call the same plugin.
            let limits = PluginLimits { rate: u32::MAX, ..PluginLimits::default() };
            let plugin = runtime.load(PluginSpec { settings, limits, ..spec }).await.expect("a plugin");
            plugin.channel().expect("a channel")
        })
    });
    loading.join().expect("loaded")
}

static PLAIN: LazyLock<ChannelPlugin> = LazyLock::new(|| load("{}"));
static KEYED: LazyLock<ChannelPlugin> = LazyLock::new(|| load(r#"{"keys":true}"#));
static TYPING: LazyLock<ChannelPlugin> = LazyLock::new(|| load(r#"{"typing":true}"#));

/// A request at the platform, which waits for its answer.
struct Asked {
    method: String,
    path: String,
    to: String,
    body: String,
    answer: oneshot::Sender<Outcome>,
}

impl Asked {
    fn of(request: &Outbound, answer: oneshot::Sender<Outcome>) -> Self {
        let text = |pieces: &[Piece]| match pieces {
            [Piece::Text(text)] => text.clone(),
            _ => String::new(),
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| text(value)).unwrap_or_default()
        };
        let body = match &request.body {
            Body::Text(body) => text(body),
            Body::Form(fields) => format!("{} fields", fields.len()),
            _ => String::new(),
        };
        let path = text(&request.url).replace("https://sender.invalid/", "");
        Self { method: request.method.clone(), path, to: header("to"), body, answer }
    }

    /// What it is about, in short.
    fn line(&self) -> String {
        format!("{} {} {}", self.method, self.path, self.body)
    }

    /// The platform shows the part, under this id.
    fn shown(self, id: &str) {
        let answer = accept(&self.body, id);
        self.status(200, &answer);
    }

    fn status(self, status: u16, body: &str) {
        let _ = self.answer.send(Ok(Response { status, headers: vec![], body: body.into() }));
    }

    fn unanswered(self) {
        let _ = self.answer.send(Err(TransportError::Unanswered("it took too long".into())));
    }

    fn not_sent(self) {
        let _ = self.answer.send(Err(TransportError::NotSent("it is down".into())));
    }
}

/// What the guest is told of a part that is shown.
fn accept(body: &str, id: &str) -> String {
    let (part, text) = body.split_once(' ').unwrap_or(("0", ""));
    serde_json::json!([part.parse::<u32>().unwrap_or(0), [id, text]]).to_string()
}

/// A platform whose requests wait for the test.
struct Platform(mpsc::UnboundedSender<Asked>);

impl Sends for Platform {
    fn send<'a>(&'a self, request: &'a Outbound, _: Option<&'a SessionKey>) -> BoxFuture<'a, Outcome> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send(Asked::of(request, answer));
        Box::pin(async { answered.await.unwrap_or(Err(TransportError::Unanswered("it hung up".into()))) })
    }
}

/// An outbox over a store, which outlives it.
struct Bench {
    store: DynStore,
    dispatcher: Dispatcher,
    outbox: Outbox,
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<Asked>>,
    frames: tokio::sync::Mutex<mpsc::Receiver<DeliveryFrame>>,
    clock: Clock,
}

fn memory() -> DynStore {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

fn sqlite(folder: &tempfile::TempDir) -> Result<DynStore> {
    let (path, durability) = (folder.path().join("store.db"), Durability::Process);
    let (files, session_files) = (ByteSize::mib(1), ByteSize::mib(1));
    Ok(Arc::new(SqliteStore::open(SqliteOptions { path, durability, files, session_files })?))
}

#[derive(Default)]
struct Wants {
    config: ChannelConfig,
    delivery: DeliveryConfig,
}

impl Bench {
    async fn start(store: &DynStore, plugin: &LazyLock<ChannelPlugin>) -> Result<Self> {
        Self::with(store, plugin, Wants::default()).await
    }

    async fn with(store: &DynStore, plugin: &LazyLock<ChannelPlugin>, wants: Wants) -> Result<Self> {
        let (asks, asked) = mpsc::unbounded_channel();
        let mut bench = Self::over(store, plugin, wants, Arc::new(Platform(asks))).await?;
        bench.asked = asked.into();
        Ok(bench)
    }

    async fn over(
        store: &DynStore,
        plugin: &LazyLock<ChannelPlugin>,
        wants: Wants,
        platform: Arc<dyn Sends>,
    ) -> Result<Self> {
        let dispatcher = Dispatcher::new(Parts {
            config: &Config::default(),
            store: Arc::clone(store),
            epoch: store.take_over().await?,
            attachments: Arc::new(()),
            courier: Arc::new(()),
            providers: &Providers::new([]),
            jitter: Arc::new(Jitter::seeded(1)),
            tools: &Registry::default(),
        })?;
        let (start, base) = (tokio::time::Instant::now(), Timestamp::now());
        let clock: Clock = Arc::new(move || base.plus(start.elapsed()));
        let parts = LineParts {
            name: CHANNEL.parse()?,
            config: wants.config,
            delivery: wants.delivery,
            dispatcher: dispatcher.clone(),
            plugin: LazyLock::force(plugin).clone(),
            state: bytes::Bytes::new(),
        };
        let (frames, written) = mpsc::channel(4);
        let outbox = Outbox::start(OutboxParts {
            line: Line::new(parts, base),
            sends: latest::channel(platform).1,
            frames,
            clock: Arc::clone(&clock),
            stop: CancellationToken::new(),
        });
        let (_, asked) = mpsc::unbounded_channel();
        Ok(Self { store: Arc::clone(store), dispatcher, outbox, asked: asked.into(), frames: written.into(), clock })
    }

    /// Opens a delivery of text.
    async fn open(&self, number: u64, conversation: &str, text: &str) -> Result<DeliveryId> {
        self.open_letter(number, conversation, LetterContent::Markdown { text: text.into() }).await
    }

    async fn open_letter(&self, number: u64, conversation: &str, content: LetterContent) -> Result<DeliveryId> {
        let new = new(number, conversation, content, self.dispatcher.epoch(), (self.clock)());
        let id = new.id;
        assert!(self.store.delivery_open(new).await?);
        self.outbox.wake();
        Ok(id)
    }

    /// The next request at the platform.
    async fn asked(&self) -> Result<Asked> {
        let mut asked = self.asked.lock().await;
        // Longer than anything here waits: only a fault takes it.
        Ok(tokio::time::timeout(Duration::from_secs(100_000), asked.recv()).await?.ok_or("no more requests")?)
    }

    /// Whether nothing is asked for so long.
    async fn quiet_for(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.asked.lock().await.recv()).await.is_err()
    }

    async fn frame(&self) -> Result<(String, oneshot::Sender<std::result::Result<(), TransportError>>)> {
        let DeliveryFrame { frame, result } = self.frames.lock().await.recv().await.ok_or("no more frames")?;
        match frame.frame {
            OutboundFrame::Text(pieces) => match &pieces[..] {
                [Piece::Text(text)] => Ok((text.clone(), result)),
                other => Err(format!("{other:?}").into()),
            },
            other => Err(format!("{other:?}").into()),
        }
    }

    /// A delivery, once its state is one of these.
    async fn until(&self, id: DeliveryId, states: &[crate::store::DeliveryState]) -> Result<Delivery> {
        for _ in 0..1_000_000 {
            let found = self.store.delivery(id).await?.ok_or("no such delivery")?;
            if states.contains(&found.state) && !self.outbox.shared.claims.holds(id) {
                return Ok(found);
            }
            tokio::task::yield_now().await;
        }
        Err(format!("{:?}", self.store.delivery(id).await?).into())
    }

    async fn sent(&self, id: DeliveryId) -> Result<Delivery> {
        self.until(id, &[crate::store::DeliveryState::Sent]).await
    }

    /// The process ends here.
    async fn crash(self) {
        self.outbox.tasks.close();
        self.outbox.shared.kill.cancel();
        self.outbox.tasks.wait().await;
    }

    fn entry(&self, delivery: Delivery) -> OutboxEntry {
        OutboxEntry::of(delivery, (self.clock)())
    }
}

fn id(number: u64) -> DeliveryId {
    DeliveryId(TurnId::new(Timestamp(number), number))
}

fn address(peer: &str) -> bytes::Bytes {
    let route =
        Route { account: None, peer: peer.into(), guild: None, team: None, thread: None, reply_to: None, handle: None };
    serde_json::to_vec(&route).expect("JSON").into()
}

fn new(
    number: u64,
    conversation: &str,
    content: LetterContent,
    epoch: crate::store::Epoch,
    now: Timestamp,
) -> NewDelivery {
    NewDelivery {
        id: id(number),
        session: None,
        channel: CHANNEL.into(),
        conversation: conversation.into(),
        content: Letter { address: address(conversation), content }.to_bytes(),
        draft: false,
        epoch,
        now,
    }
}
