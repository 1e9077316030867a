//! How the storage is, as the writer last found it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::store::{Health, Sickness};

/// What the writer knows of the storage, for everybody to see.
#[derive(Debug)]
pub(super) struct Monitor(Mutex<Health>);

impl Monitor {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Health::Well))
    }

    pub(super) fn health(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_sick(&self) -> bool {
        self.health() != Health::Well
    }

    /// A write failed.
    pub(super) fn sick(&self, sickness: Sickness) {
        let now = Health::Sick(sickness.clone());
        if self.turn(now.clone()) != now {
            tracing::error!(error = %sickness, "the store cannot write; it is tried again each second");
        }
    }

    /// A write reached the disk.
    pub(super) fn well(&self, path: &Path) {
        if self.turn(Health::Well) != Health::Well {
            tracing::info!(path = %path.display(), "the store writes again");
        }
    }

    /// How it was.
    fn turn(&self, now: Health) -> Health {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}
