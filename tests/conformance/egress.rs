//! Requests of plugins: what was granted leaves, as it was asked and no further; all else does not.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use exoclaw::config::{ByteSize, GrantsConfig, HttpGrant, NetConfig};
use exoclaw::net::{Client, Resolve, SystemResolver};
use exoclaw::runtime::Linkage;
use futures_util::future::BoxFuture;
use hyper::Version;
use serde_json::json;

use super::*;
use server::Server;

#[path = "egress/server.rs"]
mod server;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/fixtures/ca.pem");

/// Names that lead where no public name should, and those that the system knows.
#[derive(Default)]
struct Names {
    system: SystemResolver,
    /// How often `rebind.test` was asked for.
    rebound: AtomicUsize,
}

impl Resolve for Names {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let addresses: &[&str] = match name.as_str() {
            "metadata.test" => &["169.254.169.254", "fd00:ec2::254"],
            "mapped.test" => &["::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
            "half.test" => &["169.254.169.254", "127.0.0.1"],
            // Home, and from then on where the credentials are.
            "rebind.test" if self.rebound.fetch_add(1, Ordering::Relaxed) == 0 => &["127.0.0.1"],
            "rebind.test" => &["169.254.169.254"],
            "service.test" | "other.test" => &["127.0.0.1"],
            _ => return self.system.resolve(name),
        };
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(async { Ok(addresses) })
    }
}

/// A runtime with a way out.
static ONLINE: LazyLock<Runtime> = LazyLock::new(|| {
    let client = Client::new(&NetConfig { ca_file: Some(PathBuf::from(CA)) }).unwrap();
    let client = client.with_resolver(Arc::new(Names::default()));
    let services = Services { client: Some(client), ..Services::detached() };
    Runtime::new(&LimitsConfig::default(), services).unwrap()
});

/// Long enough that only a test of time ends by it.
fn limits() -> PluginLimits {
    PluginLimits { time: Duration::from_secs(60), ..PluginLimits::default() }
}

async fn fetcher(grants: Vec<HttpGrant>, limits: PluginLimits) -> Arc<Plugin> {
    let grants = GrantsConfig { http: grants, ..GrantsConfig::default() };
    ONLINE.load(PluginSpec { grants, limits, ..spec("fetcher") }).await.unwrap()
}

fn grant(origin: &str) -> HttpGrant {
    HttpGrant::of(origin.parse().unwrap())
}

/// One that names the address of a server of ours.
fn literal(server: &Server) -> HttpGrant {
    grant(&format!("http://127.0.0.1:{}", server.port))
}

/// A request to that address.
fn to(server: &Server, path: &str) -> Value {
    json!({ "scheme": "http", "authority": format!("127.0.0.1:{}", server.port), "path": path })
}

fn with(mut request: Value, more: Value) -> Value {
    object(more).into_iter().for_each(|(key, value)| request[key] = value);
    request
}

async fn run(plugin: &Arc<Plugin>, name: &str, arguments: &Value) -> Result<Value, CallError> {
    match call(&tool(plugin, name), &arguments.to_string()).await?.as_slice() {
        [ToolContent::Json { json }] => Ok(serde_json::from_str(json).unwrap()),
        other => panic!("one JSON text was expected, and {other:?} came"),
    }
}

async fn fetch(plugin: &Arc<Plugin>, request: &Value) -> Value {
    run(plugin, "fetch", request).await.unwrap()
}

/// What the request failed with.
async fn error(plugin: &Arc<Plugin>, request: &Value) -> String {
    let report = fetch(plugin, request).await;
    report["error"].as_str().unwrap_or_else(|| panic!("{request} gave {report}")).to_owned()
}

async fn answers(plugin: &Arc<Plugin>, server: &Server) {
    let report = fetch(plugin, &to(server, "/echo")).await;
    assert_eq!((&report["status"], &report["error"]), (&json!(200), &Value::Null), "{report}");
}

#[tokio::test]
async fn what_is_granted_arrives_as_it_was_sent_and_is_counted() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let headers = json!([["x-one", "1"], ["user-agent", "fetcher"]]);
    let request = with(to(&server, "/echo?a=b"), json!({ "method": "POST", "headers": headers, "body": "hello" }));

    let arguments = RawValue::from_string(request.to_string()).unwrap();
    let session = "default:websocket:local:main".parse().unwrap();
    let call = ToolCall {
        agent: "default",
        session: &session,
        call: "call-1",
        now: NOW,
        arguments: &arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    let (answer, stats) = tool(&plugin, "fetch").measured(call).await;
    let [ToolContent::Json { json: report }] = &answer.unwrap()[..] else { panic!("no JSON") };
    let report: Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["status"], 200, "{report}");
    let echo: Value = serde_json::from_str(report["body"].as_str().unwrap()).unwrap();
    assert_eq!(echo["line"], "POST /echo?a=b HTTP/1.1");
    assert_eq!(echo["body"], "hello");
    assert_eq!(echo["headers"]["host"], format!("127.0.0.1:{}", server.port));
    assert_eq!(echo["headers"]["x-one"], "1");
    assert_eq!(echo["headers"]["user-agent"], "fetcher");
    let bodies = 5 + report["received"].as_u64().unwrap();
    assert!((bodies + 50..bodies + 500).contains(&stats.egress), "{} for {bodies}", stats.egress);
}

#[tokio::test]
async fn a_request_outside_of_its_grant_never_leaves() {
    let server = Server::start().await;
    let grants =
        vec![HttpGrant { methods: vec!["GET".parse().unwrap()], paths: vec!["/echo".into()], ..literal(&server) }];
    let plugin = fetcher(grants, limits()).await;
    let denied = "ErrorCode::HttpRequestDenied";
    let own = format!("127.0.0.1:{}", server.port);
    for (change, expected) in [
        (json!({ "scheme": "https" }), denied),
        (json!({ "scheme": "ftp" }), "ErrorCode::HttpProtocolError"),
        (json!({ "authority": format!("localhost:{}", server.port) }), denied),
        (json!({ "authority": "127.0.0.1" }), denied),
        (json!({ "authority": format!("127.0.0.1:{}", server.port ^ 1) }), denied),
        (json!({ "authority": format!("user@{own}") }), denied),
        (json!({ "authority": format!("user:password@{own}") }), denied),
        (json!({ "authority": format!("[::ffff:127.0.0.1]:{}", server.port) }), denied),
        (json!({ "method": "POST" }), denied),
        (json!({ "path": "/other" }), denied),
        (json!({ "path": "/echoes" }), denied),
        (json!({ "path": "/echo/../other" }), denied),
        (json!({ "path": "/echo/%2e%2e/other" }), denied),
        (json!({ "method": "CONNECT" }), "ErrorCode::HttpRequestMethodInvalid"),
        (json!({ "method": "TRACE" }), "ErrorCode::HttpRequestMethodInvalid"),
        (json!({ "path": format!("/echo?{}", "x".repeat(17 << 10)) }), "ErrorCode::HttpRequestUriTooLong"),
    ] {
        assert_eq!(error(&plugin, &with(to(&server, "/echo"), change.clone())).await, expected, "{change}");
    }
    assert!(server.seen().is_empty());
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn what_a_request_leaves_out_is_the_root_or_an_error() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let rootless = json!({ "scheme": "http", "authority": format!("127.0.0.1:{}", server.port) });
    let report = fetch(&plugin, &rootless).await;
    assert!(report["body"].as_str().unwrap_or_default().contains("GET / HTTP/1.1"), "{report}");
    assert_eq!(error(&plugin, &json!({ "scheme": "http", "path": "/" })).await, "ErrorCode::HttpRequestUriInvalid");
}

#[tokio::test]
async fn a_plugin_that_is_only_looked_at_sends_nothing() {
    let server = Server::start().await;
    let looked_at = PluginSpec { linkage: Linkage::Refusing, ..spec("fetcher") };
    let plugin = ONLINE.load(looked_at).await.unwrap();
    assert_eq!(error(&plugin, &to(&server, "/echo")).await, "ErrorCode::HttpRequestDenied");

    // A gateway that lends no way out has none.
    let grants = GrantsConfig { http: vec![literal(&server)], ..GrantsConfig::default() };
    let plugin = load(PluginSpec { grants, ..spec("fetcher") }).await;
    assert_eq!(error(&plugin, &to(&server, "/echo")).await, "ErrorCode::HttpRequestDenied");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_is_followed_as_far_as_its_grant_goes() {
    let server = Server::start().await;
    let at = |name: &str| format!("http://{name}:{}", server.port);
    let private = |name: &str| HttpGrant { private: true, ..grant(&at(name)) };
    let request = |name: &str| with(to(&server, "/echo"), json!({ "authority": format!("{name}:{}", server.port) }));
    let prohibited = "ErrorCode::DestinationIpProhibited";

    let names = ["localhost", "mapped.test", "metadata.test", "half.test"];
    let public = fetcher(names.map(|name| grant(&at(name))).to_vec(), limits()).await;
    for name in names {
        assert_eq!(error(&public, &request(name)).await, prohibited, "{name}");
    }
    assert!(server.seen().is_empty());

    let plugin = fetcher(names.map(private).to_vec(), limits()).await;
    assert_eq!(error(&plugin, &request("metadata.test")).await, prohibited);
    // What is forbidden is dropped, and the rest is tried.
    for name in ["localhost", "half.test"] {
        let report = fetch(&plugin, &request(name)).await;
        assert_eq!(report["status"], 200, "{name}: {report}");
    }
    let unknown = fetcher(vec![private("unknown.invalid")], limits()).await;
    assert!(error(&unknown, &request("unknown.invalid")).await.starts_with("ErrorCode::DnsError"));
}

#[tokio::test]
async fn a_name_server_that_answers_differently_the_second_time_gains_nothing() {
    let server = Server::start().await;
    let name = format!("rebind.test:{}", server.port);
    let private = HttpGrant { private: true, ..grant(&format!("http://{name}")) };
    let plugin = fetcher(vec![private, literal(&server)], limits()).await;
    let request = |path: &str| json!({ "scheme": "http", "authority": name, "path": path });

    // What was resolved for the first connection holds for as long as that is open.
    for path in ["/echo", "/close"] {
        let report = fetch(&plugin, &request(path)).await;
        assert_eq!(report["status"], 200, "{path}: {report}");
    }
    assert_eq!(error(&plugin, &request("/echo")).await, "ErrorCode::DestinationIpProhibited");
    assert_eq!(server.seen().len(), 2);
    answers(&plugin, &server).await;
}

/// What is logged, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_says_why_a_request_failed_and_never_what_was_asked() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("info,exoclaw=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // Where there is only one subscriber, `tracing` takes what a thread without it thinks of an event
    // for what all think. Two make it ask each.
    let _other = tracing::Dispatch::new(tracing_subscriber::registry());
    let _logging = tracing::subscriber::set_default(subscriber);

    let server = Server::start().await;
    let origin = |name: &str| format!("http://{name}:{}", server.port);
    let plugin = fetcher(vec![literal(&server), grant(&origin("localhost"))], limits()).await;
    for name in ["127.0.0.1", "localhost", "elsewhere.test"] {
        let authority = format!("{name}:{}", server.port);
        let headers = json!([["x-canary", "canary"]]);
        let request = json!({ "scheme": "http", "authority": authority, "path": "/canary?canary", "headers": headers });
        fetch(&plugin, &request).await;
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = |text: &str, origin: String| log.lines().any(|line| line.contains(text) && line.contains(&origin));
    assert!(line("no grant allows it", origin("elsewhere.test")), "{log}");
    assert!(line("this machine; `private = true` in its grant would allow it", origin("localhost")), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_redirect_is_the_guests_to_follow() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let report = fetch(&plugin, &to(&server, "/redirect")).await;
    assert_eq!(report["status"], 302, "{report}");
    assert!(report["headers"].as_array().unwrap().contains(&json!(["location", "/echo"])), "{report}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_body_over_its_limit_ends_with_an_error_that_names_the_limit() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], PluginLimits { body: ByteSize::kib(100), ..limits() }).await;
    let limit = 100 << 10;

    let upload = |bytes: u32| with(to(&server, "/length?2"), json!({ "method": "POST", "upload": bytes }));
    let too_large = format!("ErrorCode::HttpRequestBodySize(Some({limit}))");
    let taken = fetch(&plugin, &upload(limit)).await;
    assert_eq!(taken["status"], 200, "{taken}");
    assert_eq!(error(&plugin, &upload(limit + 1)).await, too_large);
    let declared = with(upload(1_000_000), json!({ "headers": [["content-length", "1000000"]] }));
    assert_eq!(error(&plugin, &declared).await, too_large);
    assert_eq!(server.seen().iter().filter(|seen| seen.whole).count(), 1);

    for path in ["/stream", "/length"] {
        let whole = fetch(&plugin, &to(&server, &format!("{path}?{limit}"))).await;
        assert_eq!((&whole["received"], &whole["error"]), (&json!(limit), &Value::Null), "{whole}");
    }
    let streamed = error(&plugin, &to(&server, &format!("/stream?{}", limit + 1))).await;
    assert!(streamed.contains(&format!("body size exceeds limit: {limit} bytes")), "{streamed}");
    let declared = error(&plugin, &to(&server, &format!("/length?{}", limit + 1))).await;
    assert_eq!(declared, format!("ErrorCode::HttpResponseBodySize(Some({limit}))"));
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn the_head_of_a_response_has_its_limit() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    assert_eq!(fetch(&plugin, &to(&server, "/headers?30000")).await["status"], 200);
    for bytes in [33_000, 100_000] {
        let error = error(&plugin, &to(&server, &format!("/headers?{bytes}"))).await;
        assert_eq!(error, "ErrorCode::HttpResponseHeaderSectionSize(Some(32768))");
    }
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_at_the_calls_deadline() {
    let server = Server::start().await;
    let short = PluginLimits { time: Duration::from_millis(1_500), ..limits() };
    let plugin = fetcher(vec![literal(&server)], short).await;
    for path in ["/silence", "/drip"] {
        let ended = run(&plugin, "fetch", &with(to(&server, path), json!({ "discard": true }))).await;
        assert_eq!(ended, Err(CallError::Timeout(short.time)), "{path}");
        server.left().await;
    }
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let waiting = with(to(&server, "/silence"), json!({ "first_byte_ms": 20 }));
    assert_eq!(error(&plugin, &waiting).await, "ErrorCode::ConnectionReadTimeout");
    let dripping = with(to(&server, "/drip"), json!({ "idle_ms": 20 }));
    assert!(error(&plugin, &dripping).await.contains("connection read timeout"));
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn a_call_that_is_dropped_hangs_up() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let request = to(&server, "/silence");
    tokio::select! {
        _ = run(&plugin, "fetch", &request) => panic!("nothing was answered"),
        () = server.arrived() => {}
    }
    server.left().await;
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn a_request_whose_call_ends_before_it_does_is_not_taken_for_whole() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    // The server answers at once and reads on, so that the connection outlives the call's response.
    let half = with(to(&server, "/early"), json!({ "method": "POST", "upload": 100_000, "unfinished": true }));
    assert_eq!(fetch(&plugin, &half).await["error"], Value::Null);
    while server.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!server.seen()[0].whole);
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn a_response_larger_than_the_guests_memory_streams_through() {
    let server = Server::start().await;
    let small = PluginLimits { memory: ByteSize::mib(2), body: ByteSize::mib(64), ..limits() };
    let plugin = fetcher(vec![literal(&server)], small).await;
    let bytes = 48 << 20;
    let report = fetch(&plugin, &with(to(&server, &format!("/stream?{bytes}")), json!({ "discard": true }))).await;
    assert_eq!((&report["received"], &report["error"]), (&json!(bytes), &Value::Null), "{report}");
}

#[tokio::test]
async fn two_plugins_share_no_connection_and_the_calls_of_one_do() {
    let server = Server::start().await;
    let one = fetcher(vec![literal(&server)], limits()).await;
    let other = fetcher(vec![literal(&server)], limits()).await;
    for plugin in [&one, &one, &other] {
        answers(plugin, &server).await;
    }
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn headers_between_two_hops_are_not_the_guests() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    for name in [
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-x",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "Host",
        "http2-settings",
        "expect",
    ] {
        let refused = error(&plugin, &with(to(&server, "/echo"), json!({ "headers": [[name, "x"]] }))).await;
        assert!(refused.ends_with("HeaderError::Forbidden"), "{refused}");
    }
    assert!(server.seen().is_empty());
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn one_call_holds_so_many_requests_and_no_more() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let held = run(&plugin, "hold", &with(to(&server, "/echo"), json!({ "count": 40 }))).await.unwrap();
    assert_eq!(held, json!({ "received": 32, "error": "ErrorCode::ConnectionLimitReached" }));
    answers(&plugin, &server).await;
}

#[tokio::test]
async fn tls_goes_by_the_name_and_believes_the_owners_authority() {
    let server = Server::tls(Version::HTTP_11).await;
    let names = ["localhost", "service.test", "other.test"];
    let private = |name| HttpGrant { private: true, ..grant(&format!("{name}:{}", server.port)) };
    let plugin = fetcher(names.map(private).to_vec(), limits()).await;
    let request = |name: &str| json!({ "scheme": "https", "authority": format!("{name}:{}", server.port) });
    for name in ["localhost", "service.test"] {
        let report = fetch(&plugin, &request(name)).await;
        assert_eq!(report["status"], 200, "{name}: {report}");
        let echo: Value = serde_json::from_str(report["body"].as_str().unwrap()).unwrap();
        assert_eq!(echo["headers"]["host"], format!("{name}:{}", server.port));
    }
    assert_eq!(error(&plugin, &request("other.test")).await, "ErrorCode::TlsCertificateError");
}

#[tokio::test]
async fn over_http_2_it_is_all_the_same() {
    let server = Server::tls(Version::HTTP_2).await;
    let grants = vec![HttpGrant { private: true, ..grant(&format!("localhost:{}", server.port)) }];
    let plugin = fetcher(grants, PluginLimits { body: ByteSize::mib(2), ..limits() }).await;
    let limit = 2 << 20;
    let to =
        |path: String| json!({ "scheme": "https", "authority": format!("localhost:{}", server.port), "path": path });
    let report = fetch(&plugin, &to("/echo".into())).await;
    assert!(report["body"].as_str().unwrap_or_default().contains("/echo HTTP/2.0"), "{report}");

    let upload = |bytes: u32| with(to("/length?2".into()), json!({ "method": "POST", "upload": bytes }));
    let taken = fetch(&plugin, &upload(limit)).await;
    assert_eq!((&taken["status"], &taken["received"]), (&json!(200), &json!(2)), "{taken}");
    let too_large = format!("ErrorCode::HttpRequestBodySize(Some({limit}))");
    assert_eq!(error(&plugin, &upload(limit + 1)).await, too_large);

    let discarded = |path: String| with(to(path), json!({ "discard": true }));
    let whole = fetch(&plugin, &discarded(format!("/stream?{limit}"))).await;
    assert_eq!((&whole["received"], &whole["error"]), (&json!(limit), &Value::Null), "{whole}");
    let streamed = error(&plugin, &discarded(format!("/stream?{}", limit + 1))).await;
    assert!(streamed.contains(&format!("body size exceeds limit: {limit} bytes")), "{streamed}");
    let waiting = with(to("/silence".into()), json!({ "first_byte_ms": 20 }));
    assert_eq!(error(&plugin, &waiting).await, "ErrorCode::ConnectionReadTimeout");

    assert_eq!(fetch(&plugin, &to("/echo".into())).await["status"], 200);
    assert!(server.seen().iter().all(|seen| seen.connection == 0), "{:?}", server.seen());
}

#[tokio::test]
async fn a_guest_that_piles_up_headers_is_stopped() {
    let server = Server::start().await;
    let plugin = fetcher(vec![literal(&server)], limits()).await;
    let large = with(to(&server, "/echo"), json!({ "headers": [["x-large", "x".repeat(40 << 10)]] }));
    let ended = run(&plugin, "fetch", &large).await;
    assert!(matches!(&ended, Err(CallError::Abi(text)) if text.contains("size of fields")), "{ended:?}");
    assert!(server.seen().is_empty());
    answers(&plugin, &server).await;
}
