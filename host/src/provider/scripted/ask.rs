//! What a user's text asks the scripted model for.

use serde_json::{Value, json};

/// A thing that a tool can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skill {
    Clock,
    Echo,
    Calculator,
}

/// One wish, as the arguments of its tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) skill: Skill,
    pub(super) input: Value,
}

impl Skill {
    /// The bundled tool's name, and what the name of another one contains.
    fn names(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Clock => ("current_time", &["time", "clock"]),
            Self::Echo => ("echo", &["echo"]),
            Self::Calculator => ("calculate", &["calc"]),
        }
    }

    /// The tool for it among those that were offered.
    pub(super) fn tool(self, tools: &[String]) -> Option<&str> {
        let (name, parts) = self.names();
        let exact = tools.iter().find(|tool| *tool == name);
        let like = || tools.iter().find(|tool| parts.iter().any(|part| tool.to_ascii_lowercase().contains(part)));
        exact.or_else(like).map(String::as_str)
    }
}

/// Cities that it knows, and their time zones.
const CITIES: [(&str, &str); 22] = [
    ("tokyo", "Asia/Tokyo"),
    ("london", "Europe/London"),
    ("paris", "Europe/Paris"),
    ("berlin", "Europe/Berlin"),
    ("madrid", "Europe/Madrid"),
    ("rome", "Europe/Rome"),
    ("vienna", "Europe/Vienna"),
    ("zurich", "Europe/Zurich"),
    ("istanbul", "Europe/Istanbul"),
    ("moscow", "Europe/Moscow"),
    ("cairo", "Africa/Cairo"),
    ("lagos", "Africa/Lagos"),
    ("dubai", "Asia/Dubai"),
    ("delhi", "Asia/Kolkata"),
    ("singapore", "Asia/Singapore"),
    ("shanghai", "Asia/Shanghai"),
    ("sydney", "Australia/Sydney"),
    ("new york", "America/New_York"),
    ("chicago", "America/Chicago"),
    ("los angeles", "America/Los_Angeles"),
    ("san francisco", "America/Los_Angeles"),
    ("sao paulo", "America/Sao_Paulo"),
];

/// Where an echo ends that is not in quotes.
const ECHO_ENDS: [&str; 6] = ["\n", "; ", ", and ", " and what", " and tell", " and then "];

/// All that a text asks for, in the order of the skills.
pub(super) fn asks(text: &str) -> Vec<Ask> {
    let (echo, rest) = echo(text);
    let zones = zones(&rest).into_iter().map(|zone| Ask { skill: Skill::Clock, input: zone });
    let echo = echo.map(|text| Ask { skill: Skill::Echo, input: json!({ "text": text }) });
    let sums = sums(&rest).into_iter().map(|sum| Ask { skill: Skill::Calculator, input: json!({ "expression": sum }) });
    zones.chain(echo).chain(sums).collect()
}

/// The text behind the word `echo`, and everything else.
fn echo(text: &str) -> (Option<String>, String) {
    let is_word = |c: char| c.is_alphanumeric();
    let found = text.char_indices().map(|(at, _)| at).find(|&at| {
        text.get(at..at + 4).is_some_and(|word| word.eq_ignore_ascii_case("echo"))
            && !text[..at].ends_with(is_word)
            && !text[at + 4..].starts_with(is_word)
    });
    let Some(at) = found else { return (None, text.to_owned()) };
    let wish = text[at + 4..].trim_start_matches([':', ' ']);
    let quoted = |open: char, close: char| wish.strip_prefix(open).and_then(|inner| inner.split_once(close));
    let (said, rest) = [('"', '"'), ('“', '”'), ('`', '`'), ('\'', '\'')]
        .into_iter()
        .find_map(|(open, close)| quoted(open, close))
        .unwrap_or_else(|| {
            let end = ECHO_ENDS.iter().filter_map(|end| wish.find(end)).min().unwrap_or(wish.len());
            wish.split_at(end)
        });
    let said = said.trim();
    ((!said.is_empty()).then(|| said.to_owned()), format!("{}\n{rest}", &text[..at]))
}

/// The zones whose time is asked for, as arguments; UTC by default.
fn zones(text: &str) -> Vec<Value> {
    let plain = text.to_lowercase();
    let mut words = plain.split(|c: char| !c.is_alphanumeric());
    if !words.any(|word| matches!(word, "time" | "clock" | "date")) {
        return Vec::new();
    }
    let separators = |c: char| c.is_whitespace() || matches!(c, ',' | '?' | '!' | ';' | '(' | ')' | '"' | '.');
    let named = text.split(separators).filter(|word| {
        let mut parts = word.split('/');
        let part = |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase()) && part.len() > 1;
        parts.clone().count() > 1 && parts.all(part)
    });
    let known = CITIES.iter().filter(|(city, _)| plain.contains(city)).map(|(_, zone)| *zone);
    let mut zones: Vec<&str> = Vec::new();
    for zone in named.chain(known) {
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    if zones.is_empty() {
        return vec![json!({})];
    }
    zones.into_iter().map(|zone| json!({ "timezone": zone })).collect()
}

/// A piece of arithmetic.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(String),
    Operator(char),
    Open,
    Close,
    Percent,
    Of,
    Other,
}

/// The expressions in a text: what stands between other words and has two numbers to compute
/// with.
fn sums(text: &str) -> Vec<String> {
    tokens(text).split(|token| *token == Token::Other).filter_map(expression).collect()
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let number = rest.char_indices().find(|&(at, c)| {
            let decimal_point = c == '.' && rest[at + 1..].starts_with(|next: char| next.is_ascii_digit());
            !(c.is_ascii_digit() || at > 0 && decimal_point)
        });
        let word = rest.find(|c: char| !c.is_alphanumeric());
        let (token, length) = match first {
            '0'..='9' => {
                let length = number.map_or(rest.len(), |(at, _)| at);
                (Token::Number(rest[..length].to_owned()), length)
            }
            '+' | '-' | '*' | '/' => (Token::Operator(first), 1),
            '×' => (Token::Operator('*'), first.len_utf8()),
            '÷' => (Token::Operator('/'), first.len_utf8()),
            '−' => (Token::Operator('-'), first.len_utf8()),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '%' => (Token::Percent, 1),
            c if c.is_alphanumeric() => {
                let length = word.unwrap_or(rest.len());
                let token = match &*rest[..length].to_lowercase() {
                    "plus" => Token::Operator('+'),
                    "minus" => Token::Operator('-'),
                    "times" => Token::Operator('*'),
                    "over" => Token::Operator('/'),
                    "percent" => Token::Percent,
                    "of" => Token::Of,
                    _ => Token::Other,
                };
                (token, length)
            }
            other => (Token::Other, other.len_utf8()),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

fn expression(tokens: &[Token]) -> Option<String> {
    // An operator at an end belongs to the text: a dash, a bullet.
    let end = tokens.iter().rposition(|token| matches!(token, Token::Number(_) | Token::Close | Token::Percent))?;
    let start =
        tokens.iter().position(|token| matches!(token, Token::Number(_) | Token::Open | Token::Operator('-')))?;
    let tokens = tokens.get(start..=end)?;
    let numbers = tokens.iter().filter(|token| matches!(token, Token::Number(_))).count();
    let mut depth = 0_usize;
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let ended = matches!(tokens[..at].last(), Some(Token::Number(_) | Token::Close | Token::Percent));
        match token {
            Token::Number(_) | Token::Open if ended => return None,
            Token::Number(number) => text.push_str(number),
            Token::Operator(operator) if text.is_empty() => text.push(*operator),
            Token::Operator(operator) => text.extend([' ', *operator, ' ']),
            Token::Open => {
                depth += 1;
                text.push('(');
            }
            Token::Close => {
                depth = depth.checked_sub(1)?;
                text.push(')');
            }
            Token::Percent => text.push_str(" / 100"),
            Token::Of if tokens[..at].last() == Some(&Token::Percent) => text.push_str(" * "),
            Token::Of | Token::Other => return None,
        }
    }
    let computes = text.contains(['+', '*', '/']) || text.trim_start_matches('-').contains('-');
    (depth == 0 && numbers > 1 && computes).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(text: &str) -> Vec<String> {
        asks(text).into_iter().map(|ask| ask.input.to_string()).collect()
    }

    #[test]
    fn the_time_is_asked_for_in_the_places_that_are_named() {
        assert_eq!(inputs("What time is it?"), ["{}"]);
        assert_eq!(
            inputs("What's the time in Tokyo and New York?"),
            [r#"{"timezone":"Asia/Tokyo"}"#, r#"{"timezone":"America/New_York"}"#]
        );
        assert_eq!(inputs("time in Europe/Madrid, please"), [r#"{"timezone":"Europe/Madrid"}"#]);
        assert_eq!(inputs("Sometimes and/or never"), [""; 0]);
    }

    #[test]
    fn expressions_are_found_between_words() {
        let expression = |text: &str| format!(r#"{{"expression":"{text}"}}"#);
        for (text, found) in [
            ("what is 2.5 * (3 + 4)?", "2.5 * (3 + 4)"),
            ("What is 2.5*(3+4).", "2.5 * (3 + 4)"),
            ("compute -3 × 4, thanks", "-3 * 4"),
            ("12 percent of 80", "12 / 100 * 80"),
            ("12% of 80?", "12 / 100 * 80"),
            ("3 plus 4 minus 1", "3 + 4 - 1"),
        ] {
            assert_eq!(inputs(text), [expression(found)], "{text}");
        }
        assert_eq!(inputs("1+1 or 2+2"), [expression("1 + 1"), expression("2 + 2")]);
        for none in
            ["it is 5 o'clockish - maybe", "I have 3 cats", "(", "1 + 2))", "10 20 + 5", "- 5", "2 of 3", "İ+ı", "%"]
        {
            assert_eq!(inputs(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn an_echo_is_what_stands_behind_the_word_and_is_not_read_again() {
        let echo = |text: &str| json!({ "text": text }).to_string();
        assert_eq!(inputs("Echo: İstanbul 2+2"), [echo("İstanbul 2+2")]);
        assert_eq!(
            inputs("please echo \"what time\" and 1+1"),
            [echo("what time"), r#"{"expression":"1 + 1"}"#.into()]
        );
        assert_eq!(inputs("echo hi and what time is it"), ["{}".to_owned(), echo("hi")]);
        assert_eq!(inputs("echoes"), [""; 0]);
        assert_eq!(inputs("echo"), [""; 0]);
    }

    #[test]
    fn tools_are_chosen_by_their_names_and_only_if_offered() {
        let tools = ["my_clock", "current_time", "calc2"].map(str::to_owned);
        assert_eq!(Skill::Clock.tool(&tools), Some("current_time"));
        assert_eq!(Skill::Clock.tool(&tools[..1]), Some("my_clock"));
        assert_eq!(Skill::Calculator.tool(&tools), Some("calc2"));
        assert_eq!(Skill::Echo.tool(&tools), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_asked(text in "([a-z ]|echo|time|[0-9.+*/()%-]|İ|\\PC){0,40}") {
            asks(&text);
        }
    }
}
