//! From a component's bytes to its machine code: found on disk, or compiled and kept there.

use std::sync::Arc;

use ring::digest;
use serde::Serialize;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{CacheError, CodeCache, EngineCache, Hit};
use crate::runtime::error::LoadProblem;
use crate::runtime::load::{self, Bytes, Source};
use crate::runtime::plugin::hex;

/// Where a plugin's machine code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CodeOrigin {
    /// It was compiled when the plugin was loaded.
    Fresh,
    /// An earlier load had compiled it, and it was found on disk.
    Cache,
}

/// What came of compiling a component ahead of its use.
#[derive(Debug)]
pub struct CodeInfo {
    /// `bundled:NAME` or the file's path.
    pub source: String,
    /// Of the component, in bytes.
    pub size: usize,
    /// Of the component, in hexadecimal.
    pub sha256: String,
    /// Whether it had to be compiled.
    pub origin: CodeOrigin,
    /// Bytes of code on disk, or why there are none.
    pub kept: Result<u64, CacheError>,
}

/// A component's machine code, before anything was asked of it.
pub(in crate::runtime) struct Code {
    pub(in crate::runtime) component: Component,
    pub(in crate::runtime) source: String,
    pub(in crate::runtime) size: usize,
    pub(in crate::runtime) sha256: [u8; 32],
    pub(in crate::runtime) origin: CodeOrigin,
    /// Bytes of code on disk, or why there are none. None: there is no cache.
    kept: Option<Result<u64, CacheError>>,
}

impl Code {
    /// What is to be said of it. None: there is no cache to keep it in.
    pub(in crate::runtime) fn into_info(self) -> Option<CodeInfo> {
        let Self { source, size, sha256, origin, kept, .. } = self;
        Some(CodeInfo { source, size, sha256: hex(&sha256), origin, kept: kept? })
    }
}

/// Makes machine code, one component at a time.
#[derive(Clone)]
pub(in crate::runtime) struct Compiler {
    engine: Engine,
    cache: Option<Arc<EngineCache>>,
    /// One compilation at a time: each may take every core and hundreds of megabytes.
    turn: Arc<Semaphore>,
}

impl Compiler {
    pub(in crate::runtime) fn new(engine: &Engine, cache: Option<CodeCache>) -> Self {
        let cache = cache.map(|cache| Arc::new(EngineCache::new(cache, engine)));
        Self { engine: engine.clone(), cache, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Reads a component, once, and finds or makes its code.
    pub(in crate::runtime) async fn code(&self, source: Source, pinned: Option<[u8; 32]>) -> Result<Code, LoadProblem> {
        let cache = self.cache.clone();
        let read = move || {
            let binary = Binary::read(source, pinned)?;
            let hit = cache.and_then(|cache| cache.load(&binary.sha256));
            Ok((binary, hit))
        };
        let (binary, hit) = blocking(read).await?;
        if let Some(hit) = hit {
            return Ok(binary.found(hit));
        }
        // Goes with the work: giving up on a load must not start a second compilation beside it.
        let turn = self.turn.clone().acquire_owned().await;
        let this = self.clone();
        let compile = move || {
            let _turn = turn;
            this.compile(binary)
        };
        blocking(compile).await
    }

    fn compile(&self, binary: Binary) -> Result<Code, LoadProblem> {
        // Whoever had the turn before may have compiled the same component.
        if let Some(hit) = self.cache.as_ref().and_then(|cache| cache.load(&binary.sha256)) {
            return Ok(binary.found(hit));
        }
        let component = Component::from_binary(&self.engine, &binary.bytes)
            .map_err(|error| LoadProblem::Compile(format!("{error:#}")))?;
        let kept = self
            .cache
            .as_ref()
            .map(|cache| cache.keep(&binary.sha256, &component).inspect_err(|problem| cache.tell(problem)));
        Ok(binary.with(component, CodeOrigin::Fresh, kept))
    }
}

/// A component as it was read.
struct Binary {
    source: String,
    bytes: Bytes,
    sha256: [u8; 32],
}

impl Binary {
    /// Reads it, and refuses what is no component, or not the one that is pinned.
    fn read(source: Source, pinned: Option<[u8; 32]>) -> Result<Self, LoadProblem> {
        let (source, bytes) = load::read(source)?;
        let sha256 = sha256(&bytes);
        if let Some(pinned) = pinned.filter(|pinned| *pinned != sha256) {
            return Err(LoadProblem::Digest { pinned: hex(&pinned), found: hex(&sha256) });
        }
        load::refuse_other_formats(&bytes)?;
        Ok(Self { source, bytes, sha256 })
    }

    fn found(self, hit: Hit) -> Code {
        self.with(hit.component, CodeOrigin::Cache, Some(Ok(hit.size)))
    }

    fn with(self, component: Component, origin: CodeOrigin, kept: Option<Result<u64, CacheError>>) -> Code {
        let Self { source, bytes, sha256 } = self;
        Code { component, source, size: bytes.len(), sha256, origin, kept }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let bytes = digest.as_ref();
    std::array::from_fn(|index| bytes[index])
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadProblem> + Send + 'static,
) -> Result<T, LoadProblem> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(LoadProblem::Compile(format!("the compiler did not finish: {error}"))))
}
