//! Texts: without the formatting of clients on the way in, as lines that fit on the way out.

/// The longest line, CR and LF included (RFC 1459, section 2.3).
const LINE: usize = 512;
/// What a server puts before a line when it passes it on, at most: `:nick!user@host `, with 32
/// bytes for a nick (no large network allows more than 31), 11 for `~user` and 63 for a host.
const SOURCE: usize = 1 + 32 + 1 + 11 + 1 + 63 + 1;
/// Shorter pieces than this make no readable text; a target that leaves no more is none.
const SHORTEST: usize = 64;

/// The text without bold, colours and the like (modern.ircdocs.horse, "Formatting").
pub fn unformatted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = rest.get(char.len_utf8()..).unwrap_or_default();
        match char {
            // A colour, and one for the background: at most two digits each.
            '\x03' => {
                rest = digits(rest, 2, |char| char.is_ascii_digit());
                if let Some(after) =
                    rest.strip_prefix(',').filter(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
                {
                    rest = digits(after, 2, |char| char.is_ascii_digit());
                }
            }
            '\x04' => rest = digits(rest, 6, |char| char.is_ascii_hexdigit()),
            '\t' => plain.push(' '),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

fn digits(text: &str, most: usize, is_digit: impl Fn(char) -> bool) -> &str {
    let end = text.chars().take(most).take_while(|char| is_digit(*char)).count();
    text.get(end..).unwrap_or_default()
}

/// The text as the lines of messages to `target`, each no longer than what arrives whole. None
/// where the target's name leaves no room.
pub fn lines(text: &str, target: &str) -> Option<Vec<String>> {
    let room = LINE.checked_sub("\r\n".len() + SOURCE + "PRIVMSG  :".len() + target.len())?;
    if room < SHORTEST {
        return None;
    }
    let mut lines = vec![];
    for line in text.split(['\n', '\r']) {
        let line: String =
            line.chars().map(|char| if char == '\t' { ' ' } else { char }).filter(|char| !char.is_control()).collect();
        let mut rest = line.trim_end();
        while rest.len() > room {
            let (head, tail) = rest.split_at(cut(rest, room));
            lines.push(head.trim_end().to_owned());
            rest = tail.trim_start();
        }
        if !rest.is_empty() {
            lines.push(rest.to_owned());
        }
    }
    lines.retain(|line| !line.is_empty());
    Some(lines)
}

/// Where to cut a text that is longer than `room`: behind its last word that fits, or else behind
/// its last character that does.
fn cut(text: &str, room: usize) -> usize {
    let whole = text.floor_char_boundary(room);
    let space = text.get(..whole).and_then(|head| head.rfind(' '));
    space.filter(|space| *space > whole / 2).map_or(whole, |space| space + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_goes_and_text_stays() {
        assert_eq!(
            unformatted("\x02bold\x02 \x0304,12red\x03 \x034x \x03,no \x04ff0000hex\x0f a\tb"),
            "bold red x ,no hex a b"
        );
        assert_eq!(unformatted("\x03"), "");
        assert_eq!(unformatted("\x031234 ü"), "34 ü");
    }

    #[test]
    fn a_long_text_becomes_lines_that_arrive_whole() {
        let text = format!("{}\n\n{}\r\n{}", "one two ".repeat(100), "ü".repeat(1_000), "x".repeat(1_000));
        let lines = lines(&text, "#lab").unwrap();
        let longest = |line: &String| format!(":{} PRIVMSG #lab :{line}\r\n", "n".repeat(SOURCE - 2)).len();
        assert!(lines.iter().all(|line| longest(line) <= LINE), "{:?}", lines.iter().map(longest).max());
        assert_eq!(lines.concat().matches('ü').count(), 1_000);
        assert_eq!(lines.concat().matches('x').count(), 1_000);
        assert_eq!(lines.join(" ").matches("one").count(), 100);
        // Words stay whole.
        assert!(
            lines
                .iter()
                .filter(|line| line.contains("one"))
                .all(|line| line.starts_with("one") || line.starts_with("two"))
        );
    }

    #[test]
    fn no_text_makes_a_command() {
        let lines = lines("hi\r\nQUIT :bye\0\x01VERSION\x01\u{85}", "ada").unwrap();
        assert_eq!(lines, ["hi", "QUIT :byeVERSION"]);
        assert_eq!(super::lines("", "ada"), Some(vec![]));
        assert_eq!(super::lines("hi", &"a".repeat(400)), None);
    }
}
