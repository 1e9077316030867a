//! Where a message was written, as the answer needs it: the address of a destination.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::runtime::bindings::channel::{Address, Message};
use crate::store::{Destination, MAX_ADDRESS};

/// The address of a [`Destination`], as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    pub(super) peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) guild: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<String>,
    /// The platform's id of the message that is answered, where the answer should say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_to: Option<String>,
    /// Of the message, in base64; handed back with every answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) handle: Option<String>,
}

impl Route {
    /// Where a message's answer goes. `reply` makes the answer refer to the message, as it has to in
    /// a group, where others write in between.
    pub(super) fn of(message: &Message, reply: bool) -> Self {
        let Address { account, peer, guild, team, thread } = message.address.clone();
        Self {
            account,
            peer,
            guild,
            team,
            thread,
            reply_to: reply.then(|| message.id.clone()),
            handle: (!message.handle.is_empty()).then(|| data_encoding::BASE64.encode(&message.handle)),
        }
    }

    /// Deliveries with the same one keep their order.
    pub(super) fn conversation(&self) -> String {
        let parts = [&self.account, &Some(self.peer.clone()), &self.guild, &self.team, &self.thread];
        serde_json::to_string(&parts).unwrap_or_default()
    }

    /// As a turn's destination. Nothing where it is longer than the store takes.
    pub(super) fn destination(&self, channel: &str) -> Option<Destination> {
        let address = Bytes::from(serde_json::to_vec(self).ok()?);
        (address.len() <= MAX_ADDRESS).then(|| Destination {
            channel: channel.to_owned(),
            conversation: self.conversation(),
            address,
        })
    }

    /// From a destination's address.
    pub(super) fn parse(address: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(address)
    }

    /// For the plugin.
    pub(super) fn address(&self) -> Address {
        let Self { account, peer, guild, team, thread, .. } = self.clone();
        Address { account, peer, guild, team, thread }
    }

    /// The message's handle, for the plugin.
    pub(super) fn handle(&self) -> Option<Vec<u8>> {
        data_encoding::BASE64.decode(self.handle.as_ref()?.as_bytes()).ok()
    }
}
