//! Attachments of messages: what a channel says of how to get at them is done here, and what comes is
//! streamed into the session's files.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::line::Line;
use super::outward::{Download, NoFiles, Outward};
use crate::agent::{Attachments, FetchError, MAX_HANDLE};
use crate::runtime::bindings::channel::{self, Fetch, TransportError};
use crate::store::{
    Attachment, DynStore, FileAppend, FileId, FileName, FileNameError, FileOutcome, MAX_FILE_NAME, MimeType,
    MimeTypeError, NewFile, SessionKey, StoreError, Timestamp,
};

/// The most look-ups before a download: Telegram needs one, WhatsApp one, Slack none.
const MAX_LOOKUPS: usize = 4;

/// How long a turn that is taken up at the start may wait for its channel to be there.
const ARRIVAL: Duration = Duration::from_secs(30);

/// What is added to a file at once, in bytes: each addition is a transaction.
const PIECE: usize = 256 << 10;

/// What a file is called whose sender did not say.
const NAMELESS: &str = "attachment";

/// Fetches what people send along, by the channels that there are. It is made before the agents, and
/// the channels come to it when they are ready.
#[derive(Default)]
pub struct AttachmentDesk {
    lines: watch::Sender<HashMap<String, Arc<Line>>>,
}

impl AttachmentDesk {
    /// A channel is there; one of that name before it is not any more.
    pub(super) fn attach(&self, line: Arc<Line>) {
        self.lines.send_modify(|lines| drop(lines.insert(line.name.to_string(), line)));
    }

    /// A channel is not there any more.
    pub(super) fn detach(&self, channel: &str) {
        self.lines.send_modify(|lines| drop(lines.remove(channel)));
    }

    async fn line(&self, channel: &str) -> Result<Arc<Line>, FetchError> {
        let mut lines = self.lines.subscribe();
        let found = tokio::time::timeout(ARRIVAL, lines.wait_for(|lines| lines.contains_key(channel))).await;
        let found = found.ok().and_then(Result::ok).and_then(|lines| lines.get(channel).cloned());
        found.ok_or_else(|| FetchError("the channel that it came by is not there any more".to_owned()))
    }
}

impl Attachments for AttachmentDesk {
    fn fetch<'a>(
        &'a self,
        session: &'a SessionKey,
        attachment: &'a Attachment,
    ) -> BoxFuture<'a, Result<(), FetchError>> {
        Box::pin(async move {
            let line = self.line(&attachment.channel).await?;
            let outward = Outward::of(&line.plugin()).map_err(|error| FetchError(error.to_string()))?;
            let download = find(&line, &outward, attachment).await?;
            Keeping { store: &line.store, session, attachment, line: &line }.keep(download).await
        })
    }
}

/// Attachments of a channel's message, as the message keeps them. Those whose handle is too long to be
/// kept are left out.
pub(super) fn kept(channel: &str, attachments: &[channel::Attachment]) -> Vec<Attachment> {
    let keep = |attachment: &channel::Attachment| {
        // Unguessable, like every file's: who knows of one finds no other by it.
        let mut chance = [0; 16];
        getrandom::fill(&mut chance).ok()?;
        Some(Attachment {
            file: FileId::new(u128::from_le_bytes(chance)).to_string(),
            channel: channel.to_owned(),
            mime_type: attachment.mime_type.clone(),
            name: attachment.name.clone(),
            size: attachment.size,
            handle: BASE64.encode(&attachment.handle),
        })
    };
    let bounded = attachments.iter().filter(|attachment| attachment.handle.len() <= MAX_HANDLE);
    bounded.filter_map(keep).collect()
}

/// Asks the channel, and the platform for it, until the file comes.
async fn find(line: &Line, outward: &Outward, attachment: &Attachment) -> Result<Download, FetchError> {
    let handle = BASE64.decode(attachment.handle.as_bytes());
    let handle = handle.map_err(|_| FetchError("its handle cannot be read".to_owned()))?;
    let (plugin, limit) = (line.plugin(), outward.file_limit());
    if let Some(size) = attachment.size.filter(|size| *size > limit) {
        return Err(FetchError(format!("it has {size} bytes; `[plugins.limits] file` allows {limit}")));
    }
    let mut previous = None;
    for _ in 0..=MAX_LOOKUPS {
        let call = line.call(&attachment.file, 1, Timestamp::now());
        let fetch = plugin.fetch_attachment(call, &line.state(), &handle, previous.as_ref()).await;
        match fetch.map_err(|error| FetchError(format!("its channel cannot fetch it: {error}")))? {
            Fetch::Lookup(request) => {
                let answer = outward.send(&request, &NoFiles).await.map_err(|error| unreached(&error))?;
                previous = Some(answer);
            }
            Fetch::Download(request) => {
                let download = outward.download(&request, limit).await.map_err(|error| unreached(&error))?;
                return match download.status {
                    200..=299 => Ok(download),
                    status => Err(FetchError(format!("the platform answered {status} instead of the file"))),
                };
            }
        }
    }
    Err(FetchError(format!("its channel still looks for it after {MAX_LOOKUPS} look-ups")))
}

fn unreached(error: &TransportError) -> FetchError {
    let (TransportError::NotSent(reason) | TransportError::Unanswered(reason)) = error;
    FetchError(format!("the platform did not give it: {reason}"))
}

/// A file that is being written.
struct Keeping<'a> {
    store: &'a DynStore,
    session: &'a SessionKey,
    attachment: &'a Attachment,
    line: &'a Line,
}

impl Keeping<'_> {
    /// Writes it. What fails leaves nothing.
    async fn keep(&self, download: Download) -> Result<(), FetchError> {
        let id: FileId = self.attachment.file.parse().map_err(|_| FetchError("it has no id".to_owned()))?;
        let kept = self.write(id, download).await;
        if kept.is_err() {
            self.remove(id).await?;
        }
        kept
    }

    async fn write(&self, id: FileId, mut download: Download) -> Result<(), FetchError> {
        // A turn that was cut may have left a part of it.
        self.remove(id).await?;
        let new = NewFile {
            id,
            session: self.session.clone(),
            plugin: self.line.name.clone(),
            name: file_name(self.attachment.name.as_deref().unwrap_or_default())?,
            mime_type: mime_type(&self.attachment.mime_type)?,
            now: Timestamp::now(),
        };
        self.outcome(self.store.file_create(new).await)?;
        let mut waiting = Vec::new();
        while let Some(piece) = download.body.next().await {
            let piece = piece.map_err(|error| FetchError(format!("it did not come whole: {error}")))?;
            waiting.extend_from_slice(&piece);
            if waiting.len() >= PIECE {
                self.append(id, std::mem::take(&mut waiting)).await?;
            }
        }
        self.append(id, waiting).await
    }

    async fn append(&self, id: FileId, data: Vec<u8>) -> Result<(), FetchError> {
        if data.is_empty() {
            return Ok(());
        }
        // The download is bounded already.
        let append = FileAppend { session: self.session.clone(), id, data, limit: u64::MAX };
        self.outcome(self.store.file_append(append).await)
    }

    async fn remove(&self, id: FileId) -> Result<(), FetchError> {
        self.store.file_remove(self.session, &[id]).await.map_err(unkept)
    }

    fn outcome(&self, outcome: Result<FileOutcome, StoreError>) -> Result<(), FetchError> {
        let reason = match outcome.map_err(unkept)? {
            FileOutcome::Done => return Ok(()),
            FileOutcome::NotFound => "its session is gone",
            FileOutcome::TooLarge => "it is too large",
            FileOutcome::SessionFull => "the files of this conversation take all that `[limits] session_files` allows",
            FileOutcome::Full => "the files of all conversations take all that `[limits] files` allows",
        };
        Err(FetchError(reason.to_owned()))
    }
}

fn unkept(error: StoreError) -> FetchError {
    FetchError(format!("it cannot be kept: {error}"))
}

/// The sender's name for it, as far as a file may have it.
fn file_name(name: &str) -> Result<FileName, FetchError> {
    let bad = |character: char| matches!(character, '/' | '\\') || crate::text::is_deceptive(character);
    let mut clean: String = name.trim().replace(bad, "_");
    let end = (0..=MAX_FILE_NAME.min(clean.len())).rev().find(|end| clean.is_char_boundary(*end));
    clean.truncate(end.unwrap_or(0));
    let nameless = || NAMELESS.parse();
    clean.parse().or_else(|_| nameless()).map_err(|error: FileNameError| FetchError(error.to_string()))
}

/// The platform's word for what it is, without parameters.
fn mime_type(text: &str) -> Result<MimeType, FetchError> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let any = || "application/octet-stream".parse();
    essence.parse().or_else(|_| any()).map_err(|error: MimeTypeError| FetchError(error.to_string()))
}

#[cfg(test)]
mod tests;
