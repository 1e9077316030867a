//! What plugins reach through the host when they are granted it, each capability an interface of
//! its own. A capability that is not granted is not linked; and each call checks once more.

pub(super) mod files;
mod memory;
mod progress;
mod store;

use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};

use super::bindings;
use super::imports::Provision;
use super::state::State;

use crate::store::StoreError;

pub(super) use files::Made;
pub(super) use progress::Reporter;
pub use progress::{Progress, ProgressReport};

/// How long one operation of the store may take.
const STORE_TIME: Duration = Duration::from_secs(2);

/// What a plugin is told that asks while nobody calls a tool of its.
const NO_CALLER: &str = "this can be used while a tool is called, and not before";

/// What the store says, or why it said nothing.
async fn in_time<T>(operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(STORE_TIME, operation).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the gateway's store did not answer within {STORE_TIME:?}; try again later")),
    }
}

/// Links what the imports of a component are met by, beyond the inert base.
pub(super) fn link(linker: &mut Linker<State>, provisions: &[Provision]) -> wasmtime::Result<()> {
    let has = |wanted: fn(&Provision) -> bool| provisions.iter().any(wanted);
    if has(|provision| matches!(provision, Provision::Store)) {
        bindings::store::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    }
    if has(|provision| matches!(provision, Provision::Files(_))) {
        bindings::files::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    }
    if has(|provision| matches!(provision, Provision::Memory(_))) {
        bindings::memory::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    }
    if has(|provision| matches!(provision, Provision::Progress)) {
        bindings::progress::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    }
    if has(|provision| matches!(provision, Provision::Http)) {
        super::egress::link(linker)?;
    }
    Ok(())
}
