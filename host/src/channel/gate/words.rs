//! What the agent is told of a message, and what the host says to people.

use crate::runtime::bindings::channel::{Attachment, Conversation, Kind, Message};

use super::super::line::Line;

/// The longest name of a sender that the agent is told, in characters.
const MAX_NAME: usize = 60;

/// A message as the agent reads it. Nothing where it has nothing to say.
pub(super) fn content(line: &Line, message: &Message) -> Option<String> {
    let text = message.text.trim();
    let mut said = match &message.kind {
        Kind::New => text.to_owned(),
        Kind::Edit if text.is_empty() => return None,
        Kind::Edit => format!("(An earlier message, edited:) {text}"),
        Kind::Reaction(_) if !line.config.reactions => return None,
        Kind::Reaction(emoji) => format!("(Reacted to a message with {}.)", crate::text::one_line(emoji, 40)),
    };
    for attachment in &message.attachments {
        if !said.is_empty() {
            said.push('\n');
        }
        said.push_str(&named(attachment));
    }
    if said.is_empty() {
        return None;
    }
    Some(match message.conversation {
        Conversation::Direct => said,
        Conversation::Group | Conversation::Broadcast => format!("[{}] {said}", speaker(message)),
    })
}

/// Who speaks, for a conversation of several. What closes the brackets is taken out of the name, and
/// the platform's id stands behind it: names can be chosen, ids cannot.
fn speaker(message: &Message) -> String {
    let sender = &message.sender;
    let clean = |text: &str| crate::text::one_line(text, MAX_NAME).replace(['[', ']', '(', ')'], "");
    match sender.name.as_deref().map(clean).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} ({})", clean(&sender.id)),
        None => clean(&sender.id),
    }
}

fn named(attachment: &Attachment) -> String {
    let name =
        attachment.name.as_deref().map_or_else(|| "without a name".to_owned(), |name| crate::text::one_line(name, 120));
    let mime_type = crate::text::one_line(&attachment.mime_type, 80);
    match attachment.size {
        Some(size) => format!("(Attached: {name}, {mime_type}, {size} bytes.)"),
        None => format!("(Attached: {name}, {mime_type}.)"),
    }
}

/// What a stranger is told; `{code}` stands for the code.
pub(super) fn of_pairing(conversation: Conversation) -> &'static str {
    match conversation {
        Conversation::Direct => {
            "I don't know you yet. If my owner expects you, show them this code within an hour: `{code}`"
        }
        Conversation::Group | Conversation::Broadcast => {
            "I don't know this group yet. If my owner wants me here, show them this code within an hour: `{code}`"
        }
    }
}
