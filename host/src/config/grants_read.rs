//! How `[plugins.grants]` is read.

use std::path::PathBuf;

use hyper::Method;
use hyper::header::HeaderName;
use toml::de::DeValue;

use super::grants::{Access, DirGrant, GrantsConfig, HttpGrant, SecretGrant, SecretPlace, SecretSource};
use super::model::is_name;
use super::origin::OriginPattern;
use super::problem::Problem;
use super::reader::{Field, Reader, field};
use super::value::{self, Node, Read};

/// `[plugins.grants]`.
pub(super) const GRANTS: &[Field<GrantsConfig>] = &[
    field("http", |to, at, reader| {
        reader.items(at, "hosts such as [\"api.example.com\"]", |at, reader| to.http.extend(http(at, reader)));
    }),
    field("secrets", |to, at, reader| {
        reader.named(at, |name, span, at, reader| {
            if !is_name(name) {
                return reader.problem(Problem::new(span, value::NAME));
            }
            if let Some(secret) = secret(at, reader) {
                to.secrets.insert(name.to_owned(), secret);
            }
        });
    }),
    field("store", |to, at, reader| reader.one(&mut to.store, at, value::boolean)),
    field("files", |to, at, reader| reader.one(&mut to.files, at, access)),
    field("progress", |to, at, reader| reader.one(&mut to.progress, at, value::boolean)),
    field("memory", |to, at, reader| reader.one(&mut to.memory, at, access)),
    field("dirs", |to, at, reader| {
        reader.items(at, "folders such as [{ host = \"/srv/notes\", guest = \"/notes\" }]", |at, reader| {
            to.dirs.extend(dir(at, reader));
        });
        for (index, dir) in to.dirs.iter().enumerate() {
            if to.dirs[..index].iter().any(|other| other.guest == dir.guest) {
                let what = format!("two folders are called {} by the plugin", dir.guest);
                reader.problem(Problem::new(at.span(), what));
            }
        }
    }),
];

/// One of `http`: a text, or a table.
#[derive(Default)]
pub(super) struct HttpDraft {
    origin: Option<OriginPattern>,
    methods: Vec<Method>,
    paths: Vec<String>,
    private: bool,
}

/// A table of `http`.
pub(super) const HTTP: &[Field<HttpDraft>] = &[
    field("origin", |to, at, reader| reader.some(&mut to.origin, at, origin)),
    field("methods", |to, at, reader| reader.list(&mut to.methods, at, method)),
    field("paths", |to, at, reader| reader.list(&mut to.paths, at, path)),
    field("private", |to, at, reader| reader.one(&mut to.private, at, value::boolean)),
];

fn http(at: &Node<'_>, reader: &mut Reader<'_>) -> Option<HttpGrant> {
    if let DeValue::String(_) = at.get_ref() {
        return origin(at).map(HttpGrant::of).map_err(|problem| reader.problem(problem)).ok();
    }
    let mut draft = HttpDraft::default();
    reader.table(at, HTTP, &mut draft);
    reader.require(at, "origin", "write origin = \"api.example.com\"");
    let HttpDraft { origin, methods, paths, private } = draft;
    if origin.as_ref().is_some_and(|origin| !origin.scheme.is_http()) && !(methods.is_empty() && paths.is_empty()) {
        let problem = Problem::new(at.span(), "a connection of lines has neither methods nor paths");
        reader.problem(problem.help("leave `methods` and `paths` out for a `tls:` or `tcp:` origin"));
    }
    Some(HttpGrant { origin: origin?, methods, paths, private })
}

/// One of `secrets`.
#[derive(Default)]
pub(super) struct SecretDraft {
    env: Option<String>,
    file: Option<String>,
    command: Vec<String>,
    hosts: Vec<OriginPattern>,
    header: Option<HeaderName>,
    query: Option<String>,
    bearer: bool,
    basic: Option<String>,
}

/// A table of `secrets`.
pub(super) const SECRET: &[Field<SecretDraft>] = &[
    field("env", |to, at, reader| reader.some(&mut to.env, at, value::variable)),
    field("file", |to, at, reader| reader.some(&mut to.file, at, file)),
    field("command", |to, at, reader| reader.list(&mut to.command, at, value::text)),
    field("hosts", |to, at, reader| reader.list(&mut to.hosts, at, origin)),
    field("header", |to, at, reader| reader.some(&mut to.header, at, header)),
    field("query", |to, at, reader| reader.some(&mut to.query, at, parameter)),
    field("bearer", |to, at, reader| reader.one(&mut to.bearer, at, value::boolean)),
    field("basic", |to, at, reader| reader.some(&mut to.basic, at, user)),
];

fn secret(at: &Node<'_>, reader: &mut Reader<'_>) -> Option<SecretGrant> {
    let mut draft = SecretDraft::default();
    reader.table(at, SECRET, &mut draft);
    let SecretDraft { env, file, command, hosts, header, query, bearer, basic } = draft;
    let sources = [
        env.filter(|name| !name.is_empty()).map(SecretSource::Environment),
        file.map(SecretSource::File),
        (!command.is_empty()).then_some(SecretSource::Command(command)),
    ];
    let places = [
        header.map(SecretPlace::Header),
        query.map(SecretPlace::Query),
        bearer.then_some(SecretPlace::Bearer),
        basic.map(SecretPlace::Basic),
    ];
    let (mut sources, mut places) = (sources.into_iter().flatten(), places.into_iter().flatten());
    let (source, place) = (sources.next(), places.next());
    if source.is_none() {
        let missing = Problem::new(at.span(), "it is not said where this secret comes from");
        reader.gap(missing.help("write env = \"…\", file = \"…\" or command = [\"…\"]"));
    }
    if sources.next().is_some() {
        reader.problem(Problem::new(at.span(), "a secret has one source").help("keep one of `env`, `file`, `command`"));
    }
    if places.next().is_some() {
        let problem = Problem::new(at.span(), "a secret has one place in a request");
        reader.problem(problem.help("keep one of `header`, `query`, `bearer`, `basic`"));
    }
    // One that goes nowhere is there to be compared with, as what signs the calls of a webhook.
    if hosts.is_empty() && (place.is_some() || at.get_ref().get("hosts").is_none()) {
        let missing = Problem::new(at.span(), "a secret without `hosts` could go nowhere");
        reader.gap(
            missing.help(
                "write hosts = [\"api.example.com\"], or hosts = [] for one that only verifies calls of a webhook",
            ),
        );
    }
    Some(SecretGrant { source: source?, hosts, place })
}

/// One of `dirs`.
#[derive(Default)]
pub(super) struct DirDraft {
    host: Option<PathBuf>,
    guest: Option<String>,
    writable: bool,
}

/// A table of `dirs`.
pub(super) const DIR: &[Field<DirDraft>] = &[
    field("host", |to, at, reader| reader.file(&mut to.host, at)),
    field("guest", |to, at, reader| reader.some(&mut to.guest, at, path)),
    field("writable", |to, at, reader| reader.one(&mut to.writable, at, value::boolean)),
];

fn dir(at: &Node<'_>, reader: &mut Reader<'_>) -> Option<DirGrant> {
    let mut draft = DirDraft::default();
    reader.table(at, DIR, &mut draft);
    reader.require(at, "host", "write host = \"/a/folder/here\"");
    reader.require(at, "guest", "write guest = \"/what-the-plugin-calls-it\"");
    Some(DirGrant { host: draft.host?, guest: draft.guest?, writable: draft.writable })
}

fn origin(node: &Node<'_>) -> Read<OriginPattern> {
    value::text(node)?.parse().map_err(|error: super::origin::OriginError| Problem::new(node.span(), error.to_string()))
}

/// A method in capitals; the ones that make no request of their own are refused.
fn method(node: &Node<'_>) -> Read<Method> {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let text = value::text(node)?;
    KNOWN.into_iter().find(|method| method.as_str() == text).ok_or_else(|| {
        Problem::new(
            node.span(),
            "expected one of \"GET\", \"HEAD\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"OPTIONS\"",
        )
    })
}

/// An absolute path, without `/` at its end.
fn path(node: &Node<'_>) -> Read<String> {
    let text = value::text(node)?;
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '%' | '\\' | '*');
    let segments = text.split('/').skip(1).all(|segment| !matches!(segment, "." | ".."));
    if text.starts_with('/') && text.chars().all(plain) && segments && !text.contains("//") {
        let trimmed = text.trim_end_matches('/');
        return Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() });
    }
    Err(Problem::new(node.span(), "expected a path such as \"/v1/items\", without `..`, `%`, `?` and `*`")
        .help("it stands for itself and all that is below it"))
}

/// The name of a file among the credentials, without `.key`.
fn file(node: &Node<'_>) -> Read<String> {
    let text = value::text(node)?;
    let name = text.strip_suffix(".key").unwrap_or(&text);
    if name.split('.').all(is_name) {
        return Ok(name.to_owned());
    }
    Err(Problem::new(node.span(), "expected the name of a file in ~/.exoclaw/credentials, such as \"github\""))
}

/// A header that may carry a secret: none of those by which HTTP itself works.
fn header(node: &Node<'_>) -> Read<HeaderName> {
    const REFUSED: &[&str] = &[
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "accept-encoding",
        "range",
    ];
    let name = value::text(node)?.to_ascii_lowercase();
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(header) if !REFUSED.contains(&header.as_str()) => Ok(header),
        _ => Err(Problem::new(node.span(), "expected the name of a header such as \"x-api-key\"")),
    }
}

/// The name of a query's parameter.
fn parameter(node: &Node<'_>) -> Read<String> {
    let text = value::text(node)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.bytes().all(valid) {
        Ok(text)
    } else {
        Err(Problem::new(node.span(), "expected the name of a parameter: letters, digits, `-`, `_` and `.`"))
    }
}

/// RFC 7617, section 2: a user has no colon.
fn user(node: &Node<'_>) -> Read<String> {
    match value::text(node)? {
        text if text.contains(':') || text.chars().any(char::is_control) => {
            Err(Problem::new(node.span(), "expected a user's name, without a colon"))
        }
        text => Ok(text),
    }
}

/// `false`, `"read"`, `"write"`; `true` is all of it.
fn access(node: &Node<'_>) -> Read<Access> {
    match node.get_ref() {
        DeValue::Boolean(false) => Ok(Access::None),
        DeValue::Boolean(true) => Ok(Access::Write),
        DeValue::String(text) if text == "read" => Ok(Access::Read),
        DeValue::String(text) if text == "write" => Ok(Access::Write),
        _ => Err(Problem::new(node.span(), "expected true, false, \"read\" or \"write\"")),
    }
}
