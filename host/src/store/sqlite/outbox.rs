//! What is to be sent, as rows.

use futures_util::future::BoxFuture;

use super::SqliteStore;
use crate::store::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryUpdate, NewDelivery, Outbox, Page, StoreError, Timestamp,
};

impl Outbox for SqliteStore {
    fn delivery_open(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<bool, StoreError>> {
        todo!()
    }

    fn delivery_update(&self, update: DeliveryUpdate) -> BoxFuture<'_, Result<bool, StoreError>> {
        todo!()
    }

    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>> {
        todo!()
    }

    fn deliveries<'a>(
        &'a self,
        filter: &'a DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page<Delivery, DeliveryId>, StoreError>> {
        todo!()
    }

    fn deliveries_due<'a>(
        &'a self,
        channel: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, StoreError>> {
        todo!()
    }
}

/// Opens a delivery, within the transaction of its turn. Says whether it is open now.
pub(super) fn open(connection: &rusqlite::Connection, delivery: &NewDelivery) -> super::error::SqlResult<bool> {
    let _ = (connection, delivery);
    Ok(true)
}
