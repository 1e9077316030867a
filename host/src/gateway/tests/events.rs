//! Events on their way to clients. The tests publish what turns would.

use super::*;
use crate::store::{
    Accept, Delta, DoneReason, Epoch, EventBody, Message as Said, Role, SessionKey, Step, TurnEnd, TurnId,
};

fn session() -> SessionKey {
    "a:b:c:d".parse().expect("a key")
}

fn turn(n: u64) -> TurnId {
    TurnId::new(Timestamp(n), n)
}

impl Running {
    /// Kept, as a lane keeps it while it has turns.
    fn topic(&self) -> &Arc<Topic> {
        self.topic.get_or_init(|| self.dispatcher.hub().topic(&session()))
    }

    async fn begin(&self, n: u64) -> Result {
        let message = Arc::new(Said::text(Role::User, "x"));
        let accept = Accept {
            session: session(),
            turn: turn(n),
            message,
            destination: None,
            begin: None,
            idempotency: None,
            epoch: Epoch(0),
            now: Timestamp(n),
        };
        self.dispatcher.store().accept(accept).await?;
        let topic = self.topic();
        topic.reserve().await?;
        topic.announce(turn(n), EventBody::Queued);
        Ok(())
    }

    async fn say(&self, n: u64, text: &str, offset: u64) -> Result {
        let delta = Delta { delta: text.into(), step: 0, offset };
        Ok(self.topic().publish(turn(n), EventBody::Text(delta)).await?)
    }

    async fn end(&self, n: u64) -> Result {
        let topic = self.topic();
        let done = EventBody::Done { stop_reason: DoneReason::EndTurn, text: "x".into() };
        let events = topic.end(turn(n), done).await?;
        let last = events.last().cloned().ok_or("no events")?;
        let step = Step { events, ..Step::of(session(), turn(n), Epoch(0), Timestamp(n)) };
        self.dispatcher.store().finish(TurnEnd { step, deliveries: Vec::new() }).await?;
        topic.ended(turn(n), &last);
        Ok(())
    }
}

#[tokio::test]
async fn an_event_is_a_notification_that_its_schema_describes() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    client.result("chat.subscribe", json!({ "session": "a:b:c:d" })).await?;
    gateway.begin(1).await?;
    gateway.say(1, "Hé", 0).await?;
    gateway.end(1).await?;
    let id = turn(1).to_string();
    let event = |seq: u64, more: Value| {
        let mut params = json!({ "turn": id, "session": "a:b:c:d", "seq": seq });
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "jsonrpc": "2.0", "method": "chat.event", "params": params })
    };
    let mut events = Vec::new();
    for expected in [
        event(1, json!({ "type": "queued" })),
        event(2, json!({ "type": "text", "delta": "Hé", "step": 0, "offset": 0 })),
        event(3, json!({ "type": "done", "stop_reason": "end_turn", "text": "x" })),
    ] {
        let event = client.next().await?;
        assert_eq!(event, expected);
        events.push(event);
    }
    let document = client.result("rpc.discover", json!({})).await?;
    let mut schema = document["x-notifications"][0]["params"].clone();
    schema.as_object_mut().ok_or("no schema")?.insert("components".into(), document["components"].clone());
    for event in events {
        jsonschema::validate(&schema, &event["params"]).map_err(|error| error.to_string())?;
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_second_client_resumes_where_it_left_off() -> Result {
    let gateway = start(&config(), None)?;
    let mut first = gateway.client().await?;
    first.result("chat.subscribe", json!({ "session": "a:b:c:d" })).await?;
    gateway.begin(1).await?;
    gateway.say(1, "a", 0).await?;
    let last = loop {
        let event = first.next().await?;
        if event["params"]["type"] == "text" {
            break event["params"]["seq"].clone();
        }
    };
    drop(first);
    gateway.say(1, "b", 1).await?;
    gateway.end(1).await?;
    gateway.begin(2).await?;
    let mut second = gateway.client().await?;
    second.result("chat.subscribe", json!({ "session": "a:b:c:d", "after_seq": last })).await?;
    gateway.end(2).await?;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = second.next().await?;
        seen.push((event["params"]["type"].clone(), event["params"]["delta"].clone()));
    }
    // What was merged meanwhile comes with its offset.
    assert_eq!(seen[0], (json!("text"), json!("ab")));
    assert_eq!(seen[1..].iter().map(|(kind, _)| kind).collect::<Vec<_>>(), ["done", "queued", "done"]);
    gateway.stop().await
}

#[tokio::test]
async fn a_slow_client_slows_nobody_and_is_told_where_to_resume() -> Result {
    let gateway = start(&GatewayConfig { queue: 8, ..config() }, None)?;
    let mut slow = gateway.client().await?;
    slow.result("chat.subscribe", json!({ "session": "a:b:c:d" })).await?;
    gateway.begin(1).await?;
    // Far more than sockets buffer. Nothing here waits for the client.
    let text = "x".repeat(64 << 10);
    for n in 0..500 {
        // A gap between them keeps them apart in the log.
        gateway.say(1, &text, n * (128 << 10)).await?;
        tokio::task::yield_now().await;
    }
    gateway.end(1).await?;
    let mut other = gateway.client().await?;
    assert!(other.call("ping", json!({})).await?.is_ok());

    let mut last = 0;
    let lagged = loop {
        let notice = slow.next().await?;
        if notice["method"] == "chat.lagged" {
            break notice;
        }
        last = notice["params"]["seq"].as_u64().ok_or("no seq")?;
    };
    assert_eq!(lagged["params"], json!({ "session": "a:b:c:d", "after_seq": last }));
    slow.result("chat.subscribe", json!({ "session": "a:b:c:d", "after_seq": last })).await?;
    loop {
        let event = slow.next().await?;
        let seq = event["params"]["seq"].as_u64().ok_or("no seq")?;
        assert!(seq > last, "{event}");
        last = seq;
        if event["params"]["type"] == "done" {
            break;
        }
    }
    gateway.stop().await
}

#[tokio::test]
async fn subscriptions_are_limited_and_an_unsubscription_ends_one() -> Result {
    let gateway = start(&GatewayConfig { max_subscriptions: 1, ..config() }, None)?;
    let mut client = gateway.client().await?;
    client.result("chat.subscribe", json!({ "session": "a:b:c:d" })).await?;
    let refused = client.call("chat.subscribe", json!({ "session": "a:b:c:other" })).await?;
    assert_eq!(refused.map_err(|error| error["code"].clone()), Err(json!(-32005)));
    client.result("chat.unsubscribe", json!({ "session": "a:b:c:d" })).await?;
    gateway.begin(1).await?;
    gateway.end(1).await?;
    assert!(client.call("ping", json!({})).await?.is_ok(), "and no event before it");
    client.result("chat.subscribe", json!({ "session": "a:b:c:other" })).await?;
    gateway.stop().await
}

#[tokio::test]
async fn what_has_happened_is_told_before_the_gateway_closes() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    client.result("chat.subscribe", json!({ "session": "a:b:c:d" })).await?;
    gateway.begin(1).await?;
    gateway.end(1).await?;
    gateway.shutdown.cancel();
    assert_eq!(client.next().await?["params"]["type"], "queued");
    assert_eq!(client.next().await?["params"]["type"], "done");
    assert_eq!(client.closed().await?, 1001);
    gateway.stop().await
}

#[tokio::test]
async fn a_batch_is_answered_before_the_events_that_it_asked_for() -> Result {
    let gateway = start(&config(), None)?;
    gateway.begin(1).await?;
    let mut client = gateway.client().await?;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"chat.subscribe","params":{"session":"a:b:c:d","after_seq":0}},
        {"jsonrpc":"2.0","id":2,"method":"session.get","params":{"session":"a:b:c:d"}}]"#;
    let answers = client.ask(batch).await?;
    assert_eq!(answers[1]["result"]["turns"], 1, "{answers}");
    assert_eq!(client.next().await?["params"]["type"], "queued");
    gateway.stop().await
}

#[tokio::test]
async fn history_reads_as_messages_with_blocks() -> Result {
    let gateway = start(&config(), None)?;
    for n in 1..=3 {
        gateway.begin(n).await?;
    }
    let mut client = gateway.client().await?;
    let page = client.result("chat.history", json!({ "session": "a:b:c:d", "limit": 2 })).await?;
    let positions = |page: &Value| {
        page["messages"].as_array().map(|list| list.iter().map(|m| m["position"].clone()).collect::<Vec<_>>())
    };
    assert_eq!(positions(&page), Some(vec![json!(1), json!(2)]));
    assert_eq!(
        page["messages"][0],
        json!({ "position": 1, "turn": turn(2).to_string(), "at": 2, "role": "user", "blocks": [{ "type": "text", "text": "x" }] })
    );
    let page = client.result("chat.history", json!({ "session": "a:b:c:d", "before": page["next"] })).await?;
    assert_eq!((positions(&page), &page["next"]), (Some(vec![json!(0)]), &Value::Null));
    gateway.stop().await
}

#[tokio::test]
async fn a_page_of_large_messages_holds_fewer_and_the_next_goes_on() -> Result {
    let gateway = start(&config(), None)?;
    gateway.begin(1).await?;
    let large = Arc::new(Said::text(Role::Assistant, "x".repeat(400 << 10)));
    let step = Step { messages: vec![large; 5], ..Step::of(session(), turn(1), Epoch(0), Timestamp(1)) };
    gateway.dispatcher.store().append(step).await?;
    let mut client = gateway.client().await?;
    let (mut before, mut seen) = (Value::Null, Vec::new());
    loop {
        let mut params = json!({ "session": "a:b:c:d" });
        if !before.is_null() {
            params["before"] = before;
        }
        let page = client.result("chat.history", params).await?;
        let messages = page["messages"].as_array().ok_or("no messages")?;
        assert!((1..=2).contains(&messages.len()) || seen.len() >= 4, "{}", messages.len());
        seen.splice(0..0, messages.iter().filter_map(|message| message["position"].as_u64()));
        before = page["next"].clone();
        if before.is_null() {
            break;
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    gateway.stop().await
}

#[tokio::test]
async fn a_session_is_deleted_once_and_then_there_is_none() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    gateway.begin(1).await?;
    gateway.end(1).await?;
    let params = json!({ "session": "a:b:c:d" });
    assert_eq!(client.result("session.delete", params.clone()).await?, json!({ "deleted": true }));
    for method in ["session.delete", "session.get", "chat.history"] {
        let error = client.call(method, params.clone()).await?.err().ok_or("an answer")?;
        assert_eq!(error["code"], -32007, "{method}");
    }
    Ok(())
}
