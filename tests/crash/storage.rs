//! What the gateway does when its storage fails it.

mod damage;
mod disk;
mod owners;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Builder, Client, FakeProvider, Gateway, Reply, Request, Transcript, Turn, Wire, within};

/// A model that says yes to everything.
async fn agreeable() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |_: &Request| Reply::text("Yes.")).await
}

/// A gateway that keeps everything in this file.
fn keeping(provider: &FakeProvider, file: &Path) -> Builder {
    Gateway::builder().provider(provider).tables(&format!("[storage]\nurl = \"sqlite:{}\"", file.display()))
}

/// Waits until `/readyz` answers so, and returns what it says.
async fn readiness(gateway: &Gateway, status: u16) -> String {
    let ready = async {
        loop {
            let answer = gateway.get("/readyz").await;
            if answer.status == status {
                return answer.body;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("/readyz answers {status}"), ready).await
}

/// What users said in the main session, oldest first.
async fn said(client: &mut Client) -> Vec<String> {
    let mut pages = Vec::new();
    let mut params = json!({"session": "default:websocket:local:main", "limit": 500});
    loop {
        let mut page = match client.call("chat.history", params.clone()).await {
            Ok(page) => page,
            // Nobody said anything yet.
            Err(error) if error.code == -32007 => return Vec::new(),
            Err(error) => panic!("{error:?}"),
        };
        let Value::Array(messages) = page["messages"].take() else { panic!("a page is a list: {page}") };
        let users = messages.into_iter().filter(|message| message["role"] == "user");
        let texts = users.map(|message| message["blocks"][0]["text"].as_str().expect("a text").to_owned());
        pages.push(texts.collect::<Vec<_>>());
        params["before"] = page["next"].take();
        if params["before"].is_null() {
            return pages.into_iter().rev().flatten().collect();
        }
    }
}

/// Sends a message and reads its turn to the end, where it is accepted; else the error's text.
async fn try_ask(client: &mut Client, content: &str) -> Result<Transcript, String> {
    let sent = client.call("chat.send", json!({"content": content})).await;
    let turn = sent.map(|sent| Turn::new(&sent)).map_err(|error| error.message)?;
    Ok(client.finish(&turn).await)
}
