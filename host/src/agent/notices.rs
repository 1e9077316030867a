//! Tells the owner of budgets that run low, in the conversations that they named; and keeps what the meter learns.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::accept::chance;
use super::courier::{Courier, Letter, LetterContent};
use crate::metering::{Meter, Warning};
use crate::store::{DeliveryId, DynStore, Epoch, NewDelivery, SessionKey, StoreError, Timestamp, TurnId};

/// How often what was learnt is stored. A crash loses at most so much of it.
const SAVE: Duration = Duration::from_secs(60);

/// What looks after the owner's side of metering.
pub(super) struct Notices {
    pub(super) store: DynStore,
    pub(super) epoch: Epoch,
    pub(super) courier: Arc<dyn Courier>,
    pub(super) meter: Meter,
    /// The conversations in which the owner is told.
    pub(super) to: Vec<SessionKey>,
    pub(super) warnings: mpsc::Receiver<Warning>,
}

/// Why the owner was not told in a conversation.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("nothing was ever sent there, so that nobody knows how to reach it: write to the agent there once")]
    Unreached,
    #[error("what was sent there last says no more how to reach it: {0}")]
    Address(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Notices {
    /// Works until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut saves = interval(SAVE);
        saves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = saves.tick() => self.save().await,
                Some(warning) = self.warnings.recv() => self.tell(&warning).await,
            }
        }
        self.save().await;
    }

    async fn save(&self) {
        if let Err(error) = self.meter.save().await {
            info!(%error, "what was learnt of how models count tokens is not stored yet");
        }
    }

    /// Tells of a warning in each of the conversations. The log has it already.
    async fn tell(&self, warning: &Warning) {
        for session in &self.to {
            if let Err(error) = self.tell_in(session, warning).await {
                warn!(%session, %error, "a warning of [budgets] could not be sent to a conversation of `warn_to`");
            }
        }
    }

    async fn tell_in(&self, session: &SessionKey, warning: &Warning) -> Result<(), Untold> {
        let last = self.store.last_delivery(session).await?.ok_or(Untold::Unreached)?;
        let address = Letter::from_bytes(&last.content)?.address;
        let letter = Letter { address, content: LetterContent::Markdown { text: format!("_{warning}._") } };
        let now = Timestamp::now();
        let delivery = NewDelivery {
            id: DeliveryId(TurnId::new(now, chance())),
            session: Some(session.clone()),
            channel: last.channel.clone(),
            conversation: last.conversation,
            content: letter.to_bytes(),
            draft: false,
            epoch: self.epoch,
            now,
        };
        self.store.delivery_open(delivery).await?;
        self.courier.opened(&last.channel);
        Ok(())
    }
}
