//! The commands, against a gateway that runs.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, FakeProvider, Finished, Gate, Gateway, Reply, Wire, exoclaw, start};

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

async fn run(gateway: &Gateway, arguments: &[&str]) -> Finished {
    let url = gateway.url();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--url", url.as_str()]).collect();
    exoclaw(gateway.home(), &arguments).await
}

#[tokio::test]
async fn config_check_tells_every_mistake_with_its_place() {
    let folder = folder();
    let file = folder.path().join("wrong.toml");
    let text = "[gateway]\nprot = 7200\nqueue = \"many\"\n\n[agent]\nmax_steps = 0\nmodels = [\"claude\"]\n";
    std::fs::write(&file, text).expect("a writable folder");
    let name = file.to_str().expect("UTF-8");
    let checked = exoclaw(folder.path(), &["config", "check", name]).await;
    assert_eq!(checked.code, Some(2), "{checked:?}");
    for place in ["2:1", "3:9", "6:13", "7:11"] {
        assert!(checked.stderr.contains(&format!("{name}:{place}: ")), "{place} in {}", checked.stderr);
    }
    assert!(checked.stderr.contains("prot = 7200"), "the line is shown: {}", checked.stderr);
    assert!(checked.stderr.contains("port"), "and the nearest right name: {}", checked.stderr);
}

#[tokio::test]
async fn config_check_is_content_with_a_right_file_and_a_gateway_refuses_a_wrong_one() {
    let folder = folder();
    let file = folder.path().join("right.toml");
    std::fs::write(&file, "[gateway]\nport = 7201\n").expect("a writable folder");
    let name = file.to_str().expect("UTF-8");
    exoclaw(folder.path(), &["config", "check", name]).await.stdout();
    exoclaw(folder.path(), &["--config", name, "config", "check"]).await.stdout();

    let refused = Gateway::builder().gateway("prot = 1").refuses_to_start().await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("prot"), "{}", refused.stderr);
    let missing = exoclaw(folder.path(), &["--config", "/no/such/file.toml", "gateway"]).await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("/no/such/file.toml"), "{missing:?}");
}

#[tokio::test]
async fn chat_prints_the_answer_to_one_question() {
    let reply = Reply::text("Grüße ").say("aus 世界.");
    let provider = FakeProvider::scripted(Wire::Anthropic, [reply.clone(), reply]).await;
    let gateway = Gateway::with(&provider).await;
    let answered = run(&gateway, &["chat", "Hello?"]).await;
    assert_eq!(answered.stdout().trim_end(), "Grüße aus 世界.");

    let json = run(&gateway, &["chat", "--json", "Hello?"]).await;
    let events: Vec<Value> =
        json.stdout().lines().map(|line| serde_json::from_str(line).expect("one event a line")).collect();
    let types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((types.first(), types.last()), (Some(&"queued"), Some(&"done")), "{events:?}");
    assert_eq!(events.last().expect("events")["text"], "Grüße aus 世界.");
}

#[tokio::test]
async fn chat_holds_a_conversation_that_is_piped_into_it() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("One."), Reply::text("Two.")]).await;
    let gateway = Gateway::with(&provider).await;
    let chat = start(gateway.home(), &["chat", "--peer", "pipe", "--url", &gateway.url()]);
    let ended = chat.end("First?\n\nSecond?\n").await;
    assert_eq!(ended.stdout().lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>(), ["One.", "Two."]);
    assert_eq!(provider.exchange(1).await.request.conversation().len(), 3, "one conversation");
}

#[tokio::test]
async fn ctrl_c_stops_the_turn_and_not_only_its_display() {
    let never = Gate::new();
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("For ever").wait(&never)]).await;
    let gateway = Gateway::with(&provider).await;
    let chat = start(gateway.home(), &["chat", "Go on.", "--url", &gateway.url()]);
    let exchange = provider.exchange(0).await;
    chat.interrupt();
    exchange.hung_up().await;
    assert_eq!(chat.end("").await.code, Some(130));
}

#[tokio::test]
async fn chat_ends_with_the_exit_code_of_a_failed_turn() {
    let down = crate::failures::refused(Wire::OpenAi, 401, "invalid_api_key");
    let provider = FakeProvider::scripted(Wire::OpenAi, [down]).await;
    let gateway = Gateway::with(&provider).await;
    let failed = run(&gateway, &["chat", "Hello?"]).await;
    assert_eq!(failed.code, Some(4), "{failed:?}");
    assert!(failed.stderr.contains("invalid_api_key"), "{failed:?}");
}

#[tokio::test]
async fn status_and_plugins_show_what_the_gateway_has() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("Yes.")]).await;
    let gateway = Gateway::builder().provider(&provider).bundled_tools().start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("Are you?").await.done();

    let status = client.call("status", json!({})).await.expect("a status");
    assert_eq!(status["version"], "0.1.0", "{status}");
    let shown: Value = serde_json::from_str(run(&gateway, &["status", "--json"]).await.stdout()).expect("JSON");
    assert_eq!(shown["version"], status["version"]);
    let keys = |value: &Value| value.as_object().expect("a status").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shown), keys(&status), "the gateway's own answer");
    assert!(run(&gateway, &["status"]).await.stdout().contains("0.1.0"));

    let list = run(&gateway, &["plugin", "list"]).await;
    for name in ["echo", "clock", "calculator"] {
        assert!(list.stdout().contains(name), "{list:?}");
    }
    let guest = exoclaw_bundle::find("echo").expect("a guest");
    let digest: String = guest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let echo: Value =
        serde_json::from_str(run(&gateway, &["plugin", "inspect", "echo", "--json"]).await.stdout()).expect("JSON");
    assert!(echo.to_string().contains(&digest), "the digest of what runs: {echo}");
    let shown = run(&gateway, &["plugin", "inspect", "echo"]).await;
    for word in ["exoclaw:plugin/tool", "exoclaw:plugin/types", "text"] {
        assert!(shown.stdout().contains(word), "{word} in {}", shown.stdout);
    }
    let unknown = run(&gateway, &["plugin", "inspect", "nobody"]).await;
    assert_ne!(unknown.code, Some(0));
    assert!(unknown.stderr.contains("nobody"), "{unknown:?}");
}

#[tokio::test]
async fn without_a_gateway_the_commands_say_how_to_start_one() {
    let folder = folder();
    // A port that was free a moment ago, and that nothing else is given soon.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    drop(listener);
    for arguments in [&["chat", "Hello?"][..], &["status"], &["plugin", "list"], &["plugin", "inspect", "echo"]] {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--url", url.as_str()]).collect();
        let failed = exoclaw(folder.path(), &arguments).await;
        assert_eq!(failed.code, Some(3), "{arguments:?}: {failed:?}");
        assert!(failed.stderr.contains("exoclaw gateway"), "{failed:?}");
    }
}

#[tokio::test]
async fn the_command_line_helps() {
    let folder = folder();
    let help = exoclaw(folder.path(), &["--help"]).await;
    for word in ["Exit codes", "gateway", "chat", "status", "config", "plugin", "completions", "EXOCLAW_CONFIG"] {
        assert!(help.stdout().contains(word), "{word} in {}", help.stdout);
    }
    assert!(exoclaw(folder.path(), &["--version"]).await.stdout().contains("0.1.0"));
    let completions = exoclaw(folder.path(), &["completions", "bash"]).await;
    assert!(completions.stdout().contains("complete -F _exoclaw"), "{completions:?}");
    let wrong = exoclaw(folder.path(), &["gatewy"]).await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("gateway"), "{wrong:?}");
}

#[tokio::test]
async fn channels_and_pairings_are_asked_of_the_gateway_that_runs() {
    let provider = FakeProvider::scripted(Wire::Anthropic, [Reply::text("unused")]).await;
    let gateway = Gateway::with(&provider).await;
    assert_eq!(run(&gateway, &["channel", "list"]).await.stdout(), "none\n");
    assert_eq!(run(&gateway, &["channel", "events", "--json"]).await.stdout(), "{\"events\":[]}\n");
    assert_eq!(run(&gateway, &["pairing", "list", "telegram"]).await.stdout(), "none\n");
    for (arguments, says) in [
        (&["channel", "replay", "7"][..], "no event 7"),
        (&["channel", "drop", "7"], "no event 7"),
        (&["pairing", "approve", "K7QM2XPA"], "nobody waits with this code"),
        (&["pairing", "remove", "telegram", "-1001234567890", "--group"], "`-1001234567890` was not let in"),
    ] {
        let refused = run(&gateway, arguments).await;
        assert!(refused.code.is_some_and(|code| code != 0) && refused.stderr.contains(says), "{refused:?}");
    }
}
