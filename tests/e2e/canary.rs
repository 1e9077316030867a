//! A secret that a plugin uses, looked for wherever anything of it could come out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::http::{Answer, RawRequest, Reader, write};
use crate::harness::{Client, FakeProvider, Gateway, Reply, Request, Wire};
use crate::sandbox::{component, plugin};

/// Three secrets, with bytes that each encoding writes otherwise.
const SECRETS: [(&str, &str); 3] =
    [("bearer", "canary-b/1+Ü=&?x"), ("key", "canary-k\"\\2 §%z"), ("query", "canary-q~3/+=w")];

/// Every way to write a secret that is hidden, and then some pieces that would tell most of it.
fn forms(secret: &str) -> Vec<String> {
    let basic = format!("me:{secret}");
    let mut forms = vec![
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().to_lowercase(),
        BASE64.encode(secret.as_bytes()),
        BASE64URL_NOPAD.encode(secret.as_bytes()),
        BASE64.encode(basic.as_bytes()),
        json!(secret).to_string().trim_matches('"').to_owned(),
    ];
    forms.sort();
    forms.dedup();
    forms
}

/// Whether a text holds any form of any secret.
fn find(text: &str) -> Option<String> {
    let forms = SECRETS.iter().flat_map(|(_, secret)| forms(secret));
    forms.into_iter().find(|form| text.contains(form.as_str()))
}

/// A server that says back everything that it was sent, in every form, in pieces of three bytes.
struct Parrot {
    port: u16,
    heard: Arc<Mutex<Vec<RawRequest>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Parrot {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move {
                    let (read, mut answering) = stream.into_split();
                    let mut reader = Reader::new(read);
                    while let Ok(Some(request)) = reader.request().await {
                        let mut said = format!("{} {}\n{:?}\n", request.method, request.path, request.headers);
                        for (_, secret) in SECRETS {
                            said.push_str(&forms(secret).join(" | "));
                            said.push('\n');
                        }
                        let pieces: Vec<_> = said.as_bytes().chunks(3).map(<[u8]>::to_vec).collect();
                        let echo = BASE64.encode(SECRETS[0].1.as_bytes());
                        let answer = Answer::new(200, "text/plain", "").header("x-echo", &echo).in_pieces(pieces);
                        told.lock().expect("no test panicked").push(request);
                        if write(&mut answering, &answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, heard, task }
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn no_byte_of_a_secret_comes_out_anywhere() {
    let parrot = Parrot::start().await;
    let authority = format!("127.0.0.1:{}", parrot.port);
    // Of each secret, mixed up so that the needle itself is in no memory.
    let looked_for = SECRETS.iter().map(|(_, secret)| *secret).chain(["GET /echo?x=1"]);
    let needles: Vec<Vec<u8>> = looked_for.map(|text| text.bytes().map(|byte| byte ^ 0x55).collect()).collect();
    let arguments = json!({
        "scheme": "http", "authority": authority, "path": "/echo?x=1", "mixed_needles": needles,
    });
    let elsewhere = json!({ "scheme": "http", "authority": format!("localhost:{}", parrot.port), "path": "/" });
    let provider = FakeProvider::start(Wire::Anthropic, move |request: &Request| match request.messages().len() {
        1 => Reply::new().call("call_1", "fetch", &arguments),
        3 => Reply::new().call("call_2", "fetch", &elsewhere),
        _ => Reply::text("done"),
    })
    .await;

    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = component(folder.path(), "fetcher");
    let origin = format!("http://{authority}");
    let grants = format!(
        "[plugins.grants]\nhttp = [\"{origin}\"]\n\
         secrets.bearer = {{ env = \"CANARY_BEARER\", hosts = [\"{origin}\"], bearer = true }}\n\
         secrets.key = {{ env = \"CANARY_KEY\", hosts = [\"{origin}\"], header = \"x-api-key\" }}\n\
         secrets.query = {{ env = \"CANARY_QUERY\", hosts = [\"{origin}\"], query = \"key\" }}\n"
    );
    let mut builder = Gateway::builder().provider(&provider).plugins(&plugin("fetcher", &path, &grants));
    for (name, secret) in SECRETS {
        builder = builder.env(&format!("CANARY_{}", name.to_uppercase()), secret);
    }
    let mut gateway = builder.env("EXOCLAW_LOG", "trace").start().await;
    let mut client = Client::connect(&gateway).await;
    let shown = client.ask("fetch it").await;

    // They were sent, each to its place, and the answer was asked for as it is.
    {
        let heard = parrot.heard.lock().expect("no test panicked");
        assert_eq!(heard.len(), 1, "the second request was not granted");
        let header = |name: &str| crate::harness::http::header(&heard[0].headers, name).map(str::to_owned);
        assert_eq!(header("authorization"), Some(format!("Bearer {}", SECRETS[0].1)));
        assert_eq!(header("x-api-key").as_deref(), Some(SECRETS[1].1));
        assert_eq!(header("accept-encoding").as_deref(), Some("identity"));
        let encoded = utf8_percent_encode(SECRETS[2].1, NON_ALPHANUMERIC).to_string();
        let key = heard[0].path.split("key=").nth(1).expect("the parameter");
        let decoded = percent_encoding::percent_decode_str(key).decode_utf8().expect("UTF-8");
        assert_eq!(decoded, SECRETS[2].1, "{encoded}");
    }

    // What the plugin saw of the answer, and what of the secrets lay anywhere in its memory.
    let results = shown.results();
    let [(_, fetched, false), (_, denied, false)] = &results[..] else { panic!("{results:?}") };
    let fetched: Value = serde_json::from_str(fetched).expect("a report");
    assert_eq!(fetched["status"], 200, "{fetched}");
    assert!(fetched["body"].as_str().is_some_and(|body| body.contains("GET /echo?x=1")), "{fetched}");
    assert_eq!(fetched["found"], json!([false, false, false, true]), "in the guest's memory; the last is there");
    assert!(denied.contains("HttpRequestDenied"), "{denied}");

    // Everything that anyone can ask the gateway for.
    let mut said = BTreeMap::from([("events", format!("{shown:?}"))]);
    let session = json!("default:websocket:local:main");
    for (method, params) in [
        ("chat.history", json!({ "session": session })),
        ("session.get", json!({ "session": session })),
        ("session.list", json!({})),
        ("agent.list", json!({})),
        ("plugin.list", json!({})),
        ("plugin.inspect", json!({ "name": "fetcher" })),
        ("plugin.reload", json!({ "name": "fetcher" })),
        ("status", json!({})),
        ("rpc.discover", json!({})),
    ] {
        let answer = client.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error:?}"));
        said.insert(method, answer.to_string());
    }
    said.insert("metrics", format!("{:?}", gateway.get("/metrics").await));
    said.insert("the model's requests", format!("{:?}", provider.bodies()));
    gateway.terminate();
    let (_, log) = gateway.ended().await;
    assert!(log.iter().any(|line| line.contains("fetcher")), "the log is at its loudest");
    said.insert("the log", log.join("\n"));
    for (place, text) in &said {
        assert!(!text.is_empty(), "{place} says nothing");
        // As it is, and as it was before it was written as JSON within JSON.
        let plain = text.replace("\\\\", "\\").replace("\\\"", "\"");
        for text in [text, &plain] {
            if let Some(form) = find(text) {
                let at = text.find(&form).unwrap_or(0);
                let around = &text[text.floor_char_boundary(at.saturating_sub(120))..text.ceil_char_boundary(at + 80)];
                panic!("{place} says {form:?}: …{around}…");
            }
        }
    }
}
