//! How turns wait for a storage that is sick.
//!
//! A turn that met a full disk stays where it is, with all that it has done, and tries again with
//! growing waits until the storage is well: its sender was told that the message is accepted, so it
//! must not be told to send it again. What bounds this is the number of turns that may run. When the
//! gateway goes down meanwhile, the turn is left open for the next start.

use std::time::Duration;

use tracing::{info, warn};

use super::Shared;
use crate::store::StoreError;

/// The first wait. A file system whose log is rotated has room again soon.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait: how late a turn goes on after the storage is well.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The waits of one operation.
#[derive(Default)]
pub(super) struct Patience {
    waited: Option<Duration>,
}

impl Patience {
    /// Waits for the storage to become well, where that is what is wrong.
    ///
    /// # Errors
    /// `error`, where waiting does not help, or the gateway goes down.
    pub(super) async fn after(&mut self, error: StoreError, shared: &Shared) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Sick(_)) || shared.closing.is_cancelled() {
            return Err(error);
        }
        if self.waited.is_none() {
            warn!(%error, "a turn waits for the storage");
        }
        let wait = self.waited.map_or(FIRST_WAIT, |waited| LONGEST_WAIT.min(waited * 2));
        self.waited = Some(wait);
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => Err(error),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

/// What `operation` gives, once the storage is well.
///
/// # Errors
/// As [`Patience::after`].
pub(super) async fn until_well<T, F>(shared: &Shared, mut operation: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut patience = Patience::default();
    loop {
        match operation().await {
            Ok(value) => {
                if patience.waited.is_some() {
                    info!("the storage is well again");
                }
                return Ok(value);
            }
            Err(error) => patience.after(error, shared).await?,
        }
    }
}
