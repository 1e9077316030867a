use std::io;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::super::Exit;
use super::fake::{Peer, gateway};
use super::*;
use crate::secrets::Secret;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn an_answer_is_told_from_the_news_before_it() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        let (id, params) = peer.expect("status").await;
        assert_eq!(params, json!({}));
        peer.text(1, 0, "early").await;
        peer.send(json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "not ours" } })).await;
        peer.answer(id, json!(null)).await;
        let (id, _) = peer.expect("other").await;
        peer.send(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no such method" } }))
            .await;
    })
    .await;
    let mut client = Client::connect(&target).await?;
    assert_eq!(client.call("status", &json!({})).await?.get(), "null");
    assert!(matches!(client.next().await?, Incoming::Notification(news) if news.params.get().contains("early")));
    let refused = client.call("other", &json!({})).await.expect_err("an error");
    assert_eq!(refused.to_string(), "no such method (code -32601)");
    assert_eq!(refused.exit(), Exit::Failed);
    server.await?;
    assert!(client.next().await.is_err_and(|error| error.is_passing()));
    Ok(())
}

#[tokio::test]
async fn where_nobody_listens_it_is_said_how_to_start_a_gateway() -> Result {
    let (target, server) = gateway(|door| async move { drop(door) }).await;
    server.await?;
    let error = Client::connect(&target).await.err().ok_or("a connection")?;
    assert!(error.to_string().ends_with("start one with `exoclaw gateway`"), "{error}");
    assert_eq!(error.exit(), Exit::Unreachable);
    Ok(())
}

#[tokio::test]
async fn the_token_is_shown_at_the_upgrade_and_a_refusal_names_its_variable() -> Result {
    #[allow(clippy::result_large_err)]
    let check = |request: &Request, response: Response| {
        if request.headers().get("authorization").is_some_and(|value| value == "Bearer right") {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = hyper::StatusCode::UNAUTHORIZED;
        Err(refusal)
    };
    let (target, server) = gateway(|door| async move {
        for _ in 0..2 {
            let (stream, _) = door.0.accept().await.expect("a client");
            if let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, check).await {
                let mut peer = Peer(socket);
                let (id, _) = peer.expect("ping").await;
                peer.answer(id, json!({})).await;
            }
        }
    })
    .await;
    let refused =
        Client::connect(&target.clone().with_token(Secret::new("wrong".into()))).await.err().ok_or("a refusal")?;
    assert!(matches!(refused, ClientError::Unauthorised { .. }), "{refused}");
    assert!(refused.to_string().contains("EXOCLAW_TOKEN"), "{refused}");
    let mut client = Client::connect(&target.with_token(Secret::new("right".into()))).await?;
    client.call("ping", &json!({})).await?;
    server.await?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_gateway_is_told_so() -> Result {
    let (target, server) = gateway(|door| async move {
        let (mut stream, _) = door.0.accept().await?;
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        io::Result::Ok(read)
    })
    .await;
    let error = Client::connect(&target).await.err().ok_or("a connection")?;
    assert!(matches!(error, ClientError::NoGateway { .. }), "{error}");
    assert!(server.await?? > 0);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_has_gone_silent_is_given_up() -> Result {
    let (target, server) = gateway(|door| async move { door.next().await }).await;
    let mut client = Client::connect(&target).await?;
    // It stays open, and nobody reads from it.
    let _peer = server.await?;
    tokio::time::pause();
    assert!(matches!(client.next().await, Err(ClientError::Silent)));
    assert!(matches!(client.call("ping", &json!({})).await, Err(ClientError::Silent | ClientError::Late { .. })));
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_no_json_is_an_error_and_no_panic() -> Result {
    let (target, server) = gateway(|door| async move {
        let mut peer = door.next().await;
        for text in ["", "{", "[]", "3", "\u{0}"] {
            peer.0.send(Message::text(text)).await.expect("a client");
        }
    })
    .await;
    let mut client = Client::connect(&target).await?;
    for _ in 0..5 {
        assert!(matches!(client.next().await, Err(ClientError::Answer(_))));
    }
    server.await?;
    Ok(())
}
