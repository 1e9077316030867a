//! The Bot API's HTML, as <https://core.telegram.org/bots/api#html-style> has it and TDLib parses it.

/// Tags without attributes.
const PLAIN: &[&str] =
    &["b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "tg-spoiler", "code", "pre", "blockquote"];

/// What a reader sees, or why Telegram refuses.
pub(super) fn plain(html: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut rest = html;
    let refuse = |why: String| Err(format!("Bad Request: can't parse entities: {why}"));
    while let Some(start) = rest.find(['<', '>', '&']) {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let offset = html.len() - rest.len();
        if let Some(entity) = rest.strip_prefix('&') {
            let Some((name, after)) = entity.split_once(';') else {
                return refuse(format!("an `&` stands for itself at byte offset {offset}"));
            };
            match entity_of(name) {
                Some(char) => text.push(char),
                None => return refuse(format!("unknown entity `&{name};` at byte offset {offset}")),
            }
            rest = after;
            continue;
        }
        let Some(tag) = rest.strip_prefix('<') else {
            return refuse(format!("a `>` stands for itself at byte offset {offset}"));
        };
        let Some((tag, after)) = tag.split_once('>') else {
            return refuse(format!("Unclosed start tag at byte offset {offset}"));
        };
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            match open.pop() {
                None => return refuse(format!("Unexpected end tag at byte offset {offset}")),
                Some((opened, _)) if opened != name => {
                    return refuse(format!(
                        "Unmatched end tag at byte offset {offset}, expected \"</{opened}>\", found \"</{name}>\""
                    ));
                }
                Some(_) => {}
            }
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let known = match (name, attributes) {
            (name, "") => PLAIN.contains(&name),
            ("blockquote", "expandable") => true,
            ("a", _) => value(attributes, "href").is_some_and(|href| !href.is_empty()),
            ("code", _) => {
                let language = value(attributes, "class").and_then(|class| class.strip_prefix("language-"));
                let in_pre = open.last().is_some_and(|(outer, _)| *outer == "pre");
                in_pre && language.is_some_and(|language| !language.is_empty())
            }
            ("span", _) => value(attributes, "class") == Some("tg-spoiler"),
            ("tg-emoji", _) => value(attributes, "emoji-id").is_some(),
            _ => false,
        };
        if !known {
            return refuse(format!("Unsupported start tag \"{tag}\" at byte offset {offset}"));
        }
        // "Entities must not be nested in pre and code."
        let in_code = open.iter().any(|(outer, _)| matches!(*outer, "code" | "pre"));
        if in_code && !(name == "code" && open.last().is_some_and(|(outer, _)| *outer == "pre")) {
            return refuse(format!("\"{name}\" within code at byte offset {offset}"));
        }
        if name == "blockquote" && open.iter().any(|(outer, _)| *outer == "blockquote") {
            return refuse(format!("a quotation within another at byte offset {offset}"));
        }
        open.push((name, offset));
    }
    text.push_str(rest);
    match open.pop() {
        None => Ok(text),
        Some((tag, _)) => refuse(format!("Can't find end tag corresponding to start tag \"{tag}\"")),
    }
}

fn value<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let value = attributes.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"')?;
    (!value.contains('"')).then_some(value)
}

fn entity_of(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)
        }
    }
}
