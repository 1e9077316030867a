//! Messages that are stored by someone else's transaction: a channel's, together with its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Agent;
use super::accept::chance;
use super::dispatch::{Dispatcher, Submission, SubmitError, Submitted, said};
use super::lane::Entry;
use super::opening::{Coming, Opening};
use crate::bus::Topic;
use crate::store::{Accept, Accepted, SessionKey, Timestamp, TurnId};

/// Messages of one transaction, each with its place in the order of its session. While it is held,
/// nothing else enters those sessions.
pub struct Admission {
    /// In the order in which they were given; each alone may have been refused.
    pub messages: Vec<Result<Admitted, SubmitError>>,
}

/// A message that is to be stored now.
pub struct Admitted {
    accept: Accept,
    entry: Entry,
    agent: Arc<Agent>,
    topic: Arc<Topic>,
    opening: Option<Opening>,
}

/// Where a message stands among those of its session that are admitted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Behind,
}

impl Dispatcher {
    /// Lets messages into their lanes, so that they can be stored together with something else. Those
    /// that are not told to be stored ([`Admitted::stored`]) leave their lanes when they are dropped.
    /// Has nothing to do with a message's idempotency key: a channel's events have ids.
    pub async fn admit(&self, submissions: Vec<Submission>, now: Timestamp) -> Admission {
        let addressed: Vec<_> = submissions
            .into_iter()
            .map(|submission| self.addressee(&submission).map(|(agent, session)| (submission, agent, session)))
            .collect();
        // In one order for everyone: two who each hold what the other waits for would wait for ever.
        let mut firsts: BTreeMap<SessionKey, Option<Result<Entry, SubmitError>>> =
            addressed.iter().flatten().map(|(_, _, session)| (session.clone(), None)).collect();
        for (session, first) in &mut firsts {
            *first = Some(self.lanes().enter(session).await.map_err(|refused| self.refused(refused)));
        }
        let mut messages: Vec<Result<Admitted, SubmitError>> = Vec::with_capacity(addressed.len());
        for addressed in addressed {
            let entered = match addressed {
                Err(error) => Err(error),
                Ok((submission, agent, session)) => {
                    let entry = match firsts.get_mut(&session).and_then(Option::take) {
                        Some(first) => first.map(|entry| (Place::First, entry)),
                        None => self.behind(&session, &messages).map(|entry| (Place::Behind, entry)),
                    };
                    match entry {
                        Ok(entry) => self.admitted(submission, agent, session, entry, now).await,
                        Err(error) => Err(error),
                    }
                }
            };
            messages.push(entered);
        }
        Admission { messages }
    }

    /// One more message of a session of which one has entered, or was refused, before.
    fn behind(&self, session: &SessionKey, before: &[Result<Admitted, SubmitError>]) -> Result<Entry, SubmitError> {
        let entry = before.iter().flatten().map(|admitted| &admitted.entry).find(|entry| entry.session() == session);
        let entry = entry.ok_or_else(|| self.refused(super::lane::Refused::SessionFull))?;
        entry.another().map_err(|refused| self.refused(refused))
    }

    async fn admitted(
        &self,
        submission: Submission,
        agent: Arc<Agent>,
        session: SessionKey,
        (place, entry): (Place, Entry),
        now: Timestamp,
    ) -> Result<Admitted, SubmitError> {
        let topic = self.hub().topic(&session);
        // Before the message is stored: once it is, nothing may fail.
        topic.reserve().await?;
        let message = said(submission.content, submission.attachments);
        let turn = TurnId::new(now, chance());
        let opening = match place {
            Place::First => {
                Coming { agent: &agent, session: &session, turn, message: &message, now }.opening(&entry).await
            }
            Place::Behind => None,
        };
        let begin = opening.as_ref().map(Opening::record);
        let (destination, epoch) = (submission.destination, self.epoch());
        let accept = Accept { session, turn, message, destination, begin, idempotency: None, epoch, now };
        Ok(Admitted { accept, entry, agent, topic, opening })
    }
}

impl Admitted {
    /// What is to be stored.
    #[must_use]
    pub fn accept(&self) -> &Accept {
        &self.accept
    }

    /// Puts the turn of a message that was stored into its lane; of a repeat there is none.
    #[must_use]
    pub fn stored(self, outcome: Accepted) -> Option<Submitted> {
        let Self { accept, entry, agent, topic, opening } = self;
        match outcome {
            Accepted::New => {
                let ticket = Some(entry.put(&accept, agent, topic, opening));
                let Accept { session, turn, .. } = accept;
                Some(Submitted { turn, session, ticket })
            }
            Accepted::Duplicate(turn) => Some(Submitted { turn, session: accept.session, ticket: None }),
            Accepted::KeyReused => None,
        }
    }
}
