//! `wasi:http`: requests of plugins, through the host's one HTTP stack and within their grants.

use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::state::State;

/// The most that the headers of one request or response may take, as they lie in memory.
const MAX_FIELDS: usize = 32 << 10;

/// Links `wasi:http`'s outgoing half.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    outgoing_handler::add_to_linker::<State, WasiHttp>(linker, State::http)?;
    types::add_to_linker::<State, WasiHttp>(linker, &types::LinkOptions::default(), State::http)
}

/// What one call holds of HTTP.
pub(super) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

/// What decides over the requests of one call.
struct Hooks {}

impl Http {
    pub(super) fn new() -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(MAX_FIELDS);
        Self { context, hooks: Hooks {} }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let http = self.http.get_or_insert_with(|| Box::new(Http::new()));
        WasiHttpCtxView { hooks: &mut http.hooks, table: &mut self.table, ctx: &mut http.context }
    }
}

type Sending = Result<(hyper::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _request: hyper::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sending> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
