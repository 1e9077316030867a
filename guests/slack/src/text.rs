//! Slack's inline references made readable ("Formatting message text").

/// The text of a message without the mention that it may begin with, so that `@agent /stop` is a command.
pub fn readable(text: &str, me: Option<&str>) -> String {
    let mut rest = text.trim();
    while let Some((inner, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        if !is_mention(inner, me) {
            break;
        }
        rest = after.trim_start();
    }
    let mut readable = String::with_capacity(rest.len());
    let mut pieces = rest.split('<');
    unescape(pieces.next().unwrap_or_default(), &mut readable);
    for piece in pieces {
        match piece.split_once('>') {
            Some((inner, after)) => {
                reference(inner, &mut readable);
                unescape(after, &mut readable);
            }
            // Slack escapes what is no reference; so this is nothing of Slack's.
            None => {
                readable.push('<');
                unescape(piece, &mut readable);
            }
        }
    }
    readable
}

/// Whether the text mentions the user.
pub fn mentions(text: &str, me: Option<&str>) -> bool {
    text.split('<').skip(1).any(|piece| piece.split_once('>').is_some_and(|(inner, _)| is_mention(inner, me)))
}

fn is_mention(inner: &str, me: Option<&str>) -> bool {
    let user = inner.strip_prefix('@').and_then(|user| user.split('|').next());
    user.is_some() && user == me
}

/// What stands between `<` and `>`: a user, a channel, a group or a date, and otherwise a link.
fn reference(inner: &str, out: &mut String) {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (inner, None),
    };
    let mut sign = |sign: char, name: &str| {
        out.push(sign);
        unescape(label.unwrap_or(name).trim_start_matches(sign), out);
    };
    if let Some(user) = target.strip_prefix('@') {
        return sign('@', user);
    }
    if let Some(channel) = target.strip_prefix('#') {
        return sign('#', channel);
    }
    if let Some(special) = target.strip_prefix('!') {
        return match (special.split_once('^'), label) {
            // A date: the label says it for those who can't show it.
            (Some(("date", _)), Some(label)) => unescape(label, out),
            (Some((_, id)), _) => sign('@', id),
            // `here`, `channel`, `everyone`.
            (None, _) => sign('@', special),
        };
    }
    let address = target.strip_prefix("mailto:").unwrap_or(target);
    match label.filter(|label| *label != address && !same_page(label, address)) {
        Some(label) => {
            unescape(label, out);
            out.push_str(" (");
            unescape(address, out);
            out.push(')');
        }
        None => unescape(address, out),
    }
}

/// Slack finds `example.com` in a text and makes of it a link to `http://example.com`.
fn same_page(label: &str, address: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| address.strip_prefix(scheme) == Some(label))
}

/// Three characters are escaped, and no others.
fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let known = [("amp;", '&'), ("lt;", '<'), ("gt;", '>')];
        let entity = known.iter().find_map(|(name, character)| Some((*character, after.strip_prefix(name)?)));
        let (character, behind) = entity.unwrap_or(('&', after));
        out.push(character);
        rest = behind;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        readable(text, Some("U0AGENT"))
    }

    #[test]
    fn the_mention_at_the_beginning_goes() {
        assert_eq!(read("<@U0AGENT> /stop"), "/stop");
        assert_eq!(read(" <@U0AGENT|agent>  <@U0AGENT> hi"), "hi");
        assert_eq!(read("<@U7> hi"), "@U7 hi");
        assert_eq!(readable("<@U0AGENT> hi", None), "@U0AGENT hi");
    }

    #[test]
    fn references_are_read_as_a_person_would() {
        for (text, expected) in [
            ("ask <@U7|ada> in <#C1|general>", "ask @ada in #general"),
            ("in <#C1|> or <#C1>", "in #C1 or #C1"),
            ("<!here> and <!channel|@channel>", "@here and @channel"),
            ("<!subteam^S1|@admins> or <!subteam^S1>", "@admins or @S1"),
            ("at <!date^1392734382^{date}|Feb 18, 2014>", "at Feb 18, 2014"),
            ("see <https://example.com/a?b=1&amp;c=2>", "see https://example.com/a?b=1&c=2"),
            ("see <https://example.com|the &lt;page&gt;>", "see the <page> (https://example.com)"),
            ("see <http://example.com|example.com>", "see http://example.com"),
            ("write to <mailto:ada@example.com|ada@example.com>", "write to ada@example.com"),
        ] {
            assert_eq!(read(text), expected);
        }
    }

    #[test]
    fn an_escape_is_undone_once() {
        assert_eq!(read("1 &lt; 2 &amp;&amp; 3 &gt; 2, &amp;lt; and &nbsp;"), "1 < 2 && 3 > 2, &lt; and &nbsp;");
    }

    #[test]
    fn what_nobody_closes_stays() {
        assert_eq!(read("a < b"), "a < b");
        assert_eq!(read("<"), "<");
        assert_eq!(read("<@U0AGENT"), "<@U0AGENT");
        let many = "<".repeat(100_000);
        assert_eq!(read(&many), many);
    }

    #[test]
    fn a_mention_anywhere_counts() {
        assert!(mentions("hello <@U0AGENT>!", Some("U0AGENT")));
        assert!(!mentions("hello <@U0AGENTX> <@U7|U0AGENT>", Some("U0AGENT")));
        assert!(!mentions("hello <@>", None));
    }
}
