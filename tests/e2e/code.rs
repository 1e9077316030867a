//! Compiled code on disk, through the real binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Builder, Client, Finished, Gateway, exoclaw, exoclaw_in};

const TOOLS: [&str; 3] = ["echo", "clock", "calculator"];

/// A gateway with the bundled tools. It keeps nothing but their code: a store would be one gateway's alone.
fn builder() -> Builder {
    Gateway::builder().bundled_tools().tables("[storage]\nurl = \"memory\"\n")
}

/// An owner's folder that outlives a gateway.
struct Owner(TempDir);

impl Owner {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cache(&self) -> PathBuf {
        self.path().join(".exoclaw/cache/code")
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache()).expect("the folder of the cache");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("key")).collect()
    }

    /// A gateway of this owner, with the bundled tools.
    async fn start(&self) -> Gateway {
        let home = self.path().join(".exoclaw");
        builder().env("EXOCLAW_HOME", home.to_str().expect("UTF-8")).start().await
    }

    async fn compile(&self, arguments: &[&str]) -> Finished {
        exoclaw(self.path(), &[&["plugin", "compile"], arguments].concat()).await
    }
}

/// Where the code of each bundled tool came from.
async fn origins(gateway: &Gateway) -> Vec<String> {
    let mut client = Client::connect(gateway).await;
    let mut origins = Vec::new();
    for name in TOOLS {
        let plugin = client.call("plugin.inspect", json!({ "name": name })).await.expect("a plugin");
        origins.push(plugin["code"].as_str().expect("an origin").to_owned());
    }
    origins
}

/// Ends a gateway, and returns its warnings.
async fn warnings(mut gateway: Gateway) -> Vec<String> {
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "{logs:?}");
    logs.into_iter().filter(|line| line.contains("\"WARN\"")).collect()
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let owner = Owner::new();
    let first = owner.start().await;
    assert_eq!(origins(&first).await, ["fresh"; 3]);
    assert!(warnings(first).await.is_empty());
    assert_eq!(owner.files().len(), 3);
    let second = owner.start().await;
    assert_eq!(origins(&second).await, ["cache"; 3]);
    assert!(warnings(second).await.is_empty());
}

#[tokio::test]
async fn two_gateways_that_start_at_once_share_one_cache() {
    let owner = Owner::new();
    let (one, other) = tokio::join!(owner.start(), owner.start());
    assert_eq!(origins(&one).await.len() + origins(&other).await.len(), 6, "both have all their tools");
    assert!(warnings(one).await.is_empty() && warnings(other).await.is_empty());
    assert_eq!(owner.files().len(), 3, "and nothing is left half written");
    assert_eq!(origins(&owner.start().await).await, ["cache"; 3]);
}

#[tokio::test]
async fn a_forged_file_is_told_compiled_again_and_replaced() {
    let owner = Owner::new();
    owner.compile(&[]).await.stdout();
    let forged = owner.files().remove(0);
    let mut bytes = fs::read(&forged).expect("our file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&forged, bytes).expect("our file");
    let gateway = owner.start().await;
    let mut found = origins(&gateway).await;
    found.sort();
    assert_eq!(found, ["cache", "cache", "fresh"]);
    let told = warnings(gateway).await;
    let name = forged.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(told.len() == 1 && told[0].contains(name), "{told:?}");
    let next = owner.start().await;
    assert_eq!(origins(&next).await, ["cache"; 3]);
    assert!(warnings(next).await.is_empty());
}

#[tokio::test]
async fn a_folder_that_is_open_to_others_is_told_and_not_used() {
    let owner = Owner::new();
    owner.compile(&[]).await.stdout();
    fs::set_permissions(owner.cache(), fs::Permissions::from_mode(0o755)).expect("our folder");
    let gateway = owner.start().await;
    assert_eq!(origins(&gateway).await, ["fresh"; 3]);
    let told = warnings(gateway).await;
    assert!(told.len() == 1 && told[0].contains("open to others") && told[0].contains("0755"), "{told:?}");
    let refused = owner.compile(&[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("open to others"), "{refused:?}");
}

#[tokio::test]
async fn where_no_folder_can_be_made_plugins_are_compiled() {
    let owner = Owner::new();
    fs::create_dir(owner.path().join(".exoclaw")).expect("a writable folder");
    fs::write(owner.path().join(".exoclaw/cache"), "in the way").expect("a writable folder");
    let gateway = owner.start().await;
    assert_eq!(origins(&gateway).await, ["fresh"; 3]);
    let told = warnings(gateway).await;
    assert!(told.len() == 1 && told[0].contains("cache/code"), "{told:?}");

    let homeless = builder().env("HOME", "").env("EXOCLAW_HOME", "").start().await;
    assert_eq!(origins(&homeless).await, ["fresh"; 3]);
    assert!(warnings(homeless).await.is_empty(), "having no home is no mistake");
}

#[tokio::test]
async fn a_full_disk_costs_the_cache_and_leaves_nothing_behind() {
    let owner = Owner::new();
    let file = owner.path().join("echo.wasm");
    fs::write(&file, exoclaw_bundle::find("echo").expect("a guest").bytes).expect("a writable folder");
    // Writes of more than 64 or 128 KiB (as the shell counts) fail midway, as they do where a disk or a quota is full.
    let short = |arguments: &[&str]| {
        let binary = exoclaw_in(owner.path());
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"])
            .arg(binary.get_program())
            .args(arguments);
        command.env_clear().envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Finished::of(command)
    };
    let file = file.to_str().expect("UTF-8");
    let shown = short(&["plugin", "inspect", file, "--json"]).await;
    let plugin: Value = serde_json::from_str(shown.stdout()).expect("JSON");
    assert_eq!(plugin["code"], "fresh");
    assert!(shown.stderr.contains("cannot keep compiled code"), "{shown:?}");
    let failed = short(&["plugin", "compile", file]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("is not kept") && failed.stderr.contains("too large"), "{failed:?}");
    assert!(owner.files().is_empty(), "{:?}", owner.files());
    // With room again, all is well.
    owner.compile(&[file]).await.stdout();
    assert_eq!(owner.files().len(), 1);
}

#[tokio::test]
async fn plugins_are_compiled_ahead_of_the_first_start() {
    let owner = Owner::new();
    let rows = |finished: &Finished| -> Vec<Value> { serde_json::from_str(finished.stdout()).expect("JSON") };
    let first = rows(&owner.compile(&["echo", "--json"]).await);
    let guest = exoclaw_bundle::find("echo").expect("a guest");
    let [row] = &first[..] else { panic!("{first:?}") };
    let digest: String = guest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&row["name"], &row["state"], &row["sha256"]), (&json!("echo"), &json!("compiled"), &json!(digest)));
    assert_eq!((&row["size"], &row["source"]), (&json!(guest.bytes.len()), &json!("bundled:echo")));
    assert!(row["code_bytes"].as_u64() > row["size"].as_u64() && row["time_ms"].as_f64() > Some(0.0), "{row}");

    let all = rows(&owner.compile(&["--json"]).await);
    let states: Vec<_> = all.iter().map(|row| row["state"].as_str().expect("a state")).collect();
    assert_eq!(states, ["cached", "compiled", "compiled"]);
    let shown = owner.compile(&[]).await;
    assert_eq!(shown.stdout().matches("cached already").count(), 3, "{}", shown.stdout);
    for name in TOOLS {
        assert!(shown.stdout().contains(name), "{}", shown.stdout);
    }
    assert_eq!(origins(&owner.start().await).await, ["cache"; 3]);
}

#[tokio::test]
async fn what_cannot_be_compiled_is_told_and_the_rest_is_compiled() {
    let owner = Owner::new();
    let broken = owner.path().join("broken.wasm");
    fs::write(&broken, "no component").expect("a writable folder");
    let partly = owner.compile(&[broken.to_str().expect("UTF-8"), "./missing.wasm", "clock"]).await;
    assert_eq!(partly.code, Some(1), "{partly:?}");
    assert!(partly.stdout.contains("clock"), "{partly:?}");
    assert!(partly.stderr.contains("`broken`") && partly.stderr.contains("missing.wasm"), "{partly:?}");
    assert_eq!(owner.files().len(), 1);
    let unknown = owner.compile(&["nobody"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("nobody") && unknown.stderr.contains("calculator"), "{unknown:?}");
}
