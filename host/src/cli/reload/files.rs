//! Tells when a plugin's file has changed and come to rest.
//!
//! The files are looked at, not read: a look costs one system call. A file counts as changed when
//! two looks in a row see the same, and something else than the last time. So one that is being
//! written is left alone until its writer pauses, and one that was refused until it changes again.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::Request;
use crate::config::PluginName;

/// How often the files are looked at, and by how much longer it may take: gateways that share a
/// file server do not ask it in step.
const EVERY: Duration = Duration::from_secs(2);
const SPREAD_MS: u64 = 250;

/// The files of plugins that have one.
pub(super) type Watched = Arc<[(PluginName, PathBuf)]>;

/// Looks at the files for as long as requests are taken. A file that is there at the start counts
/// as changed: it may have, after it was loaded.
pub(super) async fn watch(files: watch::Receiver<Watched>, requests: mpsc::Sender<Request>) {
    let chance = RandomState::new();
    let mut known: BTreeMap<(PluginName, PathBuf), Look> = BTreeMap::new();
    for round in 0_u64.. {
        sleep(EVERY + Duration::from_millis(chance.hash_one(round) % SPREAD_MS)).await;
        let watched = Arc::clone(&files.borrow());
        known.retain(|file, _| watched.contains(file));
        let looking = move || watched.iter().map(|file| (file.clone(), Stamp::of(&file.1))).collect::<Vec<_>>();
        let Ok(seen) = tokio::task::spawn_blocking(looking).await else { return };
        for (file, stamp) in seen {
            let name = file.0.clone();
            if known.entry(file).or_default().changed(stamp) && requests.send(Request::Changed(name)).await.is_err() {
                return;
            }
        }
    }
}

/// What tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and when that was last changed: a file that was moved here has others, however
    /// old it is.
    node: Option<(u64, u64, i64, i64)>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { size: metadata.len(), modified: metadata.modified().ok(), node: node(&metadata) })
    }
}

#[cfg(unix)]
fn node(metadata: &Metadata) -> Option<(u64, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(not(unix))]
fn node(_: &Metadata) -> Option<(u64, u64, i64, i64)> {
    None
}

/// What is known of one file.
#[derive(Debug, Default)]
struct Look {
    /// As it was when it was last told of.
    told: Option<Stamp>,
    /// As it was at the last look, where that is something else.
    moving: Option<Stamp>,
}

impl Look {
    /// Takes in another look; says whether the file has changed and come to rest. Of a file that is
    /// gone there is nothing to load.
    fn changed(&mut self, now: Option<Stamp>) -> bool {
        let before = std::mem::replace(&mut self.moving, now.filter(|_| now != self.told));
        let rests = self.moving.is_some() && self.moving == before;
        if rests {
            self.told = self.moving.take();
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64) -> Option<Stamp> {
        Some(Stamp { size, modified: None, node: None })
    }

    fn looks(stamps: &[Option<Stamp>]) -> Vec<bool> {
        let mut look = Look::default();
        stamps.iter().map(|stamp| look.changed(*stamp)).collect()
    }

    #[test]
    fn a_file_is_told_of_once_when_it_rests() {
        let [a, b] = [stamp(1), stamp(2)];
        assert_eq!(looks(&[a, a, a, b, b, b, a, a]), [false, true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_file_that_is_being_written_is_left_alone() {
        let growing: Vec<_> = (1..9).map(stamp).collect();
        assert!(looks(&growing).iter().all(|changed| !changed));
        // Back to what it was before the writer got far.
        assert_eq!(looks(&[stamp(1), stamp(1), stamp(2), stamp(1), stamp(1)]), [false, true, false, false, false]);
    }

    #[test]
    fn a_file_that_is_gone_is_no_change_until_it_is_back() {
        let [a, b] = [stamp(1), stamp(2)];
        assert_eq!(
            looks(&[a, a, None, None, a, a, None, b, b]),
            [false, true, false, false, false, false, false, false, true]
        );
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, other] = ["plugin.wasm", "other.wasm"].map(|name| folder.path().join(name));
        assert_eq!(Stamp::of(&path), None);
        std::fs::write(&path, "same size").expect("a writable folder");
        let before = Stamp::of(&path);
        assert!(before.is_some() && before == Stamp::of(&path));
        std::fs::write(&other, "size same").expect("a writable folder");
        let modified = before.and_then(|before| before.modified).expect("a time");
        std::fs::File::options()
            .write(true)
            .open(&other)
            .and_then(|file| file.set_modified(modified))
            .expect("our file");
        std::fs::rename(&other, &path).expect("our files");
        assert_ne!(Stamp::of(&path), before);
    }
}
