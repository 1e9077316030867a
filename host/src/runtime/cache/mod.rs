//! Compiled code on disk, so that a second start need not compile.
//!
//! Machine code that is loaded is run, whatever it does, so what this module loads is what it
//! wrote, and nothing else:
//!
//! - the folder belongs to the owner of this process and is closed to all others, or it is not used;
//! - every file carries an HMAC under a key of this folder, over the code, the digest of the component
//!   that it was compiled from and the settings of the engine that compiled it;
//! - a file is read once, and the bytes that were verified are the bytes that run: what becomes of
//!   the file afterwards changes nothing;
//! - a file is there whole or not at all, and is never written again.
//!
//! Where any of this fails, the component is compiled, as it would be without a cache. Nothing that
//! is wrong here keeps a plugin from loading. Why it is built this way, and at what cost, is in
//! `docs/decisions/0005-compiled-code-on-disk.md`.

mod compiler;
mod entry;
mod error;
#[cfg(unix)]
mod folder;
#[cfg(not(unix))]
#[path = "no_folder.rs"]
mod folder;
mod key;
mod machine_code;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

pub(super) use compiler::{Code, Compiler};
pub use compiler::{CodeInfo, CodeOrigin};
use entry::{EngineId, Entry};
pub use error::CacheError;
use folder::{Folder, Found, ReadError};
use key::Key;

/// The largest file, in bytes. Code is two or three times as large as its component.
const MAX_FILE: u64 = 512 << 20;

/// What all files may take, in bytes: the code of thirty plugins in JavaScript or Python, or of a
/// thousand in Rust. What was not used for longest goes first.
const MAX_TOTAL: u64 = 1 << 30;

/// After so many seconds a file that somebody began to write is one that nobody will finish.
const ABANDONED: u64 = 3_600;

/// Compiled code in a folder. Cheap to clone; several processes may share the folder.
#[derive(Clone)]
pub struct CodeCache(Arc<Shared>);

struct Shared {
    folder: Folder,
    key: Key,
    limit: u64,
    /// A folder that cannot be written to is told of once.
    told: AtomicBool,
}

impl CodeCache {
    /// The cache in this folder. Makes the folder (mode 0700) and its key (mode 0600) where there
    /// are none yet, and removes what a process that died left half written.
    ///
    /// Blocks for a few system calls.
    ///
    /// # Errors
    /// The folder cannot be made or opened, is a symbolic link, belongs to somebody else or is open
    /// to others; or the key in it cannot be made, read or trusted.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        Self::with_limit(path, MAX_TOTAL)
    }

    fn with_limit(path: &Path, limit: u64) -> Result<Self, CacheError> {
        let folder = Folder::open(path)?;
        let key = Key::obtain(&folder)?;
        let cache = Self(Arc::new(Shared { folder, key, limit, told: AtomicBool::new(false) }));
        cache.sweep(seconds(SystemTime::now()));
        Ok(cache)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }

    /// Removes what was half written an hour or longer before `now`, in seconds since 1970.
    fn sweep(&self, now: i64) {
        for found in self.list().iter().filter(|found| Folder::is_temporary(&found.name)) {
            // A time in the future is no better than one in the past.
            if found.modified.abs_diff(now) > ABANDONED && self.0.folder.remove(&found.name).is_ok() {
                debug!(file = found.name, "removed code that was never finished");
            }
        }
    }

    /// Removes what was not used for longest until the rest is within the limit. What runs already
    /// does not need its file.
    fn prune(&self, newest: &str) {
        let mut entries = self.list();
        entries.retain(|found| Entry::is_name(&found.name));
        entries.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        let mut total: u64 = entries.iter().map(|found| found.size).sum();
        for found in entries.iter().filter(|found| found.name != newest) {
            if total <= self.0.limit {
                break;
            }
            if self.0.folder.remove(&found.name).is_ok() {
                total -= found.size;
                debug!(file = found.name, size = found.size, "removed compiled code to make room");
            }
        }
    }

    /// What is in the folder; nothing, where it cannot be listed.
    fn list(&self) -> Vec<Found> {
        self.0.folder.list().unwrap_or_else(|error| {
            debug!(folder = %self.path().display(), %error, "cannot list the compiled code");
            Vec::new()
        })
    }

    /// Removes what is in the place of code and is none, and says so.
    fn discard(&self, name: &str, why: &str) {
        let file = self.file(name);
        match self.0.folder.remove(name) {
            Ok(()) => {
                warn!(file = %file.display(), why, "removed a file that is not our compiled code; compiling again")
            }
            Err(error) => warn!(
                file = %file.display(), why, %error,
                "this is not our compiled code and cannot be removed; remove it, or the plugin is compiled at every start"
            ),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl std::fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CodeCache({})", self.path().display())
    }
}

/// A cache for the code of one engine.
struct EngineCache {
    cache: CodeCache,
    engine: Engine,
    id: EngineId,
}

/// Code that was found, and its size in bytes.
struct Hit {
    component: Component,
    size: u64,
}

impl EngineCache {
    fn new(cache: CodeCache, engine: &Engine) -> Self {
        Self { cache, engine: engine.clone(), id: EngineId::of(engine) }
    }

    /// The code of the component with this SHA-256. None: there is none that may be run.
    fn load(&self, component: &[u8; 32]) -> Option<Hit> {
        let entry = Entry { component: *component, engine: self.id };
        let name = entry.name();
        match self.find(&entry, &name) {
            Ok(hit) => {
                // So that what is used stays longest. A folder that is read-only loses nothing by it.
                let _ = self.cache.0.folder.touch(&name);
                Some(hit)
            }
            Err(ReadError::Absent) => None,
            Err(ReadError::Unfit(why)) => {
                self.cache.discard(&name, &why);
                None
            }
            Err(ReadError::Io(error)) => {
                warn!(file = %self.cache.file(&name).display(), %error, "cannot read compiled code; compiling again");
                None
            }
        }
    }

    /// What is read is what is verified, and what is verified is what is loaded.
    fn find(&self, entry: &Entry, name: &str) -> Result<Hit, ReadError> {
        let Shared { folder, key, .. } = &*self.cache.0;
        let foreign = || ReadError::Unfit("it was not written with this folder's key, or was changed since".into());
        let refused = |error| ReadError::Unfit(format!("the engine refuses it: {error:#}").into());
        let code = key.verify(entry, folder.read(name, MAX_FILE)?).ok_or_else(foreign)?;
        let component = machine_code::load(&self.engine, &code).map_err(refused)?;
        Ok(Hit { component, size: code.size() })
    }

    /// Keeps the code of a component for the next start, and returns its size in bytes.
    fn keep(&self, digest: &[u8; 32], component: &Component) -> Result<u64, CacheError> {
        let Shared { folder, key, .. } = &*self.cache.0;
        let entry = Entry { component: *digest, engine: self.id };
        let name = entry.name();
        let failed = |error| CacheError::Write { path: self.cache.file(&name), error };
        if !Engine::same(component.engine(), &self.engine) {
            return Err(CacheError::Engine);
        }
        let code = component.serialize().map_err(|error| CacheError::Serialize(format!("{error:#}")))?;
        if (code.len() + entry::HEADER) as u64 > MAX_FILE {
            return Err(CacheError::Size(code.len() as u64));
        }
        folder.publish(&name, &[&key.header(&entry, &code), &code]).map_err(failed)?;
        self.cache.prune(&name);
        Ok(code.len() as u64)
    }

    /// Tells of the first thing that could not be kept.
    fn tell(&self, problem: &CacheError) {
        if !self.cache.0.told.swap(true, Ordering::Relaxed) {
            warn!(error = %problem, "cannot keep compiled code; plugins are compiled again at the next start");
        }
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
