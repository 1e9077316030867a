//! Files that people send along: fetched when their turn begins, and shown to the model.
//!
//! A message names its attachments by handles, since its platform holds them. The turn that it opens
//! has them fetched into the session's files, each under the id that the message gave it; what became
//! of each is noted once and for all, so that a turn that is taken up again fetches none twice, and
//! later turns show the same. A model sees an image as such, and of other files their names and ids,
//! by which tools read them. A file that could not be had becomes a note of why.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::image::{self, ImageType};
use crate::store::{
    Attachment, Block, DynStore, FileId, FileRecord, FileRef, KvExpected, KvKey, KvScope, KvSet, KvSpace, KvValue,
    MAX_FILE_PIECE, Message, SessionKey, StoreError,
};

/// The most attachments of one message; what is beyond is named in its text alone.
pub(super) const MAX_ATTACHMENTS: usize = 10;

/// The longest handle of an attachment, in bytes: it is kept as long as its message.
pub const MAX_HANDLE: usize = 4 << 10;

/// Attachments of one message that are fetched at once.
const AT_ONCE: usize = 3;

/// How long the fetching of one may take. The turn waits for it.
const FETCH: Duration = Duration::from_secs(120);

/// The most images that a model is shown of one conversation, the newest ones. (Anthropic's
/// documentation of vision: above 20, each may have 2,000 pixels a side only.)
const MAX_IMAGES: usize = 10;

/// What all of them may have, in bytes: a request to Anthropic has 32 MB, of which base64 takes a third.
const MAX_IMAGE_BYTES: u64 = 16 << 20;

/// Fetches what people sent along. Implemented by whoever knows the channels.
pub trait Attachments: Send + Sync + 'static {
    /// Makes an attachment the file of the session that it names. What may be there of it, from an
    /// attempt that was cut, is replaced. Callers have a deadline of their own.
    fn fetch<'a>(
        &'a self,
        session: &'a SessionKey,
        attachment: &'a Attachment,
    ) -> BoxFuture<'a, Result<(), FetchError>>;
}

/// Why there is no file. The model is told, so that it can tell the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Where nothing fetches, nothing is had.
impl Attachments for () {
    fn fetch<'a>(&'a self, _: &'a SessionKey, _: &'a Attachment) -> BoxFuture<'a, Result<(), FetchError>> {
        Box::pin(std::future::ready(Err(FetchError("this gateway fetches no attachments".to_owned()))))
    }
}

/// What became of an attachment, as it is noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    /// Its file is whole.
    Whole,
    /// It is not to be had.
    Failed(String),
}

/// The attachments of one session.
pub(super) struct Desk<'a> {
    pub(super) store: &'a DynStore,
    pub(super) session: &'a SessionKey,
    pub(super) source: &'a dyn Attachments,
}

impl Desk<'_> {
    /// Fetches the attachments of a turn's own message, as far as nothing is noted of them.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn fetch(&self, message: &Message) -> Result<(), StoreError> {
        let mut waiting: Vec<BoxFuture<'_, Result<(), StoreError>>> = Vec::new();
        for block in &message.blocks {
            if let Block::Attachment(attachment) = block {
                waiting.push(Box::pin(self.fetch_one(attachment)));
            }
        }
        let mut fetches = stream::iter(waiting).buffer_unordered(AT_ONCE);
        while let Some(fetched) = fetches.next().await {
            fetched?;
        }
        Ok(())
    }

    async fn fetch_one(&self, attachment: &Attachment) -> Result<(), StoreError> {
        let Some((space, key)) = self.note(attachment) else { return Ok(()) };
        if self.store.kv_get(&space, &key).await?.is_some() {
            return Ok(());
        }
        let fetching = tokio::time::timeout(FETCH, self.source.fetch(self.session, attachment)).await;
        let fate = match fetching.unwrap_or_else(|_| Err(FetchError(format!("it took longer than {FETCH:?}")))) {
            Ok(()) => Fate::Whole,
            Err(FetchError(reason)) => {
                tracing::warn!(channel = %attachment.channel, session = %self.session, %reason, "an attachment could not be fetched");
                Fate::Failed(crate::text::one_line(&reason, 300))
            }
        };
        let value = serde_json::to_vec(&fate).unwrap_or_default();
        let Ok(value) = KvValue::try_from(value) else { return Ok(()) };
        // What the host notes counts against no plugin.
        let set = KvSet { space, key, value, expected: KvExpected::Anything, quota: u64::MAX };
        self.store.kv_set(set).await.map(drop)
    }

    /// Where it is noted what became of an attachment. It goes with its session.
    fn note(&self, attachment: &Attachment) -> Option<(KvSpace, KvKey)> {
        let space = KvSpace { plugin: attachment.channel.parse().ok()?, scope: KvScope::Session(self.session.clone()) };
        Some((space, format!("attachment/{}", attachment.file).parse().ok()?))
    }

    /// The messages as a model gets them: in place of attachments, what became of them.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn shown(&self, messages: Vec<Arc<Message>>) -> Result<Vec<Arc<Message>>, StoreError> {
        let has_some =
            |message: &Arc<Message>| message.blocks.iter().any(|block| matches!(block, Block::Attachment(_)));
        if !messages.iter().any(has_some) {
            return Ok(messages);
        }
        let mut room = Room { images: MAX_IMAGES, bytes: MAX_IMAGE_BYTES };
        let mut shown = HashMap::new();
        // The newest first, so that the room for images is theirs.
        for (index, message) in messages.iter().enumerate().rev().filter(|(_, message)| has_some(message)) {
            let mut blocks = Vec::with_capacity(message.blocks.len() + 1);
            for block in &message.blocks {
                match block {
                    Block::Attachment(attachment) => blocks.extend(self.blocks(attachment, &mut room).await?),
                    other => blocks.push(other.clone()),
                }
            }
            shown.insert(index, Arc::new(Message { role: message.role, blocks }));
        }
        let messages = messages.into_iter().enumerate();
        Ok(messages.map(|(index, message)| shown.remove(&index).unwrap_or(message)).collect())
    }

    async fn blocks(&self, attachment: &Attachment, room: &mut Room) -> Result<Vec<Block>, StoreError> {
        let fate = match self.note(attachment) {
            Some((space, key)) => self.store.kv_get(&space, &key).await?,
            None => None,
        };
        let fate = fate.and_then(|fate| serde_json::from_slice(fate.as_bytes()).ok());
        let missing = |why: &str| vec![Block::Text { text: format!("[{}: {why}]", called(attachment)) }];
        match fate {
            None => return Ok(missing("it was not fetched")),
            Some(Fate::Failed(reason)) => return Ok(missing(&format!("it could not be fetched: {reason}"))),
            Some(Fate::Whole) => {}
        }
        let found = match attachment.file.parse::<FileId>() {
            Ok(id) => self.store.file_stat(self.session, &id).await?,
            Err(_) => None,
        };
        let Some(file) = found else { return Ok(missing("it is not there any more")) };
        let image = self.image(&file, room).await?;
        let text = Block::Text { text: FileRef::from(file).to_string() };
        Ok(std::iter::once(text).chain(image).collect())
    }

    /// The file as an image, where it is one that models take, and there is room.
    async fn image(&self, file: &FileRecord, room: &mut Room) -> Result<Option<Block>, StoreError> {
        if file.size > image::MAX_BYTES || file.size > room.bytes || room.images == 0 {
            return Ok(None);
        }
        let head = self.store.file_read(self.session, &file.id, 0, image::HEAD).await?;
        // By what it holds, not by what it is called: a provider refuses a whole request for one lie.
        let Some(kind) = head.as_deref().and_then(ImageType::of) else { return Ok(None) };
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < file.size {
            let offset = bytes.len() as u64;
            match self.store.file_read(self.session, &file.id, offset, MAX_FILE_PIECE).await? {
                Some(piece) if !piece.is_empty() => bytes.extend_from_slice(&piece),
                _ => return Ok(None),
            }
        }
        if !kind.is_within_bounds(&bytes) {
            return Ok(None);
        }
        room.images -= 1;
        room.bytes -= file.size;
        Ok(Some(Block::Image { mime_type: kind.mime_type().to_owned(), data: BASE64.encode(&bytes).into() }))
    }
}

/// What of images may still be shown.
struct Room {
    images: usize,
    bytes: u64,
}

/// What a person called it.
fn called(attachment: &Attachment) -> String {
    let name = attachment.name.as_deref().map_or_else(|| "file".to_owned(), |name| crate::text::one_line(name, 120));
    format!("{name}, {}", crate::text::one_line(&attachment.mime_type, 80))
}

#[cfg(test)]
mod tests;
