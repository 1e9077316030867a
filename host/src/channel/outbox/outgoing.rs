//! A delivery in the plugin's words.

use crate::agent::{Letter, LetterContent};
use crate::channel::route::Route;
use crate::runtime::bindings::channel::{Content, Features, File, Outgoing, Reaction};
use crate::store::Delivery;

/// A delivery, read out of what is stored of it.
pub(super) struct Addressed {
    pub(super) route: Route,
    pub(super) content: LetterContent,
}

impl Addressed {
    /// # Errors
    /// Why it can't be delivered: another version of the gateway wrote it.
    pub(super) fn of(delivery: &Delivery) -> Result<Self, String> {
        let unreadable = |what: &str, error: &serde_json::Error| {
            format!("its {what} can't be read ({error}); it was stored by another version of exoclaw")
        };
        let letter = Letter::from_bytes(&delivery.content).map_err(|error| unreadable("content", &error))?;
        let route = Route::parse(&letter.address).map_err(|error| unreadable("address", &error))?;
        Ok(Self { route, content: letter.content })
    }

    /// What the plugin is to deliver at last. Nothing where there is nothing to say.
    ///
    /// # Errors
    /// Why the platform takes no such thing.
    pub(super) fn whole(&self, features: &Features) -> Result<Option<Content>, String> {
        Ok(Some(match &self.content {
            LetterContent::Markdown { text } if text.trim().is_empty() => return Ok(None),
            LetterContent::Markdown { text } => Content::Markdown(text.clone()),
            LetterContent::File { file } => {
                if let Some(limit) = features.file_bytes.filter(|limit| file.size > *limit) {
                    return Err(format!(
                        "the file {} has {} bytes, and the platform takes at most {limit}",
                        file.name, file.size
                    ));
                }
                let file = file.clone();
                Content::File(File { id: file.id, name: file.name, mime_type: file.mime_type, size: file.size })
            }
            LetterContent::Reaction { .. } if !features.reactions => {
                return Err("the platform has no reactions".to_owned());
            }
            LetterContent::Reaction { message, emoji } => {
                Content::Reaction(Reaction { message_id: message.clone(), emoji: emoji.clone() })
            }
        }))
    }

    /// The same as a draft: the text so far.
    pub(super) fn draft(&self) -> Option<Content> {
        match &self.content {
            LetterContent::Markdown { text } => Some(Content::Draft(text.clone())),
            LetterContent::File { .. } | LetterContent::Reaction { .. } => None,
        }
    }
}

/// What the plugin is told of a delivery.
pub(super) fn outgoing(delivery: &Delivery, route: &Route, content: Content) -> Outgoing {
    Outgoing {
        id: delivery.id.0.to_string(),
        created_at: delivery.created_at.0,
        address: route.address(),
        handle: route.handle(),
        reply_to: route.reply_to.clone(),
        content,
    }
}
