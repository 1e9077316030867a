//! Walks a parsed file by a list of fields, and collects every mistake on the way.
//!
//! A table is a list of [`Field`]s over the type that it fills. The list is the one source for
//! what is read, what is unknown, what is suggested, and what the example must show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::value::{self, Node, Read};
use super::{schema, sensitive, suggest};
use crate::home::Home;

/// A key of a table: its name, and how its value gets into `T`.
pub(super) struct Field<T: 'static> {
    pub(super) name: &'static str,
    pub(super) read: fn(&mut T, &Node<'_>, &mut Reader<'_>),
}

/// A field of a table.
pub(super) const fn field<T>(name: &'static str, read: fn(&mut T, &Node<'_>, &mut Reader<'_>)) -> Field<T> {
    Field { name, read }
}

/// The way from the root to a value: `plugins`, `0`, `limits`, `memory`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Key(String),
    Index(usize),
}

impl Path {
    pub(super) fn key(mut self, key: &str) -> Self {
        self.0.push(Segment::Key(key.to_owned()));
        self
    }

    pub(super) fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }
}

/// As a file heads the table: `[gateway]`, `[[plugins]]`, `[plugins.limits]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        });
        let keys = keys.collect::<Vec<_>>().join(".");
        match self.0.last() {
            None => f.write_str("the file's top level"),
            Some(Segment::Key(_)) => write!(f, "[{keys}]"),
            Some(Segment::Index(_)) => write!(f, "[[{keys}]]"),
        }
    }
}

/// The state of a walk.
pub(super) struct Reader<'a> {
    pub(super) problems: Vec<Problem>,
    /// What is missing, or not found. A file whose syntax is broken may have it after all.
    pub(super) gaps: Vec<Problem>,
    /// Where each value stands.
    marks: BTreeMap<Path, Range<usize>>,
    at: Path,
    home: &'a Home,
    base: PathBuf,
}

impl<'a> Reader<'a> {
    pub(super) fn new(home: &'a Home, base: PathBuf) -> Self {
        Self { problems: Vec::new(), gaps: Vec::new(), marks: BTreeMap::new(), at: Path::default(), home, base }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn gap(&mut self, problem: Problem) {
        self.gaps.push(problem);
    }

    /// A key that a table cannot do without.
    pub(super) fn require(&mut self, table: &Node<'_>, key: &str, help: &str) {
        if table.get_ref().as_table().is_some_and(|table| !table.contains_key(key)) {
            self.gap(Problem::new(table.span(), format!("`{key}` is missing in {}", self.at)).help(help));
        }
    }

    /// Where the walk is.
    pub(super) fn path(&self) -> Path {
        self.at.clone()
    }

    /// Where a value stands, if the file has it.
    pub(super) fn mark(&self, path: &Path) -> Option<Range<usize>> {
        self.marks.get(path).cloned()
    }

    /// One value into its place; a wrong one leaves the place as it was.
    pub(super) fn one<T>(&mut self, place: &mut T, node: &Node<'_>, read: impl Fn(&Node<'_>) -> Read<T>) {
        match read(node) {
            Ok(value) => *place = value,
            Err(problem) => self.problem(problem),
        }
    }

    /// One value into a place that may be empty.
    pub(super) fn some<T>(&mut self, place: &mut Option<T>, node: &Node<'_>, read: impl Fn(&Node<'_>) -> Read<T>) {
        self.one(place, node, |node| read(node).map(Some));
    }

    /// A list into its place, every wrong item told.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        place: &mut Vec<T>,
        node: &Node<'_>,
        read: impl Fn(&Node<'_>) -> Read<T>,
    ) {
        let Some(array) = node.get_ref().as_array() else {
            return self.problem(value::expected("a list such as [\"…\"]", node));
        };
        place.clear();
        for item in array {
            match read(item) {
                Ok(value) if place.contains(&value) => {
                    self.problem(Problem::new(item.span(), "this is in the list already"));
                }
                Ok(value) => {
                    self.marks.insert(self.at.clone().index(place.len()), item.span());
                    place.push(value);
                }
                Err(problem) => self.problem(problem),
            }
        }
    }

    /// A file's path into its place.
    pub(super) fn file(&mut self, place: &mut Option<PathBuf>, node: &Node<'_>) {
        match value::text(node) {
            Ok(text) => *place = Some(self.resolve(&text)),
            Err(problem) => self.problem(problem),
        }
    }

    /// A path as the file means it: from the file's own folder where it is relative.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.home.resolve(path, &self.base)
    }

    /// Reads a table's fields into `into`, in the order of the list.
    pub(super) fn table<T>(&mut self, node: &Node<'_>, fields: &'static [Field<T>], into: &mut T) {
        let Some(table) = node.get_ref().as_table() else {
            let what = format!("a table, {}", self.at);
            return self.problem(value::expected(&what, node));
        };
        self.tell_unknown(table, fields, |_| false);
        self.fields(table, fields, into);
    }

    /// Reads the fields of a table that stand beside tables of any names: [`Self::named_beside`] reads those.
    pub(super) fn table_beside_named<T>(&mut self, node: &Node<'_>, fields: &'static [Field<T>], into: &mut T) {
        let Some(table) = node.get_ref().as_table() else {
            let what = format!("a table, {}", self.at);
            return self.problem(value::expected(&what, node));
        };
        self.tell_unknown(table, fields, |node| node.as_table().is_some());
        self.fields(table, fields, into);
    }

    /// The tables that stand beside a table's fields, each with its name's place.
    pub(super) fn named_beside<T>(
        &mut self,
        node: &Node<'_>,
        fields: &'static [Field<T>],
        mut read: impl FnMut(&str, Range<usize>, &Node<'_>, &mut Self),
    ) {
        for (key, node) in node.get_ref().as_table().into_iter().flatten() {
            let is_field = fields.iter().any(|field| field.name == key.get_ref());
            if !is_field && node.get_ref().as_table().is_some() {
                self.below(Segment::Key(key.get_ref().to_string()), node, |reader| {
                    read(key.get_ref(), key.span(), node, reader);
                });
            }
        }
    }

    fn tell_unknown<T>(
        &mut self,
        table: &DeTable<'_>,
        fields: &'static [Field<T>],
        is_other: impl Fn(&DeValue<'_>) -> bool,
    ) {
        for (key, node) in table {
            if !is_other(node.get_ref()) && !fields.iter().any(|field| field.name == key.get_ref()) {
                let problem =
                    self.unknown(key.get_ref(), key.span(), node, fields.iter().map(|field| field.name).collect());
                self.problem(problem);
            }
        }
    }

    fn fields<T>(&mut self, table: &DeTable<'_>, fields: &'static [Field<T>], into: &mut T) {
        for field in fields {
            let Some(node) = table.get(field.name) else { continue };
            self.below(Segment::Key(field.name.to_owned()), node, |reader| (field.read)(into, node, reader));
        }
    }

    /// The items of a list whose items may be tables, each with its place.
    pub(super) fn items(&mut self, node: &Node<'_>, what: &str, mut read: impl FnMut(&Node<'_>, &mut Self)) {
        let Some(array) = node.get_ref().as_array() else {
            return self.problem(value::expected(what, node));
        };
        for (index, node) in array.iter().enumerate() {
            self.below(Segment::Index(index), node, |reader| read(node, reader));
        }
    }

    /// The tables of `[[name]]`, each with its place.
    pub(super) fn tables(&mut self, node: &Node<'_>, mut read: impl FnMut(&Node<'_>, &mut Self)) {
        let Some(array) = node.get_ref().as_array() else {
            let what = format!("tables, each under [{}]", self.at.clone().index(0));
            let problem = value::expected(&what, node).help("write two brackets on each side");
            return self.problem(problem);
        };
        for (index, node) in array.iter().enumerate() {
            self.below(Segment::Index(index), node, |reader| read(node, reader));
        }
    }

    /// The tables of `[table.NAME]`, each with its name's place.
    pub(super) fn named(&mut self, node: &Node<'_>, mut read: impl FnMut(&str, Range<usize>, &Node<'_>, &mut Self)) {
        let Some(table) = node.get_ref().as_table() else {
            let what = format!("tables, each under {}", self.at.clone().key("NAME"));
            return self.problem(value::expected(&what, node));
        };
        for (key, node) in table {
            self.below(Segment::Key(key.get_ref().to_string()), node, |reader| {
                read(key.get_ref(), key.span(), node, reader);
            });
        }
    }

    fn below(&mut self, segment: Segment, node: &Node<'_>, read: impl FnOnce(&mut Self)) {
        self.at.0.push(segment);
        self.marks.insert(self.at.clone(), node.span());
        read(self);
        self.at.0.pop();
    }

    fn unknown(&self, key: &str, span: Range<usize>, node: &Node<'_>, known: Vec<&'static str>) -> Problem {
        let holds_text = matches!(node.get_ref(), DeValue::String(_));
        if sensitive::is_text(key) {
            return Problem::new(span, "this looks like a key").help(self.remedy());
        }
        if holds_text && sensitive::is_name(key) {
            return Problem::new(span, "keys do not belong in this file").help(self.remedy());
        }
        let shown = crate::text::one_line(key, 60);
        let problem = match (node.get_ref(), self.at.0.is_empty()) {
            (DeValue::Table(_) | DeValue::Array(_), true) => Problem::new(span, format!("unknown table [{shown}]")),
            (_, true) => Problem::new(span, format!("unknown key `{shown}` outside of a table")),
            (_, false) => Problem::new(span, format!("unknown key `{shown}` in {}", self.at)),
        };
        let elsewhere = || schema::tables().into_iter().filter(|table| table.header != self.at.to_string());
        let exact: BTreeSet<String> =
            elsewhere().filter(|table| table.keys.contains(&key)).map(|table| table.header).collect();
        if let Some(near) = suggest::nearest(key, known.iter().copied()) {
            problem.help(format!("did you mean `{near}`?"))
        } else if !exact.is_empty() && exact.len() <= 3 {
            problem.help(format!("it belongs in {}", exact.into_iter().collect::<Vec<_>>().join(" or ")))
        } else if let Some((table, near)) = elsewhere()
            .find_map(|table| suggest::nearest(key, table.keys.iter().copied()).map(|near| (table.header, near)))
        {
            problem.help(format!("did you mean `{near}` in {table}?"))
        } else {
            problem.help(format!("known here: {}", known.join(", ")))
        }
    }

    /// Where a key goes instead.
    pub(super) fn remedy(&self) -> String {
        let names: Vec<&str> =
            self.at.0.iter().filter_map(|s| if let Segment::Key(k) = s { Some(&**k) } else { None }).collect();
        match names[..] {
            ["gateway"] => "set EXOCLAW_TOKEN, or put it into ~/.exoclaw/credentials/gateway.key (mode 0600)".into(),
            ["providers", name] if super::model::is_name(name) => format!(
                "set {}, or put it into ~/.exoclaw/credentials/{name}.key (mode 0600)",
                schema::key_variable(name)
            ),
            _ => "put it into the environment, or into a file of mode 0600 in ~/.exoclaw/credentials".into(),
        }
    }
}
