//! A message on its way into the store and its lane.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Agent;
use super::dispatch::{MAX_IDEMPOTENCY_KEY, Peer, Submission, SubmitError, Submitted};
use super::lane::Entry;
use super::opening::{Coming, Opening};
use crate::bus::Topic;
use crate::store::{
    Accept, Accepted, Destination, DynStore, Epoch, Idempotency, Message, SessionKey, Timestamp, TurnId,
};

/// A message that has its place in the order of its session.
pub(super) struct Accepting {
    pub(super) store: DynStore,
    pub(super) epoch: Epoch,
    pub(super) entry: Entry,
    pub(super) agent: Arc<Agent>,
    pub(super) topic: Arc<Topic>,
    pub(super) session: SessionKey,
    pub(super) message: Arc<Message>,
    pub(super) destination: Option<Destination>,
    pub(super) idempotency: Option<Idempotency>,
}

impl Accepting {
    /// Stores it and puts its turn into the lane.
    pub(super) async fn accept(self) -> Result<Submitted, SubmitError> {
        let Self { store, epoch, entry, agent, topic, session, message, destination, idempotency } = self;
        // Before the message is stored: once it is, nothing may fail.
        topic.reserve().await?;
        let now = Timestamp::now();
        let turn = TurnId::new(now, chance());
        let coming = Coming { agent: &agent, session: &session, turn, message: &message, now };
        let opening = coming.opening(&entry).await;
        let begin = opening.as_ref().map(Opening::record);
        let accept = Accept { session, turn, message, destination, begin, idempotency, epoch, now };
        let stored = store.accept(accept.clone()).await?;
        let ticket = match stored {
            Accepted::New => Some(entry.put(&accept, agent, topic, opening)),
            Accepted::Duplicate(_) => None,
            Accepted::KeyReused => return Err(SubmitError::KeyReused),
        };
        let turn = if let Accepted::Duplicate(first) = stored { first } else { turn };
        Ok(Submitted { turn, session: accept.session, ticket })
    }
}

/// 64 random bits. Turn ids need to differ, not to be secret, so a machine without a source of
/// randomness falls back to the process's hash keys.
pub(super) fn chance() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}

/// The client's key for a message, and a digest of all that it stands for.
pub(super) fn idempotency(submission: &Submission) -> Result<Option<Idempotency>, SubmitError> {
    let Some(key) = &submission.idempotency_key else { return Ok(None) };
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
        return Err(SubmitError::Key(key.len()));
    }
    let Peer { channel, account, peer, guild, team } = &submission.peer;
    let mut digest = Sha256::new();
    let optional = [&submission.agent, guild, team].map(|part| part.as_deref());
    let parts = [Some(&*submission.content), Some(channel), Some(account), Some(peer)];
    for part in parts.into_iter().chain(optional) {
        // Lengths keep neighbours apart, and an absent part from an empty one.
        digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        digest.update(part.unwrap_or_default());
    }
    Ok(Some(Idempotency { key: key.clone(), digest: digest.finalize().into() }))
}
