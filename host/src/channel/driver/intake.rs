//! What a channel made of an event, on its way into the store: judged, let into lanes, committed.

use std::collections::HashSet;

use bytes::Bytes;
use tracing::{debug, warn};

use crate::agent::{Admitted, Submission, SubmitError};
use crate::runtime::bindings::channel::{Message, Receipt as ChannelReceipt, Status};
use crate::store::{
    Accepted, ChannelCommit, Incoming, IncomingOutcome, NewReceipt, NewSetAside, Receipt, SetAsideId, StoreError,
    Timestamp,
};

use super::super::gate::{self, Fate, Judged};
use super::super::line::Line;

/// What is to be stored of one event.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) state: Option<Bytes>,
    pub(super) messages: Vec<Message>,
    pub(super) receipts: Vec<ChannelReceipt>,
    pub(super) set_aside: Option<NewSetAside>,
    pub(super) replays: Option<SetAsideId>,
}

/// What was stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::channel) struct Taken {
    /// Messages for the agent.
    pub(in crate::channel) accepted: u64,
    /// Of which only the id is kept.
    pub(in crate::channel) noted: u64,
    /// Seen before.
    pub(in crate::channel) repeats: u64,
    /// The host answered something: there is something to deliver.
    pub(in crate::channel) replied: bool,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntakeError {
    /// It may be tried again.
    #[error("{0}")]
    Later(String),
    /// Trying again would not help.
    #[error("it cannot be stored: {0}")]
    Refused(StoreError),
    /// Another gateway owns the store now.
    #[error(transparent)]
    Superseded(StoreError),
}

impl From<StoreError> for IntakeError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Superseded { .. } => Self::Superseded(error),
            StoreError::Sick(_) | StoreError::Closed | StoreError::Full { .. } => Self::Later(error.to_string()),
            error => Self::Refused(error),
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        let Self { state, messages, receipts, set_aside, replays } = self;
        state.is_none() && messages.is_empty() && receipts.is_empty() && set_aside.is_none() && replays.is_none()
    }

    /// Stores it, in one transaction, and lets the turns of its messages run. Tried again after an
    /// error it stores nothing twice.
    pub(super) async fn store(&self, line: &Line, now: Timestamp) -> Result<Taken, IntakeError> {
        if self.is_empty() {
            return Ok(Taken::default());
        }
        let mut seen = HashSet::new();
        let mut judged = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let one = gate::judge(line, message, now).await?;
            // Of two with one id, the second is a repeat, whatever it says.
            if seen.insert(one.event.clone()) {
                judged.push(one);
            }
        }
        let repeats = self.messages.len() - judged.len();
        let mut entries = answer(line, judged, now).await?;
        admit(line, &mut entries, now).await?;

        let incoming = entries.iter().map(|entry| entry.incoming.clone()).collect();
        let commit = ChannelCommit {
            channel: line.name.to_string(),
            epoch: line.epoch,
            state: self.state.clone(),
            incoming,
            receipts: self.receipts.iter().filter_map(receipt).collect(),
            set_aside: self.set_aside.clone(),
            replays: self.replays,
            now,
        };
        let outcomes = line.store.channel_commit(commit).await?;
        let mut taken = Taken { repeats: repeats as u64, ..Taken::default() };
        for (entry, outcome) in entries.into_iter().zip(outcomes) {
            match outcome {
                IncomingOutcome::Accepted(accepted) => {
                    taken.accepted += u64::from(accepted == Accepted::New);
                    let submitted = entry.admitted.and_then(|admitted| admitted.stored(accepted));
                    // Nobody waits for an answer before it: the turn is announced and runs.
                    if let Some(ticket) = submitted.and_then(|submitted| submitted.ticket) {
                        ticket.start();
                    }
                }
                IncomingOutcome::Noted => {
                    taken.noted += 1;
                    taken.replied |= !entry.incoming.replies.is_empty();
                }
                IncomingOutcome::Repeat => taken.repeats += 1,
            }
        }
        Ok(taken)
    }
}

/// A message, as it will be stored.
struct Entry {
    incoming: Incoming,
    route: super::super::route::Route,
    submission: Option<Submission>,
    admitted: Option<Admitted>,
}

/// Answers what the host answers itself.
async fn answer(line: &Line, judged: Vec<Judged>, now: Timestamp) -> Result<Vec<Entry>, IntakeError> {
    let mut entries = Vec::with_capacity(judged.len());
    for Judged { event, route, fate } in judged {
        let mut incoming = Incoming { event, accept: None, replies: Vec::new(), pairing: None };
        let mut submission = None;
        match fate {
            Fate::Submit(message) => submission = Some(message),
            Fate::Command(command, message) => {
                // A platform that repeats an event must not repeat what it did.
                if !line.store.seen(line.name.as_str(), &incoming.event, now).await? {
                    let text = match line.dispatcher.session_of(&message) {
                        Ok(session) => command.carry_out(line, &session).await?,
                        Err(error) => refusal(&error).to_owned(),
                    };
                    incoming.replies.extend(gate::reply(line, &route, text, now));
                }
            }
            Fate::Pair(pairing, text) => {
                let text = text.replace("{code}", &pairing.code);
                incoming.replies.extend(gate::reply(line, &route, text, now));
                incoming.pairing = Some(pairing);
            }
            Fate::Ignore(reason) => debug!(channel = %line.name, ?reason, "a message is not heard"),
        }
        entries.push(Entry { incoming, route, submission, admitted: None });
    }
    Ok(entries)
}

/// Lets messages into their lanes. One that can never enter is answered by the host; where it could
/// later, so does the whole event.
async fn admit(line: &Line, entries: &mut [Entry], now: Timestamp) -> Result<(), IntakeError> {
    let (wanting, submissions): (Vec<usize>, Vec<Submission>) =
        entries.iter_mut().enumerate().filter_map(|(index, entry)| Some((index, entry.submission.take()?))).unzip();
    let admission = line.dispatcher.admit(submissions, now).await;
    for (index, admitted) in wanting.into_iter().zip(admission.messages) {
        let Some(entry) = entries.get_mut(index) else { continue };
        match admitted {
            Ok(admitted) => {
                entry.incoming.accept = Some(admitted.accept().clone());
                entry.admitted = Some(admitted);
            }
            Err(error @ (SubmitError::Full { .. } | SubmitError::Draining | SubmitError::Fault)) => {
                return Err(IntakeError::Later(error.to_string()));
            }
            Err(SubmitError::Store(error)) => return Err(error.into()),
            Err(error) => {
                warn!(channel = %line.name, %error, "a message is not taken; its sender is told");
                let reply = gate::reply(line, &entry.route, refusal(&error).to_owned(), now);
                entry.incoming.replies.extend(reply);
            }
        }
    }
    Ok(())
}

/// For people on a platform, who can neither see nor mend the setup.
fn refusal(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::TooLarge { .. } => "This message is too long for me.",
        SubmitError::SessionFull { .. } => {
            "I have not answered your last messages yet, and can't take more. Please send this one again later."
        }
        _ => "I can't answer: something is wrong with my setup. My owner can find out more.",
    }
}

fn receipt(receipt: &ChannelReceipt) -> Option<NewReceipt> {
    let ChannelReceipt { id, status } = receipt.clone();
    if id.is_empty() {
        return None;
    }
    let (receipt, reason) = match status {
        Status::Delivered => (Receipt::Delivered, None),
        Status::Read => (Receipt::Read, None),
        Status::Failed(reason) => (Receipt::Failed, Some(reason)),
    };
    Some(NewReceipt { id, receipt, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Letter;
    use crate::channel::testing::{NOW, Result, line, message};
    use crate::config::{ByteSize, ChannelConfig, LimitsConfig, WhoMayWrite};
    use crate::runtime::bindings::channel::Conversation;
    use crate::store::{DeliveryFilter, DeliveryState};

    fn open() -> ChannelConfig {
        ChannelConfig { direct: WhoMayWrite::Open, ..ChannelConfig::default() }
    }

    fn batch(messages: Vec<Message>) -> Batch {
        Batch { messages, state: Some("s".into()), ..Batch::default() }
    }

    /// What the host has said.
    async fn replies(line: &Line) -> Result<Vec<String>> {
        let filter = DeliveryFilter { channel: Some("loop".into()), states: vec![DeliveryState::Pending] };
        let page = line.store.deliveries(&filter, None, 50).await?;
        let text = |content: &Bytes| -> Result<String> {
            Ok(match Letter::from_bytes(content)?.content {
                crate::agent::LetterContent::Markdown { text } => text,
                other => format!("{other:?}"),
            })
        };
        page.items.iter().map(|delivery| text(&delivery.content)).collect()
    }

    #[tokio::test]
    async fn messages_and_state_are_stored_together_and_repeats_are_dropped() -> Result {
        let line = line(open(), LimitsConfig::default()).await?;
        let twice = batch(vec![message("1", "hi"), message("1", "hi again"), message("2", "and")]);
        let taken = twice.store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!(taken, Taken { accepted: 2, repeats: 1, ..Taken::default() });
        assert_eq!(line.store.channel_state("loop").await?.as_deref(), Some(&b"s"[..]));
        // The platform sends all of it again.
        let taken = twice.store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!(taken, Taken { repeats: 3, ..Taken::default() });
        let session = "default:loop:loop:chat".parse()?;
        let history = line.store.history(&session, None, 10).await?;
        assert_eq!(history.items.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_command_is_carried_out_once_and_answered_once() -> Result {
        let line = line(open(), LimitsConfig::default()).await?;
        batch(vec![message("1", "hi")]).store(&line, NOW).await.map_err(|error| error.to_string())?;
        let stop = batch(vec![message("2", "/stop")]);
        let taken = stop.store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!(taken, Taken { noted: 1, replied: true, ..Taken::default() });
        stop.store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!(replies(&line).await?, ["Stopped."]);
        Ok(())
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_taken_is_answered_and_holds_up_no_other() -> Result {
        let limits = LimitsConfig { content: ByteSize(16), queued: 1, ..LimitsConfig::default() };
        let line = line(open(), limits).await?;
        let long = message("1", "far too long for this");
        let waits = |id: &str| message(id, "one more");
        let all = batch(vec![long, waits("2"), waits("3"), waits("4")]);
        let taken = all.store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!((taken.accepted, taken.noted), (1, 3), "{taken:?}");
        let said = replies(&line).await?;
        let count = |word: &str| said.iter().filter(|text| text.contains(word)).count();
        assert_eq!((count("too long"), count("later")), (1, 2), "{said:?}");
        Ok(())
    }

    #[tokio::test]
    async fn of_who_may_not_write_only_the_id_is_kept() -> Result {
        let line = line(open(), LimitsConfig::default()).await?;
        let stranger = Message { conversation: Conversation::Group, ..message("1", "a secret of mine") };
        let taken = batch(vec![stranger.clone()]).store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!(taken, Taken { noted: 1, ..Taken::default() });
        assert_eq!(line.store.sessions(None, 10).await?.items, []);
        assert_eq!(replies(&line).await?, [""; 0]);
        let taken = batch(vec![stranger]).store(&line, NOW).await.map_err(|error| error.to_string())?;
        assert_eq!(taken.repeats, 1);
        Ok(())
    }

    #[tokio::test]
    async fn while_the_gateway_goes_down_nothing_is_stored() -> Result {
        let line = line(open(), LimitsConfig::default()).await?;
        line.dispatcher.drain(std::time::Duration::ZERO).await;
        let error = batch(vec![message("1", "hi")]).store(&line, NOW).await.err();
        assert!(matches!(error, Some(IntakeError::Later(_))), "{error:?}");
        assert_eq!(line.store.channel_state("loop").await?, None);
        Ok(())
    }
}
