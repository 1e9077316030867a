//! One turn at a time in a session, all sessions side by side.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Client, FakeProvider, Gate, Gateway, Reply, Request, WIRES, Wire};

#[tokio::test]
async fn the_second_of_two_quick_messages_sees_the_answer_to_the_first() {
    for wire in WIRES {
        let provider = FakeProvider::scripted(wire, [Reply::text("Answer one."), Reply::text("Answer two.")]).await;
        let gateway = Gateway::with(&provider).await;
        let mut client = Client::connect(&gateway).await;
        // Both are on their way before either is answered.
        let ids = [
            client.request("chat.send", json!({"content": "First?"})).await,
            client.request("chat.send", json!({"content": "Second?"})).await,
        ];
        let mut turns = Vec::new();
        for id in ids {
            turns.push(crate::harness::Turn::new(&client.answer(id).await.expect("accepted")));
        }
        assert_eq!(client.finish(&turns[0]).await.done()["text"], "Answer one.");
        assert_eq!(client.finish(&turns[1]).await.done()["text"], "Answer two.");
        let spoken = provider.exchange(1).await.request.conversation();
        let texts: Vec<_> = spoken.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["First?", "Answer one.", "Second?"], "{wire:?}");
    }
}

#[tokio::test]
async fn messages_of_two_clients_are_answered_one_after_the_other() {
    let gate = Gate::new();
    let answers = [Reply::text("Answer ").wait(&gate).say("one."), Reply::text("Answer two.")];
    let provider = FakeProvider::scripted(Wire::OpenAi, answers).await;
    let gateway = Gateway::with(&provider).await;
    let (mut one, mut two) = (Client::connect(&gateway).await, Client::connect(&gateway).await);
    let first = one.send_chat("First?").await;
    one.until(&first, "text").await;
    let second = two.send_chat("Second?").await;
    assert_eq!(two.event(&second).await["type"], "queued");
    two.ping().await;
    assert_eq!(provider.count(), 1, "the second waits");
    assert_eq!(two.unread().count(), 0);
    gate.open();
    assert_eq!(one.finish(&first).await.done()["text"], "Answer one.");
    assert_eq!(two.finish(&second).await.done()["text"], "Answer two.");
    assert!(provider.exchange(1).await.request.conversation().contains(&("assistant".into(), "Answer one.".into())));
}

#[tokio::test]
async fn two_hundred_sessions_run_at_once_and_none_sees_another() {
    const SESSIONS: usize = 200;
    for wire in WIRES {
        let all_here = Gate::new();
        let gate = all_here.clone();
        let provider = FakeProvider::start(wire, move |request: &Request| {
            Reply::text("You said: ").wait(&gate).say(request.question())
        })
        .await;
        let gateway = Gateway::with(&provider).await;
        let secret = |user: usize| format!("the word of user <{user}> is {}", user * 7919 % 10_007);
        let user = async |user: usize| {
            let mut client = Client::connect(&gateway).await;
            let turn = client.send_to(&format!("user:{user}"), &secret(user)).await;
            assert_eq!(turn.session, format!("default:websocket:local:user%3A{user}"));
            client.finish(&turn).await
        };
        let arrived = async {
            // No turn ends before all have begun.
            provider.exchange(SESSIONS - 1).await;
            all_here.open();
        };
        let (shown, ()) = tokio::join!(join_all((0..SESSIONS).map(user)), arrived);
        for (user, shown) in shown.iter().enumerate() {
            assert_eq!(shown.done()["text"], format!("You said: {}", secret(user)));
        }
        assert_eq!(provider.count(), SESSIONS);
        for body in provider.bodies() {
            let body = body.to_string();
            let words = (0..SESSIONS).filter(|user| body.contains(&format!("user <{user}>"))).count();
            assert_eq!(words, 1, "{wire:?}: one user's words in one request: {body}");
        }
    }
}

#[tokio::test]
async fn keys_whose_parts_hold_colons_are_different_sessions() {
    let provider = FakeProvider::start(Wire::Anthropic, |request: &Request| {
        Reply::text(format!("{} messages", request.messages().len()))
    })
    .await;
    let gateway = Gateway::with(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let one = client.chat(json!({"content": "One.", "account": "a:b", "peer": "c"})).await;
    let two = client.chat(json!({"content": "Two.", "account": "a", "peer": "b:c"})).await;
    assert_ne!(one.session, two.session);
    assert_eq!(client.finish(&one).await.done()["text"], "1 messages");
    assert_eq!(client.finish(&two).await.done()["text"], "1 messages");
}

#[tokio::test]
async fn bindings_choose_the_agent_and_the_nearest_wins() {
    let provider = FakeProvider::start(Wire::Anthropic, |request: &Request| {
        Reply::text(request.body["system"].as_str().unwrap_or_default())
    })
    .await;
    let tables = r#"
        [agents.work]
        system = "I work."
        [agents.home]
        system = "I am at home."
        [[bindings]]
        agent = "work"
        team = "office"
        [[bindings]]
        agent = "home"
        peer = "partner"
    "#;
    let gateway =
        Gateway::builder().provider(&provider).agent("system = \"I am the usual.\"").tables(tables).start().await;
    let mut client = Client::connect(&gateway).await;
    let cases = [
        (json!({"content": "Who?"}), "default", "I am the usual."),
        (json!({"content": "Who?", "team": "office"}), "work", "I work."),
        (json!({"content": "Who?", "team": "office", "peer": "partner"}), "home", "I am at home."),
        (json!({"content": "Who?", "team": "office", "agent": "default"}), "default", "I am the usual."),
    ];
    for (params, agent, answer) in cases {
        let turn = client.chat(params).await;
        assert!(turn.session.starts_with(&format!("{agent}:websocket:local:")), "{}", turn.session);
        assert_eq!(client.finish(&turn).await.done()["text"], answer);
    }
    let unknown = client.call("chat.send", json!({"content": "Who?", "agent": "nobody"})).await.expect_err("nobody");
    assert_eq!(unknown.code, -32002);
    assert!(unknown.message.contains("nobody") && unknown.message.contains("work"), "{unknown:?}");
}

#[tokio::test]
async fn a_session_takes_no_more_messages_than_its_limit() {
    let gate = Gate::new();
    let blocker = gate.clone();
    let provider = FakeProvider::start(Wire::Anthropic, move |_: &Request| Reply::text("Ok").wait(&blocker)).await;
    let gateway = Gateway::builder().provider(&provider).tables("[limits]\nqueued = 2").start().await;
    let mut client = Client::connect(&gateway).await;
    let mut turns = vec![client.send_chat("Runs.").await];
    client.until(&turns[0], "text").await;
    turns.push(client.send_chat("Waits.").await);
    turns.push(client.send_chat("Waits too.").await);
    let full = client.call("chat.send", json!({"content": "Too much."})).await.expect_err("the session is full");
    assert_eq!(full.code, -32005, "{full:?}");
    let other = client.send_to("other", "Another session has room.").await;
    gate.open();
    for turn in turns.iter().chain([&other]) {
        client.finish(turn).await.done();
    }
}

#[tokio::test]
async fn sessions_in_memory_are_bounded_and_the_one_idle_longest_goes() {
    let gate = Gate::new();
    let blocker = gate.clone();
    let provider = FakeProvider::start(Wire::Anthropic, move |request: &Request| {
        let reply = Reply::text(format!("{} messages", request.messages().len()));
        if request.question() == "Stay." { reply.wait(&blocker) } else { reply }
    })
    .await;
    let gateway = Gateway::builder()
        .provider(&provider)
        .tables("[storage]\nurl = \"memory\"\n[limits]\nsessions = 2")
        .start()
        .await;
    let mut client = Client::connect(&gateway).await;
    for peer in ["ada", "bob", "eve"] {
        let turn = client.send_to(peer, "Hello.").await;
        client.finish(&turn).await.done();
    }
    let list = client.call("session.list", json!({})).await.expect("a list");
    let keys: Vec<_> =
        list["sessions"].as_array().expect("sessions").iter().map(|session| &session["session"]).collect();
    assert_eq!(keys, ["default:websocket:local:bob", "default:websocket:local:eve"]);

    // What is at work never goes.
    let busy = [client.send_to("bob", "Stay.").await, client.send_to("eve", "Stay.").await];
    for turn in &busy {
        client.until(turn, "text").await;
    }
    let full = client.call("chat.send", json!({"content": "Hello.", "peer": "flo"})).await.expect_err("no room");
    assert_eq!(full.code, -32005, "{full:?}");
    gate.open();
    for turn in &busy {
        assert_eq!(client.finish(turn).await.done()["text"], "3 messages");
    }
}
