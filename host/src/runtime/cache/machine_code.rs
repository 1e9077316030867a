//! The one place where bytes become code without being compiled.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::key::Verified;

/// The component whose code this is.
///
/// # Errors
/// The engine refuses it: it was made by another Wasmtime or with other settings.
#[allow(unsafe_code, reason = "machine code cannot be checked, only vouched for; the argument is below")]
pub(super) fn load(engine: &Engine, code: &Verified) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks for bytes that `Component::serialize` returned, of a Wasmtime and
    // with settings that fit this engine, and that were not changed since.
    //
    // - `Verified` is only made of bytes whose HMAC is right, for the entry of this very engine. An
    //   HMAC is only written by `EngineCache::keep`, over what `Component::serialize` returned for a
    //   component of an engine with the same `precompile_compatibility_hash`; the hash is part of
    //   what the HMAC covers.
    // - The key is random, and is read and written only in a folder and a file that belong to the
    //   user of this process and are closed to others. Who can read it can act as that user anyway.
    // - The bytes are in memory of this process, and are copied from there into the mapping that
    //   is made executable. The file is not mapped: neither changing nor truncating it reaches them.
    unsafe { Component::deserialize(engine, code.code()) }
}
