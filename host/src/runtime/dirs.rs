//! `dirs`: folders of this machine that a plugin sees as its own.
//!
//! Each is opened once, when the plugin is loaded, and every call is lent the same handle: what a
//! path leads to later changes nothing, and no call waits for an opening. wasmtime-wasi resolves
//! every path beneath the handle, step by step, so that neither `..` nor a link leads out of it, and
//! does its work on threads that may block.

use std::path::PathBuf;

use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::error::LoadProblem;
use crate::config::DirGrant;

/// The folders of one plugin, open.
#[derive(Clone, Default)]
pub(super) struct Dirs(Option<WasiFilesystemCtx>);

impl Dirs {
    /// Opens what was granted.
    pub(super) async fn open(grants: &[DirGrant]) -> Result<Self, LoadProblem> {
        if grants.is_empty() {
            return Ok(Self::default());
        }
        let grants = grants.to_vec();
        let path = grants.first().map_or_else(PathBuf::new, |grant| grant.host.clone());
        tokio::task::spawn_blocking(move || Self::open_all(grants))
            .await
            .unwrap_or_else(|error| Err(LoadProblem::Dir { path, error: error.to_string() }))
    }

    fn open_all(grants: Vec<DirGrant>) -> Result<Self, LoadProblem> {
        let mut builder = WasiCtx::builder();
        builder.allow_blocking_current_thread(false);
        for DirGrant { host, guest, writable } in grants {
            let perms = if writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            let problem = |error: String| LoadProblem::Dir { path: host.clone(), error };
            builder.preopened_dir(&host, &guest, perms).map_err(|error| problem(error.root_cause().to_string()))?;
        }
        Ok(Self(Some(std::mem::take(builder.build().filesystem()))))
    }

    /// Gives them to one call.
    pub(super) fn lend(&self, wasi: &mut WasiCtx) {
        if let Some(folders) = &self.0 {
            *wasi.filesystem() = folders.clone();
        }
    }
}
