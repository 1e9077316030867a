//! One session: its history, its turns, its keys.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::files::Files;
use super::keys::Keys;
use super::turns::{Ended, Open};
use crate::store::{
    Block, Epoch, Event, Message, Page, Position, Seq, SessionKey, SessionRecord, StoreError, StoredMessage, Timestamp,
    ToolContent, TurnId,
};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) record: SessionRecord,
    /// By position.
    pub(super) messages: VecDeque<StoredMessage>,
    /// What the messages count.
    pub(super) size: u64,
    pub(super) next_position: u64,
    /// The model sees nothing before this.
    pub(super) context_from: Position,
    /// Of who advanced it last.
    pub(super) epoch: Epoch,
    pub(super) open: HashMap<TurnId, Open>,
    pub(super) ended: VecDeque<Ended>,
    pub(super) keys: Keys,
    pub(super) files: Files,
    pub(super) last_use: u64,
}

impl Session {
    pub(super) fn new(session: SessionKey, now: Timestamp) -> Self {
        Self {
            record: SessionRecord { session, created_at: now, updated_at: now, messages: 0, turns: 0 },
            messages: VecDeque::new(),
            size: 0,
            next_position: 0,
            context_from: Position(0),
            epoch: Epoch(0),
            open: HashMap::new(),
            ended: VecDeque::new(),
            keys: Keys::default(),
            files: Files::default(),
            last_use: 0,
        }
    }

    /// Whether an owner may still advance the session.
    pub(super) fn allows(&self, epoch: Epoch) -> Result<(), StoreError> {
        if epoch < self.epoch { Err(StoreError::Superseded { epoch, by: self.epoch }) } else { Ok(()) }
    }

    /// Adds messages at the end of the history, which keeps the newest `limit`.
    pub(super) fn add(&mut self, turn: TurnId, messages: Vec<Arc<Message>>, now: Timestamp, limit: usize) {
        for message in messages {
            let position = Position(self.next_position);
            self.next_position += 1;
            self.size += size(&message);
            self.messages.push_back(StoredMessage { position, turn, at: now, message });
            self.record.updated_at = self.record.updated_at.max(now);
        }
        self.bound(limit);
    }

    /// Takes in a message at its position, unless there is one.
    pub(super) fn insert(&mut self, message: StoredMessage, limit: usize) {
        let Err(place) = self.messages.binary_search_by_key(&message.position, |message| message.position) else {
            return;
        };
        self.next_position = self.next_position.max(message.position.0.saturating_add(1));
        self.size += size(&message.message);
        self.messages.insert(place, message);
        self.bound(limit);
    }

    /// Keeps the newest `limit` messages.
    fn bound(&mut self, limit: usize) {
        while self.messages.len() > limit {
            let gone = self.messages.pop_front();
            self.size -= gone.map_or(0, |gone| size(&gone.message));
        }
        self.record.messages = self.messages.len() as u64;
    }

    /// The newest messages that the model may see.
    pub(super) fn recent(&self, limit: usize) -> Vec<StoredMessage> {
        let visible = self.messages.iter().filter(|message| message.position >= self.context_from);
        let mut newest: Vec<_> = visible.rev().take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// A page of the history, which ends before `before`.
    pub(super) fn history(&self, before: Option<Position>, limit: usize) -> Page<StoredMessage, Position> {
        let end = before
            .map_or(self.messages.len(), |before| self.messages.partition_point(|message| message.position < before));
        let start = end.saturating_sub(limit);
        let items: Vec<_> = self.messages.range(start..end).cloned().collect();
        let next = items.first().filter(|_| start > 0).map(|message| message.position);
        Page { items, next }
    }

    /// Events after `after`, of one turn or of all.
    pub(super) fn events(&self, turn: Option<TurnId>, after: Seq, limit: usize) -> Vec<Arc<Event>> {
        let ended = self.ended.iter().map(|ended| (ended.turn, &ended.events));
        let open = self.open.iter().map(|(turn, open)| (*turn, &open.events));
        let turns = ended.chain(open).filter(|(of, _)| turn.is_none_or(|turn| turn == *of));
        let mut events: Vec<_> =
            turns.flat_map(|(_, events)| events).filter(|event| event.seq > after).cloned().collect();
        events.sort_by_key(|event| event.seq);
        events.truncate(limit);
        events
    }
}

/// What a message counts: the bytes of its texts.
pub(super) fn size(message: &Message) -> u64 {
    let content = |content: &ToolContent| match content {
        ToolContent::Text { text } => text.len(),
        ToolContent::Json { json } => json.len(),
        ToolContent::Media { mime_type, data } => mime_type.len() + data.len(),
        ToolContent::File(file) => file.id.len() + file.name.len() + file.mime_type.len(),
    };
    let block = |block: &Block| match block {
        Block::Text { text } => text.len(),
        Block::Thinking { text, signature } => text.len() + signature.as_ref().map_or(0, String::len),
        Block::RedactedThinking { data } => data.len(),
        Block::ToolUse(call) => call.id.len() + call.name.len() + call.input.get().len(),
        Block::ToolResult(result) => result.tool_use_id.len() + result.content.iter().map(content).sum::<usize>(),
        Block::Attachment(file) => {
            let name = file.name.as_ref().map_or(0, String::len);
            file.file.len() + file.channel.len() + file.mime_type.len() + name + file.handle.len()
        }
        Block::Image { mime_type, data } => mime_type.len() + data.len(),
    };
    message.blocks.iter().map(block).sum::<usize>() as u64
}
