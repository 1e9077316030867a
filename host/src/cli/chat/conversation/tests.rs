use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::super::super::client::fake::{SESSION, TURN, gateway};
use super::super::screen::{Colours, Reply, Style};
use super::super::view::Asides;
use super::*;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A conversation, and the other end of its screen.
async fn conversation(target: Target) -> Result<(Conversation, View, DuplexStream)> {
    let (screen, shown) = duplex(1 << 16);
    let style = Style { colours: Colours::Plain, reply: Reply::Screen };
    let view = View::people(Box::new(screen), Box::new(tokio::io::sink()), style, Asides::WithReply);
    let parties = Parties { peer: "main".into(), agent: None };
    let mut conversation = Conversation::open(target, parties).await?;
    conversation.backoff = &[Duration::ZERO; 3];
    Ok((conversation, view, shown))
}

/// What was shown, when the view is gone.
async fn read(view: View, mut shown: DuplexStream) -> Result<String> {
    drop(view);
    let mut text = String::new();
    shown.read_to_string(&mut text).await?;
    Ok(text)
}

fn nobody() -> mpsc::Receiver<()> {
    mpsc::channel(1).1
}

#[tokio::test]
async fn a_message_is_sent_and_its_turn_shown() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        let params = peer.accept().await;
        // Of another turn, of an unknown type, and not of this protocol.
        peer.send(
            json!({"method": "chat.event", "params": {"turn": "02hzzzzzzzzzzzzzzzzz", "session": SESSION, "seq": 1,
            "type": "text", "delta": "no", "step": 0, "offset": 0}}),
        )
        .await;
        peer.event(2, json!({"type": "from_the_future"})).await;
        peer.send(json!({"method": "weather", "params": null})).await;
        peer.text(3, 0, "Hel").await;
        peer.text(4, 3, "lo").await;
        peer.text(4, 3, "lo").await;
        peer.done(5, "end_turn").await;
        params
    })
    .await;
    let (mut conversation, mut view, shown) = conversation(target).await?;
    let outcome = conversation.say("Hi", &mut view, &mut nobody()).await?;
    assert_eq!(outcome, Outcome::Done(DoneReason::EndTurn));
    assert_eq!(read(view, shown).await?, "Hello\n");
    let params = server.await?;
    assert_eq!((&params["content"], &params["peer"], &params["agent"]), (&json!("Hi"), &json!("main"), &Value::Null));
    assert_eq!(params["idempotency_key"].as_str().map(str::len), Some(32));
    assert_eq!(conversation.session().map(|session| session.to_string()).as_deref(), Some(SESSION));
    Ok(())
}

#[tokio::test]
async fn a_turn_goes_on_over_a_new_connection_where_its_display_ended() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut first = door.next().await;
        first.accept().await;
        first.text(7, 0, "Hel").await;
        drop(first);
        // The first attempt to come back fails, too.
        drop(door.next().await);
        let mut second = door.next().await;
        let (id, params) = second.expect("chat.subscribe").await;
        second.text(8, 0, "Hello,").await;
        second.answer(id, json!({})).await;
        second.text(9, 6, " you").await;
        second.done(10, "end_turn").await;
        params
    })
    .await;
    let (mut conversation, mut view, shown) = conversation(target).await?;
    assert_eq!(conversation.say("Hi", &mut view, &mut nobody()).await?, Outcome::Done(DoneReason::EndTurn));
    assert_eq!(server.await?, json!({"session": SESSION, "after_seq": 7}));
    assert_eq!(read(view, shown).await?, "Hello, you\n");
    Ok(())
}

#[tokio::test]
async fn a_message_whose_acceptance_was_lost_is_sent_again_under_its_key() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut first = door.next().await;
        let (_, lost) = first.expect("chat.send").await;
        drop(first);
        let mut second = door.next().await;
        let again = second.accept().await;
        drop(second);
        // Accepted, but no event was seen: the repeat brings them all.
        let mut third = door.next().await;
        let last = third.accept().await;
        third.done(1, "end_turn").await;
        [lost, again, last]
    })
    .await;
    let (mut conversation, mut view, _shown) = conversation(target).await?;
    assert_eq!(conversation.say("Hi", &mut view, &mut nobody()).await?, Outcome::Done(DoneReason::EndTurn));
    let [lost, again, last] = server.await?;
    assert!(lost == again && again == last, "{lost} {again} {last}");
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_stays_away_ends_the_attempts() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        peer.accept().await;
        peer.text(1, 0, "Hel").await;
    })
    .await;
    let (mut conversation, mut view, _shown) = conversation(target).await?;
    let error = conversation.say("Hi", &mut view, &mut nobody()).await.expect_err("an end");
    assert!(matches!(&error, CliError::Client(ClientError::Unreachable { .. })), "{error}");
    server.await?;
    Ok(())
}

/// Reads from the screen until a text was shown.
async fn until(shown: &mut DuplexStream, text: &str) -> Result {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        seen.push(shown.read_u8().await?);
    }
    Ok(())
}

#[tokio::test]
async fn an_interrupt_stops_the_turn() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        peer.accept().await;
        peer.text(1, 0, "Once upon").await;
        let (id, params) = peer.expect("chat.abort").await;
        peer.answer(id, json!({})).await;
        peer.done(2, "aborted").await;
        params
    })
    .await;
    let (interrupt, mut interrupts) = mpsc::channel(2);
    let (mut conversation, mut view, mut shown) = conversation(target).await?;
    let press = async {
        until(&mut shown, "upon").await?;
        interrupt.send(()).await?;
        Result::Ok(())
    };
    let (outcome, pressed) = tokio::join!(conversation.say("Hi", &mut view, &mut interrupts), press);
    pressed?;
    assert_eq!(outcome?, Outcome::Done(DoneReason::Aborted));
    assert_eq!(server.await?, json!({"session": SESSION, "turn": TURN}));
    assert_eq!(read(view, shown).await?, "\n[stopping…]\n[stopped]\n");
    Ok(())
}

#[tokio::test]
async fn a_second_interrupt_leaves_a_turn_that_does_not_stop() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        peer.accept().await;
        peer.text(1, 0, "Once upon").await;
        peer
    })
    .await;
    let (interrupt, mut interrupts) = mpsc::channel(2);
    let (mut conversation, mut view, mut shown) = conversation(target).await?;
    let press = async {
        until(&mut shown, "upon").await?;
        interrupt.send(()).await?;
        until(&mut shown, "stopping").await?;
        interrupt.send(()).await?;
        Result::Ok(())
    };
    let (outcome, pressed) = tokio::join!(conversation.say("Hi", &mut view, &mut interrupts), press);
    pressed?;
    assert_eq!(outcome?, Outcome::Left);
    drop(server.await?);
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_shown_like_an_error() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        let (id, _) = peer.expect("chat.send").await;
        peer.send(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32005, "message": "busy", "data": {}}})).await;
    })
    .await;
    let (mut conversation, mut view, shown) = conversation(target).await?;
    assert_eq!(conversation.say("Hi", &mut view, &mut nobody()).await?, Outcome::Failed);
    server.await?;
    assert_eq!(read(view, shown).await?, "error: busy (code -32005) Trying again may help.\n");
    Ok(())
}

#[tokio::test]
async fn a_client_that_lags_subscribes_anew() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        peer.accept().await;
        peer.text(1, 0, "a").await;
        peer.send(json!({"method": "chat.lagged", "params": {"session": SESSION, "after_seq": 1}})).await;
        let (id, params) = peer.expect("chat.subscribe").await;
        peer.answer(id, json!({})).await;
        peer.text(3, 1, "b").await;
        peer.done(4, "end_turn").await;
        params
    })
    .await;
    let (mut conversation, mut view, shown) = conversation(target).await?;
    conversation.say("Hi", &mut view, &mut nobody()).await?;
    assert_eq!(server.await?["after_seq"], 1);
    assert_eq!(read(view, shown).await?, "ab\n");
    Ok(())
}

#[tokio::test]
async fn json_is_one_event_a_line() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        peer.accept().await;
        peer.text(1, 0, "a\nb").await;
        peer.done(2, "end_turn").await;
        let (id, _) = peer.expect("chat.send").await;
        peer.send(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32002, "message": "no agent"}})).await;
    })
    .await;
    let (mut conversation, _, _) = conversation(target).await?;
    let (stdout, shown) = duplex(1 << 16);
    let mut view = View::json(Box::new(stdout), Box::new(tokio::io::sink()));
    conversation.say("Hi", &mut view, &mut nobody()).await?;
    assert_eq!(conversation.say("Hi", &mut view, &mut nobody()).await?, Outcome::Failed);
    server.await?;
    let shown = read(view, shown).await?;
    let lines: Vec<Value> = shown.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["delta"], &lines[1]["type"]), (&json!("a\nb"), &json!("done")));
    assert_eq!(lines[2], json!({"type": "error", "code": -32002, "message": "no agent", "retryable": false}));
    Ok(())
}
