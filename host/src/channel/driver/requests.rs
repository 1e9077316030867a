//! What the owner asks of a driver: to try a new version of the plugin, or an event again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;

use super::ask::Asked;
use super::keeping::Took;
use super::recorded::Recorded;
use super::rest::Rests;
use super::{Driver, LAST_ACTIONS, Source, Superseded};
use crate::channel::outward::Outward;
use crate::channel::way_out::WayOut;
use crate::runtime::bindings::channel::{Event, Start};
use crate::runtime::{ChannelPlugin, trial};
use crate::store::{SetAside, Timestamp};

/// How long a trial's result may be thought about, while the channel stands still.
const SWITCH: Duration = Duration::from_secs(30);

/// What a driver is asked from outside.
pub(in crate::channel) enum Request {
    /// Puts an event that was set aside to the plugin again.
    Replay { event: Box<SetAside>, answer: oneshot::Sender<Result<(), String>> },
    /// Tries a new version on the channel's state, between two events. What comes back switches to
    /// it when it is used; dropped, it changes nothing. Until then nothing else happens.
    Try { plugin: ChannelPlugin, outward: Arc<Outward>, answer: oneshot::Sender<Result<oneshot::Sender<()>, String>> },
}

impl Driver {
    /// Puts an event that was set aside to the plugin again, and says why it stays so where it does.
    pub(super) async fn replay(&mut self, event: &SetAside) -> Result<Result<(), String>, Superseded> {
        let spoilt = || "it cannot be read any more; drop it".to_owned();
        let Some(again) = Recorded::from_bytes(&event.event).and_then(Recorded::event) else {
            return Ok(Err(spoilt()));
        };
        Ok(match self.ask(&again, Source::Repeats).await? {
            Some(Asked::Heard(incoming)) => match self.take(*incoming, Some(event.id), Source::Repeats).await? {
                Took::Stored => Ok(()),
                Took::Later => Err("it was understood, but could not be stored; try again".to_owned()),
                Took::Never(reason) => Err(reason),
            },
            Some(Asked::InvalidInput(reason) | Asked::Unsupported(reason) | Asked::GivenUp(reason)) => Err(reason),
            Some(Asked::Unavailable(wait)) => Err(format!("the channel takes nothing now; try again in {wait:?}")),
            None => Err("the gateway is going down".to_owned()),
        })
    }

    /// Tries a new version on the channel's state and, when it is told to, goes on with it. Says whether it does.
    pub(super) async fn switch(
        &mut self,
        plugin: ChannelPlugin,
        outward: Arc<Outward>,
        answer: oneshot::Sender<Result<oneshot::Sender<()>, String>>,
    ) -> Result<bool, Superseded> {
        let line = Arc::clone(&self.parts.line);
        let id = format!("{}#reload", line.name);
        let started = trial(&plugin, line.call(&id, 1, Timestamp::now()), &line.state()).await;
        let incoming = match started {
            Ok(incoming) => incoming,
            Err(error) => {
                let _ = answer.send(Err(error.to_string()));
                return Ok(false);
            }
        };
        let (go, told) = oneshot::channel();
        if answer.send(Ok(go)).is_err() {
            return Ok(false);
        }
        match tokio::time::timeout(SWITCH, told).await {
            Ok(Ok(())) => {}
            _ => return Ok(false),
        }
        info!(channel = %line.name, "the channel goes on with its new version");
        self.parts.transports.close(LAST_ACTIONS).await;
        self.parts.transports.replace_outward(Arc::clone(&outward));
        self.parts.sends.send_replace(Arc::new(WayOut { outward, store: Arc::clone(&line.store) }));
        line.set_plugin(plugin);
        self.rests = Rests::default();
        self.again = None;
        if let Took::Never(reason) = self.take(incoming, None, Source::Once).await? {
            self.set_aside(&Event::Start(Start::Reload), reason).await?;
        }
        Ok(true)
    }
}
