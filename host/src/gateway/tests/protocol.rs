//! HTTP and WebSocket: what is refused, what is closed, and how it all ends.

use super::*;

const WHO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[tokio::test]
async fn health_is_told_and_other_paths_are_not_there() -> Result {
    let gateway = start(&config(), Some("right"))?;
    assert!(gateway.get("/livez").await?.starts_with("HTTP/1.1 200 "));
    assert!(gateway.get("/readyz").await?.starts_with("HTTP/1.1 200 "));
    assert!(gateway.get("/").await?.starts_with("HTTP/1.1 404 "));
    let post = format!("POST /livez HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gateway.address);
    let refused = gateway.http(&post).await?;
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"), "{refused}");
    let plain = gateway.get("/ws").await?;
    assert!(plain.starts_with("HTTP/1.1 426 ") && plain.contains("upgrade: websocket\r\n"), "{plain}");
    assert!(
        gateway
            .http("GET /livez HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
            .await?
            .starts_with("HTTP/1.1 403 ")
    );
    assert!(gateway.http("GET /livez HTTP/1.0\r\n\r\n").await?.contains(" 400 Bad Request\r\n"));
    gateway.stop().await
}

#[tokio::test]
async fn a_draining_gateway_takes_no_new_clients_and_keeps_those_it_has() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    gateway.readiness.drain();
    assert!(gateway.get("/readyz").await?.starts_with("HTTP/1.1 503 "));
    assert!(gateway.get("/livez").await?.starts_with("HTTP/1.1 200 "));
    assert_eq!(gateway.refusal(&[]).await?, 503);
    assert_eq!(client.call("status", json!({})).await?.map(|status| status["ready"].clone()), Ok(json!(false)));
    gateway.stop().await
}

#[tokio::test]
async fn shutdown_closes_every_connection_as_going_away() -> Result {
    let gateway = start(&config(), Some("right"))?;
    let mut clients = [gateway.client().await?, gateway.client_with(&[("authorization", "Bearer right")]).await?];
    let address = gateway.address;
    // One that sends half a request's head, and nothing more.
    let mut idle = TcpStream::connect(address).await?;
    idle.write_all(b"GET / HT").await?;
    let stopped = tokio::spawn(async move { gateway.stop().await.map_err(|error| error.to_string()) });
    for client in &mut clients {
        assert_eq!(client.closed().await?, 1001);
    }
    stopped.await??;
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn past_the_limit_a_connection_is_refused_and_the_others_go_on() -> Result {
    let gateway = start(&GatewayConfig { max_connections: 1, ..config() }, None)?;
    let mut client = gateway.client().await?;
    let refused = gateway.get("/livez").await?;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("max_connections"), "{refused}");
    assert!(client.call("ping", json!({})).await?.is_ok());
    gateway.stop().await
}

#[tokio::test]
async fn a_connection_that_ends_makes_room_for_another() -> Result {
    let gateway = start(&GatewayConfig { max_connections: 1, ..config() }, None)?;
    let mut client = gateway.client().await?;
    client.socket.close(None).await?;
    while client.socket.next().await.is_some() {}
    while !gateway.get("/livez").await?.starts_with("HTTP/1.1 200 ") {
        tokio::task::yield_now().await;
    }
    gateway.stop().await
}

#[tokio::test]
async fn each_broken_rule_has_its_close_code() -> Result {
    let gateway = start(&GatewayConfig { max_message: crate::config::ByteSize::kib(64), ..config() }, None)?;
    let cases: [(&str, &[u8], u16); 7] = [
        ("a binary message", &[0x82, 0x81, 0, 0, 0, 0, 7], 1003),
        ("a text that is not UTF-8", &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
        ("a frame without mask", &[0x81, 0x01, b'x'], 1002),
        ("a reserved bit", &[0xc1, 0x81, 0, 0, 0, 0, b'x'], 1002),
        ("an unknown opcode", &[0x83, 0x81, 0, 0, 0, 0, b'x'], 1002),
        ("a continuation of nothing", &[0x80, 0x81, 0, 0, 0, 0, b'x'], 1002),
        ("a frame of 2^63 - 1 bytes", &[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009),
    ];
    for (what, frame, code) in cases {
        let mut client = gateway.client().await?;
        client.raw(frame).await?;
        assert_eq!(client.closed().await?, code, "{what}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_huge_message_is_refused_while_it_is_still_being_sent() -> Result {
    let gateway = start(&config(), None)?;
    let client = gateway.client().await?;
    let (mut sink, mut stream) = client.socket.split();
    let flood = tokio::spawn(async move { sink.send(Message::text("x".repeat(15 << 20))).await });
    loop {
        match stream.next().await.ok_or("ended without a close")?? {
            Message::Close(Some(frame)) => break assert_eq!(u16::from(frame.code), 1009),
            other => drop(other),
        }
    }
    flood.abort();
    gateway.stop().await
}

#[tokio::test]
async fn fragments_that_grow_too_large_together_are_refused() -> Result {
    let gateway = start(&GatewayConfig { max_message: crate::config::ByteSize(8), ..config() }, None)?;
    let mut client = gateway.client().await?;
    client.raw(&[0x01, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0x00, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]).await?;
    assert_eq!(client.closed().await?, 1009);
    gateway.stop().await
}

#[tokio::test]
async fn a_request_that_comes_with_the_handshake_is_answered() -> Result {
    let gateway = start(&config(), None)?;
    let mut stream = TcpStream::connect(gateway.address).await?;
    let mut request = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        gateway.address
    )
    .into_bytes();
    request.extend([0x81, 0x80 | u8::try_from(WHO.len())?, 0, 0, 0, 0]);
    request.extend(WHO.bytes());
    stream.write_all(&request).await?;
    let mut answer = String::new();
    while !answer.contains("\"result\"") {
        let mut bytes = [0; 1024];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut bytes)).await??;
        assert!(read > 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    gateway.stop().await
}

#[tokio::test]
async fn pings_are_answered_and_a_close_is_answered_in_kind() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    client.socket.send(Message::Ping("x".into())).await?;
    assert_eq!(client.socket.next().await.ok_or("ended")??, Message::Pong("x".into()));
    let close = CloseFrame { code: 1000.into(), reason: "".into() };
    client.socket.close(Some(close)).await?;
    assert_eq!(client.closed().await?, 1000);
    assert!(client.socket.next().await.is_none());
    gateway.stop().await
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_let_go_and_nobody_waits_for_it() -> Result {
    let gateway = start(&GatewayConfig { write_timeout: Duration::from_millis(200), ..config() }, None)?;
    let mut stalled = gateway.client().await?;
    let mut other = gateway.client().await?;
    let discover = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
    let flood = async { while stalled.send(discover).await.is_ok() {} };
    tokio::pin!(flood);
    loop {
        tokio::select! {
            () = &mut flood => break,
            pong = other.call("ping", json!({})) => assert!(pong?.is_ok()),
        }
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_client_that_pings_and_reads_nothing_fills_no_memory() -> Result {
    let gateway = start(&GatewayConfig { write_timeout: Duration::from_millis(200), ..config() }, None)?;
    let mut client = gateway.client().await?;
    let mut frame = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    frame.extend([0; 125]);
    let flood = frame.repeat(1_000);
    // It ends only because the gateway stops reading, and then lets go.
    tokio::time::timeout(DEADLINE, async { while client.raw(&flood).await.is_ok() {} }).await?;
    gateway.stop().await
}

#[tokio::test]
async fn who_waits_for_a_long_answer_is_shown_that_the_gateway_lives() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"plugin.reload","params":{"name":"slow"}}"#).await?;
    tokio::time::pause();
    for _ in 0..3 {
        // Our own client gives up after 40 s of silence.
        let sign = tokio::time::timeout(Duration::from_secs(40), client.socket.next()).await?;
        assert!(matches!(sign, Some(Ok(Message::Ping(_)))), "{sign:?}");
    }
    Ok(())
}
