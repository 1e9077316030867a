//! `outgoing-handler`, before Wasmtime's: a request that it would log as a warning is completed or
//! refused here, so that no guest fills the log.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::HttpError;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, RequestOptions};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};

use super::super::state::State;

/// Any version of the track serves imports of every other.
const INTERFACE: &str = "wasi:http/outgoing-handler@0.2.12";

/// What a guest hands over: the request, and its deadlines.
type Handed = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);

/// Links the interface. By hand: the generated traits are implemented for Wasmtime's view alone.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap("handle", |mut store: StoreContextMut<'_, State>, handed: Handed| {
        let sending = handle(store.data_mut(), handed);
        sending.map_or_else(|error| Ok((Err(error.downcast()?),)), |response| Ok((Ok(response),)))
    })
}

fn handle(state: &mut State, (request, options): Handed) -> Result<Resource<HostFutureIncomingResponse>, HttpError> {
    let mut http = state.http();
    let asked = http.table.get_mut(&request)?;
    // What has no path asks for the root (RFC 9112, section 3.2.1).
    asked.path_with_query.get_or_insert_with(|| "/".to_owned());
    if asked.authority.is_none() {
        http.table.delete(request)?;
        return Err(ErrorCode::HttpRequestUriInvalid.into());
    }
    http.handle(request, options)
}
