//! A disk that is full, that fails, that is read-only.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::{agreeable, keeping, readiness, said, try_ask};
use crate::harness::{Client, Gateway};

/// A file system of its own, in memory, of a few megabytes.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Nothing, where this user or this machine may not mount; then the test is left out, and says so.
    fn mounted() -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "exoclaw-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        eprintln!("left out: a test that mounts a file system, which this user may not");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("exoclaw.db")
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(status.expect("mount runs").success(), "remounted {how}");
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        // Whole pages first, then what is left of the last.
        for piece in [4096, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where something in it is still open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Sends messages that take room until one is refused: the text of the refusal, and those that were not.
async fn until_refused(client: &mut Client) -> (String, Vec<String>) {
    let mut accepted = Vec::new();
    for number in 0.. {
        let content = format!("{number} {}", "x".repeat(32 << 10));
        let sent = client.call("chat.send", json!({"content": content})).await;
        match sent {
            Ok(_) => accepted.push(content),
            Err(error) => return (error.message, accepted),
        }
    }
    unreachable!("no disk is endless")
}

/// What was accepted before and after is there, and nothing that was refused is.
async fn holds(gateway: &Gateway, accepted: &[String]) {
    let mut client = Client::connect(gateway).await;
    let texts = said(&mut client).await;
    let numbers = |texts: &[String]| -> Vec<String> {
        texts.iter().map(|text| text.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(numbers(&texts), numbers(accepted), "what was accepted is what is stored");
    assert!(texts == accepted, "and each is as it was");
}

/// The same for every fault that comes and goes while the gateway runs: it says so, takes nothing on, serves
/// what it can, and recovers by itself.
async fn survives(gateway: &mut Gateway, words: &[&str], heal: impl FnOnce()) -> Vec<String> {
    let mut client = Client::connect(gateway).await;
    let (refusal, mut accepted) = until_refused(&mut client).await;
    for word in words {
        assert!(refusal.contains(word), "{word:?} in {refusal}");
    }
    let reason = readiness(gateway, 503).await;
    assert!(words.iter().all(|word| reason.contains(word)), "{words:?} in {reason}");
    // What needs no storage works, and so does what only reads.
    let mut other = Client::connect(gateway).await;
    other.ping().await;
    let status = other.call("status", json!({})).await.expect("a status").to_string();
    assert!(words.iter().all(|word| status.contains(word)), "{words:?} in {status}");
    assert_eq!(gateway.get("/livez").await.status, 200);
    assert!(said(&mut other).await == accepted, "the history is there, without what was refused");

    heal();
    readiness(gateway, 200).await;
    let after = format!("{} after", accepted.len());
    let ended = try_ask(&mut other, &after).await.expect("the message is accepted");
    assert_eq!(ended.done()["text"], "Yes.");
    accepted.push(after);
    holds(gateway, &accepted).await;
    accepted
}

#[tokio::test]
async fn a_full_disk_takes_nothing_on_says_so_and_is_got_over() {
    let Some(disk) = Disk::mounted() else { return };
    let provider = agreeable().await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let builder = keeping(&provider, &disk.file()).home(&home);
    let mut gateway = builder.clone().start().await;
    Client::connect(&gateway).await.ping().await;
    let filler = disk.fill();
    let accepted = survives(&mut gateway, &["full"], || fs::remove_file(filler).expect("our file")).await;

    // It is on the disk, and not only in the process.
    gateway.kill();
    holds(&builder.start().await, &accepted).await;
}

#[tokio::test]
async fn a_write_that_fails_takes_nothing_on_says_so_and_is_got_over() {
    let provider = agreeable().await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let file = home.path().join("exoclaw.db");
    let builder = keeping(&provider, &file).home(&home);
    // A file that is at the limit of its size fails to be written to, where the signal of it is ignored.
    let mut gateway = builder.clone().ignoring("XFSZ").start().await;
    let limit = |pid: u32, size: &str| {
        let limit = format!("--fsize={size}:");
        let status = Command::new("prlimit").arg("--pid").arg(pid.to_string()).arg(limit).status();
        assert!(status.expect("prlimit runs").success());
    };
    let pid = gateway.id();
    limit(pid, "400000");
    let accepted = survives(&mut gateway, &["cannot be used"], || limit(pid, "unlimited")).await;
    gateway.kill();
    holds(&builder.start().await, &accepted).await;
}

#[tokio::test]
async fn a_read_only_disk_is_told_at_the_start() {
    let Some(disk) = Disk::mounted() else { return };
    let provider = agreeable().await;
    let gateway = keeping(&provider, &disk.file()).start().await;
    Client::connect(&gateway).await.ask("Hello?").await.done();
    drop(gateway);
    disk.remount("ro");
    let refused = keeping(&provider, &disk.file()).refuses_to_start().await;
    assert!(refused.stderr.contains("read-only"), "{refused:?}");
    assert!(refused.stderr.contains(&*disk.file().to_string_lossy()), "{refused:?}");
    disk.remount("rw");
    let gateway = keeping(&provider, &disk.file()).start().await;
    assert_eq!(said(&mut Client::connect(&gateway).await).await, ["Hello?"]);
}
