//! What a turn looks like: events in, text out. No terminal, no clock, no connection.

use std::collections::HashMap;

use crate::store::{Delta, DoneReason, EventBody, ToolContent, TurnError, Usage};
use crate::text;

/// Characters shown of a tool's arguments, and of its answer.
const TOOL: usize = 200;
/// Characters shown of how far a tool is.
const PROGRESS: usize = 70;
/// To the line's beginning, and nothing on it (ECMA-48, 8.3.41).
const CLEAR_LINE: &str = "\r\u{1b}[K";
const DIM: &str = "\u{1b}[2m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";

/// How text may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Of what is beside the reply.
    pub(super) colours: Colours,
    /// Where the reply goes.
    pub(super) reply: Reply,
}

/// Whether colours are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// They are.
    Shown,
    /// They are not.
    Plain,
}

/// Where the model's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// To a screen, which obeys control characters: they are written out.
    Screen,
    /// To a file or a pipe: it stays as it is.
    File,
}

/// A piece of what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The model's text.
    Reply(String),
    /// What is of interest besides: thinking, tools, usage.
    Aside(String),
    /// What must be seen: errors, and why a reply ended early.
    Notice(String),
}

/// What the cursor stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// A line's end.
    Start,
    /// The reply of a step, and whether a line of it is open.
    Reply { step: u32, open: bool },
    /// The thinking of a step.
    Thinking { step: u32, open: bool },
    /// A tool's call, whose answer may follow on the line.
    Tool { id: String },
}

/// The state of one turn's display.
#[derive(Debug)]
pub(super) struct Screen {
    style: Style,
    at: At,
    /// UTF-8 bytes shown of each step's text and thinking.
    text: HashMap<u32, u64>,
    thinking: HashMap<u32, u64>,
    /// Names of tools by the ids of their calls.
    tools: HashMap<String, String>,
    usage: Vec<Usage>,
    pieces: Vec<Piece>,
}

impl Screen {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            at: At::Start,
            text: HashMap::new(),
            thinking: HashMap::new(),
            tools: HashMap::new(),
            usage: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// What an event adds to the screen.
    pub(super) fn show(&mut self, event: &EventBody) -> Vec<Piece> {
        match event {
            EventBody::Queued | EventBody::Started => {}
            EventBody::Text(delta) => self.reply(delta),
            EventBody::Thinking(delta) => self.think(delta),
            EventBody::Rewind { step } => self.rewind(*step),
            EventBody::ToolUse { id, name, input } => {
                self.leave();
                let name = text::one_line(name, TOOL);
                self.aside(format!("⚙ {name} {}", text::one_line(input.get(), TOOL)));
                self.tools.insert(id.clone(), name);
                self.at = At::Tool { id: id.clone() };
            }
            EventBody::Progress { tool_use_id, message, done, total } => {
                self.progress(tool_use_id, message, *done, *total);
            }
            EventBody::ToolResult { tool_use_id, content, is_error } => self.result(tool_use_id, content, *is_error),
            EventBody::Usage(usage) => self.usage.push(usage.clone()),
            EventBody::Done { stop_reason, text } => self.done(*stop_reason, text),
            EventBody::Error(error) => self.error(error),
        }
        std::mem::take(&mut self.pieces)
    }

    /// A word of the client's own, on a line of its own.
    pub(super) fn notice(&mut self, words: &str) -> Vec<Piece> {
        self.leave();
        self.notify(words);
        std::mem::take(&mut self.pieces)
    }

    fn reply(&mut self, delta: &Delta) {
        let new = unseen(self.text.entry(delta.step).or_default(), delta);
        if new.is_empty() {
            return;
        }
        if !matches!(self.at, At::Reply { step, .. } if step == delta.step) {
            self.leave();
        }
        let shown = self.shown_reply(&new);
        let open = match (&self.at, shown.chars().last()) {
            (_, Some(last)) => last != '\n',
            (At::Reply { open, .. }, None) => *open,
            (_, None) => false,
        };
        self.at = At::Reply { step: delta.step, open };
        self.pieces.push(Piece::Reply(shown));
    }

    fn shown_reply(&self, reply: &str) -> String {
        match self.style.reply {
            Reply::File => reply.to_owned(),
            Reply::Screen => text::escape(&reply.replace('\r', ""), &['\n', '\t']).into_owned(),
        }
    }

    fn think(&mut self, delta: &Delta) {
        let new = unseen(self.thinking.entry(delta.step).or_default(), delta);
        if new.is_empty() {
            return;
        }
        if !matches!(self.at, At::Thinking { step, .. } if step == delta.step) {
            self.leave();
        }
        self.aside(text::escape(&new.replace('\r', ""), &['\n', '\t']).into_owned());
        self.at = At::Thinking { step: delta.step, open: !new.ends_with('\n') };
    }

    /// What was shown cannot be unshown; it is said that it does not count.
    fn rewind(&mut self, step: u32) {
        let shown = [self.text.remove(&step), self.thinking.remove(&step)];
        if shown.into_iter().flatten().any(|bytes| bytes > 0) {
            self.leave();
            self.aside("↺ that was cut off; once more:\n".into());
        }
    }

    /// How far a tool is, in place of its line, if that is still the last one. Only a screen can
    /// take a line back; elsewhere the call's end is enough.
    fn progress(&mut self, id: &str, message: &str, done: u64, total: Option<u64>) {
        let on_its_line = matches!(&self.at, At::Tool { id: open } if open == id);
        if !on_its_line || self.style.colours == Colours::Plain {
            return;
        }
        let name = self.tools.get(id).map_or("", String::as_str);
        let done = total.map_or_else(|| grouped(done), |total| format!("{} of {}", grouped(done), grouped(total)));
        // So short that it is one line on every screen.
        let line = text::one_line(&format!("⚙ {name} {done} {message}"), PROGRESS);
        let line = self.coloured(DIM, &line);
        self.pieces.push(Piece::Aside(format!("{CLEAR_LINE}{line}")));
    }

    fn result(&mut self, id: &str, content: &[ToolContent], is_error: bool) {
        let on_its_line = matches!(&self.at, At::Tool { id: open } if open == id);
        if on_its_line {
            self.at = At::Start;
        } else {
            self.leave();
            let name = self.tools.get(id).cloned().unwrap_or_else(|| text::one_line(id, TOOL));
            self.aside(format!("⚙ {name}"));
        }
        let content: Vec<String> = content.iter().map(shown_content).collect();
        let content = text::one_line(&content.join(" "), TOOL);
        if is_error {
            let line = self.coloured(RED, &format!(" ✗ {content}\n"));
            self.pieces.push(Piece::Aside(line));
        } else {
            self.aside(format!(" → {content}\n"));
        }
    }

    fn done(&mut self, reason: DoneReason, whole: &str) {
        // Nothing of it was streamed, or the stream was missed.
        if self.text.values().all(|&bytes| bytes == 0) && !whole.is_empty() {
            self.reply(&Delta { delta: whole.to_owned(), step: u32::MAX, offset: 0 });
        }
        self.leave();
        match reason {
            DoneReason::EndTurn => {}
            DoneReason::MaxTokens => self.notify("the answer reached max_tokens and ends here"),
            DoneReason::Refusal => self.notify("the model declined to answer"),
            DoneReason::Steps => self.notify("the agent's limit on steps or repeats ended the turn"),
            DoneReason::Budget => self.notify("a budget is used up and ended the turn"),
            DoneReason::Aborted => self.notify("stopped"),
        }
        self.tally();
    }

    fn error(&mut self, error: &TurnError) {
        self.leave();
        let message = text::escape(&error.message, &['\n']).into_owned();
        let retry = if error.retryable { " Trying again may help." } else { "" };
        let line = self.coloured(RED, &format!("error: {message} (code {}){retry}", error.code));
        self.pieces.push(Piece::Notice(format!("{line}\n")));
        self.tally();
    }

    fn tally(&mut self) {
        if self.usage.is_empty() {
            return;
        }
        let sum = |count: fn(&Usage) -> u64| self.usage.iter().map(count).fold(0, u64::saturating_add);
        let cached = sum(|usage| usage.tokens.cache_read_tokens);
        let input = sum(|usage| usage.tokens.input_tokens)
            .saturating_add(sum(|usage| usage.tokens.cache_write_tokens))
            .saturating_add(cached);
        let about = if self.usage.iter().any(|usage| usage.estimated) { "about " } else { "" };
        let mut line = format!("{about}{} tokens in", grouped(input));
        if cached > 0 {
            line.push_str(&format!(" ({} cached)", grouped(cached)));
        }
        line.push_str(&format!(", {} out", grouped(sum(|usage| usage.tokens.output_tokens))));
        // One unknown price makes the sum unknown.
        if let Some(costs) = self.usage.iter().map(|usage| usage.cost_usd).collect::<Option<Vec<_>>>() {
            line.push_str(&format!(", ${:.4}", costs.iter().sum::<f64>()));
        }
        self.aside(format!("{line}\n"));
    }

    /// Ends the line that is open, if one is.
    fn leave(&mut self) {
        match std::mem::replace(&mut self.at, At::Start) {
            At::Reply { open: true, .. } => self.pieces.push(Piece::Reply("\n".into())),
            At::Thinking { open: true, .. } | At::Tool { .. } => self.pieces.push(Piece::Aside("\n".into())),
            At::Start | At::Reply { .. } | At::Thinking { .. } => {}
        }
    }

    fn aside(&mut self, words: String) {
        let words = self.coloured(DIM, &words);
        self.pieces.push(Piece::Aside(words));
    }

    fn notify(&mut self, words: &str) {
        let words = self.coloured(DIM, &format!("[{}]", text::escape(words, &[])));
        self.pieces.push(Piece::Notice(format!("{words}\n")));
    }

    fn coloured(&self, colour: &str, words: &str) -> String {
        match self.style.colours {
            Colours::Shown => format!("{colour}{words}{PLAIN}"),
            Colours::Plain => words.to_owned(),
        }
    }
}

/// What a delta adds to the bytes that were seen. A replay may repeat some of them, or begin
/// behind them.
fn unseen(seen: &mut u64, delta: &Delta) -> String {
    let end = delta.offset.saturating_add(delta.delta.len() as u64);
    if delta.delta.is_empty() || end <= *seen {
        return String::new();
    }
    let missed = delta.offset > *seen;
    let skip = usize::try_from(seen.saturating_sub(delta.offset)).unwrap_or(usize::MAX);
    *seen = end;
    // Offsets come from a stranger: one inside a character counts as behind it.
    let skip = (skip..=delta.delta.len()).find(|&at| delta.delta.is_char_boundary(at)).unwrap_or(delta.delta.len());
    let new = &delta.delta[skip..];
    if missed { format!("[…]{new}") } else { new.to_owned() }
}

fn shown_content(content: &ToolContent) -> String {
    match content {
        ToolContent::Text { text } => text.clone(),
        ToolContent::Json { json } => json.clone(),
        ToolContent::Media { mime_type, .. } => format!("[{mime_type}]"),
        ToolContent::File(file) => format!("[file {}, {} bytes]", file.name, grouped(file.size)),
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests;
