//! Discord's inline references made readable (Reference, "Message Formatting").

use crate::dispatch::Author;

/// The longest reference, in bytes: a custom emoji's name has at most 32 letters, an id 20 digits.
const MAX_REFERENCE: usize = 64;

/// Who may stand in a text.
pub struct Names<'a> {
    /// The bot's id.
    pub me: &'a str,
    /// The bot's role in this guild.
    pub role: Option<&'a str>,
    /// Those whom the message mentions.
    pub users: &'a [Author],
}

impl Names<'_> {
    fn is_agent(&self, reference: &str) -> bool {
        match reference.strip_prefix("@&") {
            Some(role) => self.role == Some(role),
            None => user(reference).is_some_and(|id| !id.is_empty() && id == self.me),
        }
    }

    /// What a person would read for what stands between `<` and `>`.
    fn read(&self, reference: &str) -> Option<String> {
        if let Some(id) = user(reference) {
            return self.users.iter().find(|user| user.id == id).and_then(Author::name).map(|name| format!("@{name}"));
        }
        // `:name:id` and `a:name:id` are custom emoji.
        let emoji = reference.strip_prefix('a').unwrap_or(reference).strip_prefix(':')?;
        let (name, id) = emoji.split_once(':')?;
        (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!(":{name}:"))
    }
}

fn user(reference: &str) -> Option<&str> {
    let id = reference.strip_prefix('@')?;
    let id = id.strip_prefix('!').unwrap_or(id);
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}

/// What stands before the next `>`, and what behind it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().take(MAX_REFERENCE).position(|byte| byte == b'>')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// The text without the mention that it may begin with, so that `@agent /stop` is a command.
pub fn readable(content: &str, names: &Names<'_>) -> String {
    let mut rest = content.trim();
    while let Some((name, after)) = rest.strip_prefix('<').and_then(reference) {
        if !names.is_agent(name) {
            break;
        }
        rest = after.trim_start();
    }
    let mut text = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        match reference(after).and_then(|(name, behind)| Some((names.read(name)?, behind))) {
            Some((read, behind)) => {
                text.push_str(&read);
                rest = behind;
            }
            None => {
                text.push('<');
                rest = after;
            }
        }
    }
    text + rest
}

/// Adds a paragraph.
pub fn paragraph(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> String {
        let ada: Author = serde_json::from_str(r#"{"id": "7", "username": "ada.l", "global_name": "Ada"}"#).unwrap();
        readable(content, &Names { me: "42", role: Some("43"), users: &[ada] })
    }

    #[test]
    fn the_mention_at_the_beginning_goes() {
        assert_eq!(read("<@42> hello"), "hello");
        assert_eq!(read("<@!42>  <@&43> /stop"), "/stop");
        assert_eq!(read("hello <@42>"), "hello <@42>");
        assert_eq!(read("<@7> hello"), "@Ada hello");
        assert_eq!(read("<@42>"), "");
    }

    #[test]
    fn references_are_read_as_a_person_would() {
        assert_eq!(read("ask <@!7> about <:cat:99> and <a:dog:98>"), "ask @Ada about :cat: and :dog:");
    }

    #[test]
    fn what_is_no_reference_stays() {
        for text in ["a < b > c", "<@>", "<#5>", "<@8>", "<:x:>", "<<@7", "<", "<t:1618953630:R>", "1<2"] {
            assert_eq!(read(text), text, "{text}");
        }
    }

    #[test]
    fn many_open_brackets_take_no_longer_than_few() {
        let text = "<".repeat(100_000);
        assert_eq!(read(&text), text);
    }
}
