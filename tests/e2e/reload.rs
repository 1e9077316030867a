//! Plugins that are replaced while the gateway runs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, FakeProvider, Finished, Gateway, Wire, exoclaw, within};
use crate::sandbox::{component, obedient, plugin};

/// The bytes of a guest.
fn bytes(guest: &str) -> &'static [u8] {
    exoclaw_bundle_test::find(guest).or_else(|| exoclaw_bundle::find(guest)).expect("a guest").bytes
}

/// A plugin's file, in a folder of its own.
pub(crate) struct File {
    folder: TempDir,
    pub(crate) path: PathBuf,
}

impl File {
    pub(crate) fn of(guest: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = component(folder.path(), guest);
        Self { folder, path }
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(&self.path, bytes).expect("a writable folder");
    }

    /// Puts another guest's file in its place, as a careful installer does.
    pub(crate) fn replace(&self, guest: &str) {
        let beside = self.folder.path().join("beside");
        std::fs::write(&beside, bytes(guest)).expect("a writable folder");
        std::fs::rename(beside, &self.path).expect("our files");
    }
}

/// A gateway with the plugin `mine`, whose file is not watched.
async fn unwatched(provider: &FakeProvider, file: &Path, rest: &str) -> Gateway {
    let builder = Gateway::builder().provider(provider).gateway("watch_plugins = false");
    builder.plugins(&plugin("mine", file, rest)).start().await
}

async fn answer(client: &mut Client) -> String {
    client.ask("answer").await.results().remove(0).1
}

async fn inspect(client: &mut Client, name: &str) -> Value {
    client.call("plugin.inspect", json!({"name": name})).await.expect("a plugin")
}

/// Reloads `mine`, and says what became of it.
async fn reload(client: &mut Client) -> Value {
    let report = client.call("plugin.reload", json!({"name": "mine"})).await.expect("a report");
    assert_eq!((&report["problem"], &report["restart"]), (&Value::Null, &json!([])));
    let [reload] = report["plugins"].as_array().expect("a list").as_slice() else { panic!("one plugin: {report}") };
    assert_eq!(reload["name"], "mine");
    reload.clone()
}

async fn run(gateway: &Gateway, arguments: &[&str]) -> Finished {
    let url = gateway.url();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--url", url.as_str()]).collect();
    exoclaw(gateway.home(), &arguments).await
}

#[tokio::test]
async fn a_changed_file_is_loaded_by_itself_and_half_of_one_never() {
    let file = File::of("hostile");
    let provider = obedient(Wire::Anthropic).await;
    let gateway = Gateway::builder().provider(&provider).plugins(&plugin("mine", &file.path, "")).start().await;
    let mut client = Client::connect(&gateway).await;
    assert_eq!(answer(&mut client).await, "42");
    assert_eq!(inspect(&mut client, "mine").await["last_reload"], Value::Null);

    let whole = bytes("successor");
    file.write(&whole[..whole.len() / 2]);
    let warning = gateway.logged(&["WARN", "mine", "does not compile"]).await;
    assert!(warning.contains("runs on"), "{warning}");
    assert_eq!(answer(&mut client).await, "42", "what ran before runs on");
    let refused = inspect(&mut client, "mine").await["last_reload"].take();
    assert_eq!(refused["outcome"], "refused");
    assert!(refused["reason"].as_str().expect("a reason").contains("does not compile"), "{refused}");
    assert!(refused["at"].as_u64() > Some(1_700_000_000_000), "{refused}");
    let list = client.call("plugin.list", json!({})).await.expect("a page");
    assert_eq!(list["plugins"][0]["last_reload"], refused);

    file.write(whole);
    gateway.logged(&["INFO", "mine", "Reloaded"]).await;
    assert_eq!(answer(&mut client).await, "43");
    let inspected = inspect(&mut client, "mine").await;
    assert_eq!(inspected["last_reload"]["outcome"], "reloaded");
    assert_eq!(inspected["tools"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_call_that_runs_ends_on_the_plugin_that_it_began_on() {
    let file = File::of("hostile");
    let provider = obedient(Wire::Anthropic).await;
    let gateway = unwatched(&provider, &file.path, "[plugins.limits]\ntime = \"1m\"").await;
    let mut client = Client::connect(&gateway).await;
    let running = client.send_to("other", "sleep 5000").await;
    client.until(&running, "tool_use").await;

    file.replace("successor");
    let before = inspect(&mut client, "mine").await;
    let reloaded = reload(&mut client).await;
    assert_eq!((&reloaded["outcome"], &reloaded["previous_sha256"]), (&json!("reloaded"), &before["sha256"]));
    assert_ne!(reloaded["sha256"], before["sha256"]);
    assert_eq!(inspect(&mut client, "mine").await["sha256"], reloaded["sha256"]);
    assert_eq!(answer(&mut client).await, "43");
    assert_eq!(client.finish(&running).await.results()[0].1, "slept");

    // The model is told what there is now; what it asks for all the same is an error that it sees.
    let gone = client.ask("sleep 1").await;
    let [(_, text, true)] = &gone.results()[..] else { panic!("{:?}", gone.results()) };
    assert!(text.contains("no tool `sleep`"), "{text}");
}

#[tokio::test]
async fn a_reload_by_name_is_done_and_a_bad_one_changes_nothing() {
    let file = File::of("hostile");
    let provider = obedient(Wire::OpenAi).await;
    let gateway = unwatched(&provider, &file.path, "").await;
    let mut client = Client::connect(&gateway).await;
    assert_eq!(answer(&mut client).await, "42");
    let same = reload(&mut client).await;
    assert_eq!((&same["outcome"], &same["sha256"]), (&json!("reloaded"), &same["previous_sha256"]));
    // Its calls are counted from anew: those of the load, and this one.
    assert_eq!(answer(&mut client).await, "42");
    assert_eq!(inspect(&mut client, "mine").await["calls"], 3);

    let unknown = client.call("plugin.reload", json!({"name": "other"})).await.expect_err("there is none");
    assert_eq!(unknown.code, -32007);
    let unknown = client.call("plugin.reload", json!({"name": "No name!"})).await.expect_err("there is none");
    assert_eq!(unknown.code, -32007);

    let ungranted = bytes("ungranted");
    for (bytes, word) in
        [(&b"junk"[..], "not WebAssembly"), (ungranted, "not granted"), (bytes("undescribed"), "describe")]
    {
        file.write(bytes);
        let refused = reload(&mut client).await;
        assert_eq!((&refused["outcome"], &refused["sha256"]), (&json!("refused"), &same["sha256"]));
        assert!(refused["reason"].as_str().expect("a reason").contains(word), "{word}: {refused}");
    }
    std::fs::remove_file(&file.path).expect("our file");
    assert_eq!(reload(&mut client).await["outcome"], "refused");
    assert_eq!(answer(&mut client).await, "42");
    let all = client.call("plugin.reload", json!({})).await.expect("a report");
    assert_eq!(all["plugins"][0]["outcome"], "refused", "the file is gone: {all}");

    file.replace("successor");
    assert_eq!(reload(&mut client).await["outcome"], "reloaded");
    assert_eq!(answer(&mut client).await, "43");
}

#[tokio::test]
async fn the_command_line_reloads_and_tells() {
    let file = File::of("hostile");
    let provider = obedient(Wire::Anthropic).await;
    let gateway = unwatched(&provider, &file.path, "").await;
    let mut client = Client::connect(&gateway).await;
    let unchanged = run(&gateway, &["plugin", "reload"]).await;
    assert!(unchanged.stdout().starts_with("mine  unchanged, "), "{unchanged:?}");

    file.replace("successor");
    let reloaded = run(&gateway, &["plugin", "reload", "mine"]).await;
    assert!(reloaded.stdout().starts_with("mine  reloaded, "), "{reloaded:?}");
    assert_eq!(answer(&mut client).await, "43");

    file.write(b"junk");
    let refused = run(&gateway, &["plugin", "reload"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.starts_with("mine  refused: ") && refused.stdout.contains("not WebAssembly"), "{refused:?}");
    let json = run(&gateway, &["plugin", "reload", "--json", "mine"]).await;
    let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((json.code, &report["plugins"][0]["outcome"]), (Some(1), &json!("refused")));
    let unknown = run(&gateway, &["plugin", "reload", "other"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there is no plugin `other`"), "{unknown:?}");
}

#[tokio::test]
async fn sighup_has_the_plugins_follow_the_config_file() {
    let file = File::of("hostile");
    let provider = obedient(Wire::Anthropic).await;
    let echo = "[[plugins]]\nname = \"echo\"\npath = \"bundled:echo\"\n";
    let clock = "[[plugins]]\nname = \"clock\"\npath = \"bundled:clock\"\n";
    let builder = Gateway::builder().provider(&provider).gateway("watch_plugins = false");
    let mut gateway = builder.plugins(&(plugin("mine", &file.path, "") + echo)).start().await;
    let mut client = Client::connect(&gateway).await;
    assert_eq!(answer(&mut client).await, "42");

    file.replace("successor");
    gateway.edit_config(|text| text.replace(echo, clock).replace("[agent]", "[agent]\nmax_steps = 7"));
    gateway.hang_up();
    for (plugin, outcome) in [("echo", "Removed"), ("mine", "Reloaded"), ("clock", "Added")] {
        gateway.logged(&["INFO", plugin, outcome]).await;
    }
    gateway.logged(&["WARN", "restart", "agents"]).await;
    let list = client.call("plugin.list", json!({})).await.expect("a page");
    let names: Vec<_> = list["plugins"].as_array().expect("plugins").iter().map(|plugin| &plugin["name"]).collect();
    assert_eq!(names, ["clock", "mine"]);
    assert_eq!(answer(&mut client).await, "43");
    let agents = client.call("agent.list", json!({})).await.expect("a page");
    assert_eq!(agents["agents"][0]["tools"], json!(["answer", "current_time"]));

    // A table that differs is as good as a file that does.
    gateway.edit_config(|text| text.replace(clock, &format!("{clock}[plugins.limits]\nmemory = \"32MiB\"\n")));
    let report = client.call("plugin.reload", json!({})).await.expect("a report");
    assert_eq!(report["restart"], json!(["agents"]));
    let outcomes: Vec<_> = report["plugins"].as_array().expect("plugins").iter().map(|p| &p["outcome"]).collect();
    assert_eq!(outcomes, ["reloaded", "unchanged"]);
    assert_eq!(inspect(&mut client, "clock").await["limits"]["memory"], "32MiB");

    // A file with mistakes changes nothing.
    gateway.edit_config(|text| format!("{text}\n[plugins.limit]\n"));
    gateway.hang_up();
    gateway.logged(&["WARN", "was not read again", "limits"]).await;
    let report = client.call("plugin.reload", json!({})).await.expect("a report");
    assert!(report["problem"].as_str().expect("a problem").contains("limits"), "{report}");
    assert_eq!(report["plugins"], json!([]));
    assert_eq!(answer(&mut client).await, "43");
    gateway.terminate();
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_pinned_digest_and_a_tool_that_an_agent_names_are_kept_to() {
    let file = File::of("hostile");
    let guest = exoclaw_bundle_test::find("hostile").expect("a guest");
    let digest: String = guest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let provider = obedient(Wire::Anthropic).await;
    let builder = Gateway::builder().provider(&provider).gateway("watch_plugins = false");
    let pin = format!("sha256 = \"{digest}\"");
    let tables = plugin("mine", &file.path, &pin);
    let mut gateway = builder.agent("tools = [\"answer\", \"count\"]").plugins(&tables).start().await;
    let mut client = Client::connect(&gateway).await;

    file.replace("successor");
    let refused = reload(&mut client).await;
    assert!(refused["reason"].as_str().expect("a reason").contains(&digest), "{refused}");
    // Without the pin there is still the agent, which names a tool that the successor has not.
    gateway.edit_config(|text| text.replace(&pin, ""));
    let report = client.call("plugin.reload", json!({})).await.expect("a report");
    let reason = report["plugins"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("agent `default`") && reason.contains("`count`"), "{reason}");
    gateway.edit_config(|text| text.replace(&tables.replace(&pin, ""), "").replace("[agent]", "plugins = []\n[agent]"));
    let report = client.call("plugin.reload", json!({})).await.expect("a report");
    assert_eq!(report["plugins"][0]["outcome"], "refused", "it may not go either: {report}");
    assert_eq!(answer(&mut client).await, "42");
    assert_eq!(client.ask("count").await.results()[0].1, "0");
}

#[tokio::test]
async fn what_cannot_change_together_changes_as_far_as_it_can() {
    let file = File::of("hostile");
    let impostor = File::of("misdeclared");
    let provider = obedient(Wire::Anthropic).await;
    let echo = "[[plugins]]\nname = \"echo\"\npath = \"bundled:echo\"\n";
    let builder = Gateway::builder().provider(&provider).gateway("watch_plugins = false");
    let mut gateway = builder.plugins(&(plugin("mine", &file.path, "") + echo)).start().await;
    let mut client = Client::connect(&gateway).await;
    file.replace("successor");
    gateway.edit_config(|text| text.to_owned() + &plugin("new", &impostor.path, "settings = { mode = \"collide\" }"));
    let report = client.call("plugin.reload", json!({})).await.expect("a report");
    let outcome = |index: usize| (&report["plugins"][index]["name"], &report["plugins"][index]["outcome"]);
    assert_eq!(outcome(0), (&json!("echo"), &json!("unchanged")));
    assert_eq!(outcome(1), (&json!("mine"), &json!("reloaded")));
    assert_eq!(outcome(2), (&json!("new"), &json!("refused")));
    assert_eq!(report["plugins"][2]["sha256"], Value::Null);
    assert!(report["plugins"][2]["reason"].as_str().expect("a reason").contains("plugin `echo`"), "{report}");
    assert_eq!(answer(&mut client).await, "43");

    // The names are taken over where the one that had them goes.
    gateway.edit_config(|text| text.replace(echo, ""));
    let report = client.call("plugin.reload", json!({})).await.expect("a report");
    let outcomes: Vec<_> = report["plugins"].as_array().expect("plugins").iter().map(|p| &p["outcome"]).collect();
    assert_eq!(outcomes, ["removed", "unchanged", "added"]);
}

#[tokio::test]
async fn a_gateway_that_goes_down_reloads_nothing() {
    let file = File::of("hostile");
    let provider = obedient(Wire::Anthropic).await;
    let mut gateway = unwatched(&provider, &file.path, "[plugins.limits]\ntime = \"2m\"").await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("sleep 100000").await;
    client.until(&turn, "tool_use").await;
    gateway.terminate();
    within("/readyz says 503", async { while gateway.get("/readyz").await.status != 503 {} }).await;
    let refused = client.call("plugin.reload", json!({"name": "mine"})).await.expect_err("it goes down");
    assert_eq!(refused.code, -32005);
    // Who has closed the terminal need not wait, and does not make it hurry.
    gateway.hang_up();
    client.ping().await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_reload_is_done_though_who_asked_for_it_left() {
    let file = File::of("hostile");
    let provider = obedient(Wire::Anthropic).await;
    let gateway = unwatched(&provider, &file.path, "").await;
    file.replace("successor");
    let mut client = Client::connect(&gateway).await;
    client.request("plugin.reload", json!({"name": "mine"})).await;
    drop(client);
    gateway.logged(&["INFO", "mine", "Reloaded"]).await;
    assert_eq!(answer(&mut Client::connect(&gateway).await).await, "43");
}

#[tokio::test]
async fn a_channel_that_does_not_take_the_old_ones_state_does_not_take_its_place() {
    let file = File::of("loopback");
    let gateway = Gateway::builder()
        .gateway("watch_plugins = false")
        .plugins(&plugin("mine", &file.path, "settings = { webhook = false }"))
        .start()
        .await;
    let mut client = Client::connect(&gateway).await;
    file.replace("stubborn");
    let refused = reload(&mut client).await;
    assert!(refused["reason"].as_str().expect("a reason").contains("the state is of another version"), "{refused}");
    file.replace("loopback");
    assert_eq!(reload(&mut client).await["outcome"], "reloaded");
}
