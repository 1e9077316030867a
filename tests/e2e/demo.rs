//! What a newcomer sees who has no key.

use serde_json::json;

use crate::harness::{Client, Gateway};

async fn demo() -> Gateway {
    let mut gateway = Gateway::builder().bundled_tools().argument("--demo").start().await;
    let said = gateway.line().await.to_lowercase();
    assert!(said.contains("script"), "it says that the model is scripted: {said}");
    gateway
}

#[tokio::test]
async fn without_a_key_the_error_says_which_variable_to_set() {
    let gateway = Gateway::builder().start().await;
    let mut client = Client::connect(&gateway).await;
    let error = client.call("chat.send", json!({"content": "Hello?"})).await.expect_err("no model");
    assert!([-32002, -32004].contains(&error.code), "{error:?}");
    for variable in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
        assert!(error.message.contains(variable), "{error:?}");
    }
    // All else works.
    client.ping().await;
    assert_eq!(gateway.get("/livez").await.status, 200);
}

#[tokio::test]
async fn the_demo_runs_the_tools_that_plain_words_ask_for() {
    let gateway = demo().await;
    let mut client = Client::connect(&gateway).await;
    let asked = [
        ("What is 12.5 * (3 + 4)?", "calculate", "87.5"),
        ("Please echo \"İstanbul 🦀\"", "echo", "İstanbul 🦀"),
        ("What time is it in Tokyo?", "current_time", "+09:00"),
    ];
    for (question, tool, answer) in asked {
        let shown = client.ask(question).await;
        assert_eq!(shown.one("tool_use")["name"], tool, "{question}");
        let [(_, result, false)] = &shown.results()[..] else { panic!("one good result: {:?}", shown.results()) };
        assert!(result.contains(answer), "{result}");
        assert!(shown.done()["text"].as_str().expect("a text").contains(result.as_str()), "{}", shown.end());
        assert!(shown.of("text").len() > 1, "the answer streams");
        assert_eq!(shown.of("usage").len(), 2);
    }
}

#[tokio::test]
async fn the_demo_holds_a_conversation_and_says_what_it_is() {
    let gateway = demo().await;
    let mut client = Client::connect(&gateway).await;
    let said = client.ask("Hello!").await.done()["text"].as_str().expect("a text").to_owned();
    assert!(said.to_lowercase().contains("script"), "{said}");
    for question in ["Who are you?", "İ and emoji 🦀?", "What is 1 + 1?", "Thank you."] {
        let shown = client.ask(question).await;
        assert_eq!(shown.done()["stop_reason"], "end_turn");
        assert!(!shown.text().is_empty());
    }
    let history = client.call("chat.history", json!({"session": "default:websocket:local:main"})).await;
    let history = history.expect("a history");
    assert!(history["messages"].as_array().is_some_and(|messages| messages.len() >= 12), "{history}");
}

#[tokio::test]
async fn a_gateway_needs_neither_a_file_nor_a_folder() {
    let gateway = Gateway::builder().without_config().argument("--demo").start().await;
    let shown = Client::connect(&gateway).await.ask("What is 2 + 2?").await;
    assert_eq!(shown.results()[0].1, "4", "the bundled tools are there by themselves");
}
