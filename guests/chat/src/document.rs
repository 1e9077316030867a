//! CommonMark as a flat list of runs: text, and the marks that it is in.
//!
//! A tree could not be cut into messages without cutting its branches; a list of runs can be cut
//! anywhere, and each half is opened and closed by whoever writes it.

use std::rc::Rc;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::dialect::{Dialect, Mark};
use crate::table::Table;

/// Levels of lists that are indented; deeper ones stand as deep as the last.
const MAX_INDENT: usize = 6;
/// The longest address that is a link; a longer one is text, which can be split.
const MAX_URL: usize = 512;
/// The longest name of a language.
const MAX_LANGUAGE: usize = 32;

/// Text in one and the same marks.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub text: String,
    pub marks: Rc<[Mark]>,
    /// It is a list's marker, not what someone wrote.
    pub marker: bool,
}

/// What stands between what was written and what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Line,
    Paragraph,
}

struct Builder<'d, D> {
    dialect: &'d D,
    runs: Vec<Run>,
    /// Those of the next text.
    marks: Vec<Mark>,
    /// What ended marks are taken from: one entry a tag, whether or not it made a mark.
    tags: Vec<bool>,
    lists: Vec<List>,
    gap: Gap,
    table: Option<Table>,
    /// Where links lead whose text is being written, and where that begins: in which run, at which byte.
    links: Vec<(Rc<str>, (usize, usize))>,
}

struct List {
    /// Of the next item, where they are numbered.
    number: Option<u64>,
    begun: bool,
}

/// Reads CommonMark, with tables, task lists and strikethrough.
pub(crate) fn parse(markdown: &str, dialect: &impl Dialect) -> Vec<Run> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut builder = Builder {
        dialect,
        runs: Vec::new(),
        marks: Vec::new(),
        tags: Vec::new(),
        lists: Vec::new(),
        gap: Gap::None,
        table: None,
        links: Vec::new(),
    };
    for event in Parser::new_ext(markdown, options) {
        builder.event(event);
    }
    find_addresses(builder.runs)
}

impl<D: Dialect> Builder<'_, D> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            // HTML is what the model wrote, and stands for itself.
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(text) => self.within(Mark::Code, |builder| builder.text(&text)),
            // People's eyes want the lines that the model wrote.
            Event::SoftBreak | Event::HardBreak => match &mut self.table {
                Some(table) => table.text(" "),
                None => self.gap = self.gap.max(Gap::Line),
            },
            Event::Rule => {
                self.begin_block();
                self.text("———");
                self.gap = Gap::Paragraph;
            }
            Event::TaskListMarker(done) => self.task(done),
            // Not asked of the parser.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        let mark = match tag {
            Tag::Strong if self.marks.iter().any(|mark| matches!(mark, Mark::Heading(_))) => None,
            Tag::Strong => Some(Mark::Strong),
            Tag::Emphasis => Some(Mark::Emphasis),
            Tag::Strikethrough => Some(Mark::Strike),
            Tag::Heading { level, .. } => {
                self.begin_block();
                Some(Mark::Heading(rank(level)))
            }
            Tag::BlockQuote(_) => {
                self.begin_block();
                Some(Mark::Quote)
            }
            Tag::CodeBlock(kind) => return self.start_code(kind),
            Tag::List(first) => {
                self.gap = self.gap.max(Gap::Line);
                self.lists.push(List { number: first, begun: false });
                None
            }
            Tag::Item => {
                self.item();
                None
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => return self.start_link(&dest_url),
            Tag::Table(_) => {
                self.end_line();
                self.table = Some(Table::default());
                None
            }
            Tag::TableCell => {
                if let Some(table) = &mut self.table {
                    table.cell();
                }
                None
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.row();
                }
                None
            }
            _ => None,
        };
        self.open(mark);
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            // The last line's end is the block's, not the text's.
            TagEnd::CodeBlock | TagEnd::HtmlBlock => {
                if let Some(last) = self.runs.last_mut()
                    && last.text.ends_with('\n')
                {
                    last.text.pop();
                }
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    let text = table.to_string();
                    self.within(Mark::Pre { language: None }, |builder| builder.text(&text));
                }
            }
            _ => {}
        }
        if self.tags.pop() == Some(true) {
            self.marks.pop();
        }
        match tag {
            TagEnd::List(_) if !self.lists.is_empty() => self.gap = self.gap.max(Gap::Line),
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::BlockQuote(_)
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::List(_)
            | TagEnd::Table => self.gap = Gap::Paragraph,
            _ => {}
        }
    }

    /// A mark within one like it adds nothing, and one deeper than any reader can tell is left out:
    /// so there are never more marks than kinds of them.
    fn open(&mut self, mark: Option<Mark>) {
        let new = mark.filter(|mark| {
            let kind = std::mem::discriminant(mark);
            !self.marks.iter().any(|open| std::mem::discriminant(open) == kind)
        });
        self.tags.push(new.is_some());
        self.marks.extend(new);
    }

    fn within(&mut self, mark: Mark, write: impl FnOnce(&mut Self)) {
        self.open(Some(mark));
        write(self);
        if self.tags.pop() == Some(true) {
            self.marks.pop();
        }
    }

    fn start_code(&mut self, kind: CodeBlockKind<'_>) {
        self.end_line();
        let language = match &kind {
            CodeBlockKind::Fenced(info) => language(info),
            CodeBlockKind::Indented => None,
        };
        self.open(Some(Mark::Pre { language }));
    }

    fn start_link(&mut self, url: &CowStr<'_>) {
        let plain = url.len() <= MAX_URL
            && url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"'));
        let url: Rc<str> = Rc::from(&**url);
        self.links.push((url.clone(), self.written()));
        self.open((plain && self.dialect.links(&url)).then_some(Mark::Link { url, bare: false }));
    }

    fn end_link(&mut self) {
        let Some((url, from)) = self.links.pop() else { return };
        // A cell has no room for it.
        if self.table.is_some() {
            return;
        }
        let (text, marked) = (self.written_since(from), self.tags.last() == Some(&true));
        if text.is_empty() {
            self.text(&url);
        } else if !marked && !url.is_empty() && text != *url && url.strip_prefix("mailto:") != Some(&text) {
            self.text(" (");
            self.text(&url);
            self.text(")");
        }
    }

    fn written(&self) -> (usize, usize) {
        (self.runs.len().saturating_sub(1), self.runs.last().map_or(0, |run| run.text.len()))
    }

    fn written_since(&self, (run, at): (usize, usize)) -> String {
        let mut text = String::new();
        for (index, later) in self.runs.iter().enumerate().skip(run) {
            text.push_str(later.text.get(if index == run { at } else { 0 }..).unwrap_or_default());
        }
        text.trim().to_owned()
    }

    /// Of a block that may stand beside its item's marker.
    fn begin_block(&mut self) {
        if !self.after_marker() {
            self.end_line();
        }
    }

    /// Of a block that needs lines of its own.
    fn end_line(&mut self) {
        self.gap = self.gap.max(if self.lists.is_empty() { Gap::Paragraph } else { Gap::Line });
    }

    fn after_marker(&self) -> bool {
        self.runs.last().is_some_and(|run| run.marker) && self.gap == Gap::None
    }

    fn item(&mut self) {
        let depth = self.lists.len();
        let Some(list) = self.lists.last_mut() else { return };
        // Items stand close, whether or not the model left lines between them.
        if depth > 1 || list.begun {
            self.gap = Gap::Line;
        }
        list.begun = true;
        let marker = match &mut list.number {
            Some(number) => {
                let text = format!("{number}. ");
                *number = number.saturating_add(1);
                text
            }
            None => "• ".to_owned(),
        };
        self.flush_gap(depth.saturating_sub(1));
        self.push(&marker, true);
    }

    fn task(&mut self, done: bool) {
        if let Some(last) = self.runs.last_mut()
            && last.marker
            && last.text.ends_with("• ")
        {
            last.text.truncate(last.text.len() - "• ".len());
        }
        self.push(if done { "☑ " } else { "☐ " }, true);
    }

    fn text(&mut self, text: &str) {
        if let Some(table) = &mut self.table {
            return table.text(text);
        }
        if text.is_empty() {
            return;
        }
        self.flush_gap(self.lists.len());
        self.push(text, false);
    }

    /// Ends what was written before, and indents what comes.
    fn flush_gap(&mut self, indent: usize) {
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        let Some(last) = self.runs.last() else { return };
        let breaks = match gap {
            Gap::None => return,
            Gap::Line => "\n",
            Gap::Paragraph => "\n\n",
        };
        // A line between two of a quote is the quote's.
        let quote = [Mark::Quote];
        let within = last.marks.first() == quote.first() && self.outer() == quote;
        let marks: Rc<[Mark]> = Rc::from(if within { quote.as_slice() } else { &[] });
        self.runs.push(Run { text: breaks.to_owned(), marks, marker: false });
        if indent > 0 && !self.marks.iter().any(|mark| matches!(mark, Mark::Pre { .. })) {
            self.push(&"  ".repeat(indent.min(MAX_INDENT)), true);
        }
    }

    /// What is around a list's marker: the quote that it is in.
    fn outer(&self) -> &[Mark] {
        let quoted = self.marks.first() == Some(&Mark::Quote);
        self.marks.get(..usize::from(quoted)).unwrap_or_default()
    }

    fn push(&mut self, text: &str, marker: bool) {
        // Few platforms nest a block of code in anything.
        let pre = self.marks.iter().position(|mark| matches!(mark, Mark::Pre { .. }));
        let marks: Rc<[Mark]> = Rc::from(match pre {
            _ if marker => self.outer(),
            Some(pre) => self.marks.get(pre..=pre).unwrap_or_default(),
            None => &self.marks,
        });
        match self.runs.last_mut() {
            Some(last) if last.marker == marker && last.marks == marks => last.text.push_str(text),
            _ => self.runs.push(Run { text: text.to_owned(), marks: marks, marker }),
        }
    }
}

fn rank(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The first word of what stands behind a fence, where it is a name.
fn language(info: &str) -> Option<Rc<str>> {
    let name = info.split_whitespace().next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'#' | b'.' | b'-');
    (name.len() <= MAX_LANGUAGE && name.bytes().all(plain)).then(|| Rc::from(name))
}

/// Makes links of the addresses that stand in the text, so that a dialect does not escape within them.
fn find_addresses(runs: Vec<Run>) -> Vec<Run> {
    let mut found = Vec::with_capacity(runs.len());
    for run in runs {
        let plain = |mark: &Mark| !matches!(mark, Mark::Link { .. } | Mark::Code | Mark::Pre { .. });
        if run.marker || !run.marks.iter().all(plain) {
            found.push(run);
            continue;
        }
        let mut rest = run.text.as_str();
        while let Some((start, len)) = address(rest) {
            let (before, from) = rest.split_at(start);
            let (url, after) = from.split_at(len);
            let bare = Mark::Link { url: Rc::from(url), bare: true };
            let linked: Rc<[Mark]> = run.marks.iter().cloned().chain([bare]).collect();
            found.push(Run { text: before.to_owned(), marks: run.marks.clone(), marker: false });
            found.push(Run { text: url.to_owned(), marks: linked, marker: false });
            rest = after;
        }
        found.push(Run { text: rest.to_owned(), marks: run.marks.clone(), marker: false });
    }
    found.retain(|run| !run.text.is_empty());
    found
}

/// Where the first address stands, and how long it is.
fn address(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let start = from + [rest.find("https://"), rest.find("http://")].into_iter().flatten().min()?;
        let begins = text.get(..start)?.chars().next_back().is_none_or(|before| !before.is_alphanumeric());
        let url = text.get(start..)?;
        let inside = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '`' | '|' | '\\');
        let end = url.find(|c| !inside(c)).unwrap_or(url.len());
        // What ends a sentence or a parenthesis around it is not the address's.
        let url = url.get(..end)?.trim_end_matches(['.', ',', ':', ';', '!', '?', '\'', '*', '_', '~', ')', ']']);
        let scheme = if url.starts_with("https") { "https://".len() } else { "http://".len() };
        if begins && url.len() > scheme && url.len() <= MAX_URL {
            return Some((start, url.len()));
        }
        from = start + scheme;
    }
}
