//! A line of the protocol (RFC 1459, section 2.3.1), with the message tags of IRCv3.

use std::borrow::Cow;

/// `@tags :source COMMAND param param :last param`
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    tags: &'a str,
    /// Who sent it: a server's name, or `nick!user@host`.
    pub source: &'a str,
    pub command: &'a str,
    params: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// None where there is no command.
    pub fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (tags, line) = prefixed(line, '@');
        let (source, line) = prefixed(line, ':');
        let (command, mut rest) = word(line);
        let mut params = vec![];
        while !rest.is_empty() {
            if let Some(last) = rest.strip_prefix(':') {
                params.push(last);
                break;
            }
            let (param, after) = word(rest);
            params.push(param);
            rest = after;
        }
        (!command.is_empty()).then_some(Self { tags, source, command, params })
    }

    /// The parameter at `index`, from 0; empty where there are not so many.
    pub fn param(&self, index: usize) -> &'a str {
        self.params.get(index).copied().unwrap_or_default()
    }

    /// The last one, which is where texts stand.
    pub fn last(&self) -> &'a str {
        self.params.last().copied().unwrap_or_default()
    }

    /// The value of a tag, empty where it has none.
    pub fn tag(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut tags = self.tags.split(';').map(|tag| tag.split_once('=').unwrap_or((tag, "")));
        tags.find(|(key, _)| *key == name).map(|(_, value)| unescaped(value))
    }

    /// The sender's nick: all of the source where it is a server.
    pub fn nick(&self) -> &'a str {
        self.source.split_once('!').map_or(self.source, |(nick, _)| nick)
    }
}

/// What stands behind a mark at the beginning, and the rest.
fn prefixed(line: &str, mark: char) -> (&str, &str) {
    line.strip_prefix(mark).map_or(("", line), word)
}

/// The first word, and what stands behind the spaces after it.
fn word(line: &str) -> (&str, &str) {
    line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim_start_matches(' ')))
}

/// A tag's value as it was meant (IRCv3, message tags, "Escaping values").
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(':') => text.push(';'),
                Some('s') => text.push(' '),
                Some('r') => text.push('\r'),
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

/// A name without its case, as servers compare nicks and channels (RFC 1459, section 2.2: `{}|^`
/// are the lower case of `[]\~`).
pub fn folded(name: &str) -> String {
    let fold = |char| match char {
        '[' => '{',
        ']' => '}',
        '\\' => '|',
        '~' => '^',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

/// Whether a target is a channel (RFC 2812, section 1.3).
pub fn is_channel(target: &str) -> bool {
    target.starts_with(['#', '&', '+', '!'])
}

/// Whether it can be one parameter among others: not empty, no list, nothing that ends it.
pub fn is_param(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(':') && !text.chars().any(|char| char.is_control() || " ,".contains(char))
}

/// Milliseconds since the Unix epoch, of the tag `time`: `2026-03-14T14:09:26.123Z` (IRCv3, server-time).
pub fn time(text: &str) -> Option<u64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let valid = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 || date.next().is_some() || clock.next().is_some() {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days since 0000-03-01, with leap days at the years' ends, less those until 1970.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_the_protocol_has_it() {
        let text = "@time=2026-03-14T14:09:26.123Z;account=ada;+x=a\\:b\\sc\\ :ada!~a@host.example PRIVMSG #lab  :exo: hi :)\r\n";
        let line = Line::parse(text).unwrap();
        assert_eq!((line.source, line.nick(), line.command), ("ada!~a@host.example", "ada", "PRIVMSG"));
        assert_eq!(
            (line.param(0), line.param(1), line.last(), line.param(2)),
            ("#lab", "exo: hi :)", "exo: hi :)", "")
        );
        assert_eq!(line.tag("account").as_deref(), Some("ada"));
        assert_eq!(line.tag("+x").as_deref(), Some("a;b c"));
        assert_eq!(line.tag("bot"), None);
        assert_eq!(Line::parse("PING :a b").unwrap().last(), "a b");
        assert_eq!(Line::parse(":irc.example 001 exo").unwrap().nick(), "irc.example");
        assert_eq!(Line::parse("@a=b :only.a.source"), None);
        assert_eq!(Line::parse(""), None);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(time("2026-03-14T14:09:26.5Z"), Some(1_773_497_366_500));
        assert_eq!(time("2024-02-29T23:59:60Z"), Some(1_709_251_200_000));
        for wrong in ["", "Z", "T", "2026-03-14", "2026-13-01T00:00:00Z", "1969-12-31T00:00:00Z", "2026-03-14T14:09Z"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_compared_without_their_case() {
        assert_eq!(folded("Ada[m]~"), folded("aDA{M}^"));
        assert!(is_param("#lab") && is_param("ada"));
        for no in ["", "a b", "a,b", ":a", "a\r\nQUIT", "\0"] {
            assert!(!is_param(no), "{no:?}");
        }
    }
}
