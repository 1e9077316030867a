//! What plugins reach through the host when they are granted it, each capability an interface of
//! its own. A capability that is not granted is not linked; and each call checks once more.

mod files;
mod memory;
mod progress;
mod store;

use wasmtime::component::{HasSelf, Linker};

use super::bindings;
use super::imports::Provision;
use super::state::State;

pub use progress::{Progress, ProgressReport};

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
