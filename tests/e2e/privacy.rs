//! What the log does not say.

use serde_json::{Value, json};

use crate::harness::{Client, Connect, FakeProvider, Gateway, Reply, WIRES, refusal};

#[tokio::test]
async fn the_log_holds_neither_keys_nor_what_was_said() {
    for wire in WIRES {
        let call = Reply::text("spoken-WORDWORD").call("call_1", "echo", &json!({"text": "argument-WORDWORD"}));
        let wrong_call = Reply::new().call("call_2", "calculate", &json!({"expression": "wrong-WORDWORD"}));
        // A provider that repeats the key.
        let refusal = refusal(wire, 401, "authentication_error", &format!("wrong key {}", wire.key()));
        let cut = Reply::text("cut-WORDWORD").cut();
        let nonsense = crate::harness::Answer::new(400, "application/json", "{\"error\":\"said-WORDWORD\"}");
        let answers =
            [call.on(wire), wrong_call.on(wire), Reply::text("end-WORDWORD").on(wire), refusal, cut.on(wire), nonsense];
        let provider = FakeProvider::scripted(wire, answers).await;
        let token = "gateway-KEYKEYKEY";
        let mut gateway =
            Gateway::builder().provider(&provider).bundled_tools().env("EXOCLAW_TOKEN", token).start().await;

        let wrong = Connect { headers: &[("authorization", "Bearer wrong-KEYKEYKEY")], ..Connect::default() };
        assert!(Client::try_connect(gateway.address(), wrong).await.is_err());
        let mut client = Client::connect(&gateway).await;
        client.call("auth", json!({"token": token})).await.expect("the token is right");
        client.ask("asked-WORDWORD").await.done();
        for _ in 0..3 {
            let shown = client.ask("asked-WORDWORD again").await;
            assert!(!shown.error().to_string().contains("KEYKEYKEY"), "{}", shown.end());
        }
        client
            .send_text("{\"jsonrpc\":\"2.0\",\"method\":\"chat.send\",\"params\":{\"contnet\":\"lost-WORDWORD\"")
            .await;
        client.ping().await;
        gateway.terminate();
        let (code, log) = gateway.ended().await;
        assert_eq!(code, Some(0));

        assert!(log.len() > 3, "there is a log: {log:?}");
        for line in &log {
            assert!(!line.contains("KEYKEYKEY"), "a key in the log: {line}");
            assert!(!line.contains("WORDWORD"), "words in the log: {line}");
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON where it is no terminal: {line}"));
            assert!(line.is_object());
        }
    }
}
