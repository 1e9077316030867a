//! The methods that look after sessions, agents and plugins.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Client, FakeProvider, Gateway, Reply, Request, Wire};

const MAIN: &str = "default:websocket:local:main";

async fn counting() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |request: &Request| Reply::text(format!("Answer to {}", request.question())))
        .await
}

fn texts(history: &Value) -> Vec<&str> {
    let messages = history["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["blocks"][0]["text"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn history_is_paged_back_from_the_newest() {
    let provider = counting().await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    for n in 0..5 {
        client.ask(&n.to_string()).await.done();
    }
    let mut pages = Vec::new();
    let mut params = json!({"session": MAIN, "limit": 3});
    loop {
        let page = client.call("chat.history", params.clone()).await.expect("a page");
        let size = texts(&page).len();
        pages.splice(0..0, texts(&page).into_iter().map(str::to_owned));
        if page["next"].is_null() {
            break;
        }
        assert_eq!(size, 3, "a page that is not the last is full");
        params["before"] = page["next"].clone();
    }
    let whole: Vec<_> = (0..5).flat_map(|n| [n.to_string(), format!("Answer to {n}")]).collect();
    assert_eq!(pages, whole);
    let newest = client.call("chat.history", json!({"session": MAIN, "limit": 1})).await.expect("a page");
    assert_eq!(texts(&newest), ["Answer to 4"]);
    assert_eq!(newest["messages"][0]["role"], "assistant");
}

#[tokio::test]
async fn sessions_are_listed_page_by_page_and_found_by_key() {
    let provider = counting().await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let mut keys = BTreeSet::new();
    for peer in ["ada", "bob", "c:d", "eve", "flo"] {
        let turn = client.send_to(peer, "Hello.").await;
        client.finish(&turn).await.done();
        keys.insert(turn.session);
    }
    let mut seen = Vec::new();
    let mut params = json!({"limit": 2});
    loop {
        let page = client.call("session.list", params.clone()).await.expect("a page");
        let sessions = page["sessions"].as_array().expect("sessions");
        seen.extend(sessions.iter().map(|session| session["session"].as_str().expect("a key").to_owned()));
        if page["next"].is_null() {
            break;
        }
        assert_eq!(sessions.len(), 2);
        params["after"] = page["next"].clone();
    }
    assert_eq!(seen, keys.into_iter().collect::<Vec<_>>());

    let one = client.call("session.get", json!({"session": "default:websocket:local:c%3Ad"})).await.expect("a session");
    assert_eq!((&one["turns"], &one["messages"]), (&json!(1), &json!(2)), "{one}");
    let none = client.call("session.get", json!({"session": "default:websocket:local:nobody"})).await;
    assert_eq!(none.expect_err("no such session").code, -32007);
}

#[tokio::test]
async fn a_reset_session_forgets_for_the_model_and_not_for_its_owner() {
    let provider = counting().await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("Remember me.").await.done();
    client.call("session.reset", json!({"session": MAIN})).await.expect("an answer");
    client.ask("Who am I?").await.done();
    assert_eq!(provider.exchange(1).await.request.conversation(), [("user".to_owned(), "Who am I?".to_owned())]);
    let history = client.call("chat.history", json!({"session": MAIN})).await.expect("a history");
    assert_eq!(texts(&history).len(), 4);
    let none = client.call("session.reset", json!({"session": "default:websocket:local:nobody"})).await;
    assert_eq!(none.expect_err("no such session").code, -32007);
}

#[tokio::test]
async fn agents_and_plugins_are_listed_as_they_are() {
    let provider = counting().await;
    let agents = "[agents.helper]\ntools = [\"echo\"]\nmodels = [\"openai/gpt-5\"]";
    let gateway = Gateway::builder().provider(&provider).bundled_tools().tables(agents).start().await;
    let mut client = Client::connect(&gateway).await;
    let list = client.call("agent.list", json!({})).await.expect("a list");
    let agents = list["agents"].as_array().expect("agents");
    let named = |name: &str| agents.iter().find(|agent| agent["name"] == name).expect("the agent");
    assert_eq!(agents.len(), 2);
    assert_eq!(named("default")["models"], json!(["anthropic/claude-test"]));
    assert_eq!(named("default")["tools"], json!(["calculate", "current_time", "echo"]));
    assert_eq!(named("helper")["tools"], json!(["echo"]));

    let list = client.call("plugin.list", json!({})).await.expect("a list");
    let names: BTreeSet<_> = list["plugins"]
        .as_array()
        .expect("plugins")
        .iter()
        .map(|p| p["name"].clone())
        .map(|n| n.as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, ["calculator", "clock", "echo"].map(str::to_owned).into());
    let echo = client.call("plugin.inspect", json!({"name": "echo"})).await.expect("a plugin");
    let said = echo.to_string();
    for word in ["exoclaw:plugin/tool", "exoclaw:plugin/types", "Returns the given text unchanged"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    let none = client.call("plugin.inspect", json!({"name": "nobody"})).await.expect_err("no such plugin");
    assert_eq!(none.code, -32007);
}

#[tokio::test]
async fn status_counts_what_is_there() {
    let provider = counting().await;
    let gateway = Gateway::with(&provider).await;
    let (mut one, mut two) = (Client::connect(&gateway).await, Client::connect(&gateway).await);
    two.ping().await;
    let before = one.call("status", json!({})).await.expect("a status");
    drop(two);
    one.ask("Hello.").await.done();
    let after = one.call("status", json!({})).await.expect("a status");
    assert_ne!(before, after, "a status is no constant");
}

#[tokio::test]
async fn the_openrpc_document_names_every_method_and_none_besides() {
    let provider = counting().await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let document = client.call("rpc.discover", json!({})).await.expect("a document");
    assert!(document["openrpc"].as_str().is_some_and(|version| version.starts_with("1.")), "{document}");
    assert_eq!(document["info"]["version"], "0.1.0");
    let methods = document["methods"].as_array().expect("methods");
    let names: BTreeSet<&str> = methods.iter().map(|method| method["name"].as_str().expect("a name")).collect();
    let promised = [
        "agent.list",
        "auth",
        "channel.drop",
        "channel.events",
        "channel.list",
        "channel.replay",
        "chat.abort",
        "chat.history",
        "chat.send",
        "chat.subscribe",
        "chat.unsubscribe",
        "pairing.approve",
        "pairing.list",
        "pairing.remove",
        "ping",
        "plugin.inspect",
        "plugin.list",
        "rpc.discover",
        "session.delete",
        "session.get",
        "session.list",
        "session.reset",
        "status",
    ];
    for name in promised {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    for method in methods {
        assert!(method["params"].is_array() && method["result"].is_object(), "{method}");
        // A parameter that none has shows that the method exists without doing anything.
        let name = method["name"].as_str().expect("a name");
        let error = client.call(name, json!({"no such parameter": 1})).await.expect_err("wrong parameters");
        assert_eq!(error.code, -32602, "{name}: {error:?}");
    }
}
