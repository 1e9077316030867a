//! What a file of compiled code is for, and how it begins.

use std::hash::{Hash, Hasher};

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use wasmtime::Engine;

/// How every file begins. The number changes with the layout of the file, of its name, or of what
/// the HMAC covers.
pub(super) const MAGIC: &[u8; 16] = b"exoclaw code 1\n\0";

/// Bytes of the HMAC, which follows; then comes the code, to the end of the file.
pub(super) const MAC: usize = 32;

/// Bytes before the code.
pub(super) const HEADER: usize = MAGIC.len() + MAC;

/// What the names of files end in. Not `.cwasm`: no other program can use them.
const SUFFIX: &str = ".code";

/// Which engines may run some code: those of the same Wasmtime, for the same processor, with the
/// same settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EngineId(pub(super) [u8; 16]);

impl EngineId {
    pub(super) fn of(engine: &Engine) -> Self {
        let mut hasher = Stable::new();
        // Wasmtime's part has its version; ours stands for the features that it was built with.
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.id())
    }
}

/// A `Hasher` that gives the same in every process, and in which no two inputs meet: that of the
/// standard library promises neither. What `Hash` writes for a type is prefix-free, so that nothing
/// need be put between.
pub(super) struct Stable(Context);

impl Stable {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn id(&self) -> [u8; 16] {
        first(&self.0)
    }
}

impl Hasher for Stable {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        u64::from_le_bytes(first(&self.0))
    }
}

/// The first bytes of a digest.
fn first<const N: usize>(hash: &Context) -> [u8; N] {
    let digest = hash.clone().finish();
    let bytes = digest.as_ref();
    std::array::from_fn(|index| bytes[index])
}

/// What a file is the code of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The SHA-256 of the component.
    pub(super) component: [u8; 32],
    /// What it was compiled for.
    pub(super) engine: EngineId,
}

impl Entry {
    /// The file's name.
    pub(super) fn name(&self) -> String {
        format!("{}-{}{SUFFIX}", HEXLOWER.encode(&self.component), HEXLOWER.encode(&self.engine.0))
    }

    /// Whether some file may be one of ours, whatever it is of.
    pub(super) fn is_name(name: &str) -> bool {
        let hex = |text: &str, bytes: usize| {
            text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let parts = name.strip_suffix(SUFFIX).and_then(|stem| stem.split_once('-'));
        parts.is_some_and(|(component, engine)| hex(component, 32) && hex(engine, 16))
    }
}
