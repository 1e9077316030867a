//! Who works on a delivery: at most one task, so that no step of it is made twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::DeliveryId;

/// The deliveries that somebody works on.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashSet<DeliveryId>>);

/// Leave to work on a delivery, until it is dropped. What is stored of the delivery is to be read
/// after it was given.
#[derive(Debug)]
#[must_use]
pub(super) struct Claim {
    claims: Arc<Claims>,
    id: DeliveryId,
}

impl Claims {
    /// Claims a delivery, unless somebody works on it.
    pub(super) fn claim(self: &Arc<Self>, id: DeliveryId) -> Option<Claim> {
        self.claimed().insert(id).then(|| Claim { claims: Arc::clone(self), id })
    }

    /// Whether somebody works on it.
    pub(super) fn holds(&self, id: DeliveryId) -> bool {
        self.claimed().contains(&id)
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<DeliveryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.claimed().remove(&self.id);
    }
}
