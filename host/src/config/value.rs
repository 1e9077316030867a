//! Single values: what a text, a number or a list must look like.
//!
//! A mistake is told by what was expected. The value itself is left to the excerpt.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use toml::Spanned;
use toml::de::DeValue;

use super::channels::{UnknownDelivery, WhoMayWrite};
use super::model::{ByteSize, LogFormat, ModelName, NameError, PromptCache, ProviderKind};
use super::problem::Problem;
use super::storage::{Durability, StorageUrl};
use super::suggest;
use crate::money::{MoneyError, NanoDollars};

/// A value and its place.
pub(super) type Node<'i> = Spanned<DeValue<'i>>;
/// A value that was read.
pub(super) type Read<T> = Result<T, Problem>;

/// A value of another type than it should have.
pub(super) fn expected(what: &str, node: &Node<'_>) -> Problem {
    let found = match node.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Problem::new(node.span(), format!("expected {what}, found {found}"))
}

fn wrong(node: &Node<'_>, what: impl Into<String>) -> Problem {
    Problem::new(node.span(), what)
}

fn str_of<'a>(node: &'a Node<'_>, what: &str) -> Read<&'a str> {
    node.get_ref().as_str().ok_or_else(|| expected(what, node))
}

/// Any text but an empty one.
pub(super) fn text(node: &Node<'_>) -> Read<String> {
    match str_of(node, "a text in quotes")? {
        text if text.trim().is_empty() => Err(wrong(node, "this text is empty")),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn boolean(node: &Node<'_>) -> Read<bool> {
    node.get_ref().as_bool().ok_or_else(|| expected("true or false, without quotes", node))
}

/// A whole number within bounds.
pub(super) fn integer<T: TryFrom<u64>>(node: &Node<'_>, bounds: RangeInclusive<u64>) -> Read<T> {
    let what = format!("a whole number from {} to {}", bounds.start(), bounds.end());
    let integer = node.get_ref().as_integer().ok_or_else(|| expected(&what, node))?;
    u64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| bounds.contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| wrong(node, format!("out of bounds: expected {what}")))
}

/// A number within bounds, with or without a point.
pub(super) fn number(node: &Node<'_>, bounds: RangeInclusive<f64>) -> Read<f64> {
    let what = format!("a number from {} to {}", bounds.start(), bounds.end());
    let number = match node.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
        _ => return Err(expected(&what, node)),
    };
    number.filter(|n| bounds.contains(n)).ok_or_else(|| wrong(node, format!("out of bounds: expected {what}")))
}

/// An amount of money: a number of dollars, or a text with one. It is read as it is written, not as a float.
pub(super) fn dollars(node: &Node<'_>) -> Read<NanoDollars> {
    const WHAT: &str = "an amount of dollars such as 5 or 0.25";
    let amount = match node.get_ref() {
        DeValue::Float(float) => float.as_str().parse(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse(),
        DeValue::String(text) => text.parse(),
        _ => return Err(expected(WHAT, node)),
    };
    amount.map_err(|error| match error {
        MoneyError::Form => wrong(node, format!("expected {WHAT}")),
        error => wrong(node, error.to_string()),
    })
}

/// A number and a unit at its end, such as `64MiB`.
fn with_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start()))
}

/// A time such as `250ms`, `5s`, `10m`, `1h`, from a millisecond to `most`.
pub(super) fn duration(node: &Node<'_>, most: Duration) -> Read<Duration> {
    duration_within(node, Duration::from_millis(1)..=most)
}

/// A time such as `5s`, `1h`, `90d`, within bounds.
pub(super) fn duration_within(node: &Node<'_>, bounds: RangeInclusive<Duration>) -> Read<Duration> {
    const WHAT: &str = "a time such as \"250ms\", \"5s\", \"10m\", \"1h\" or \"90d\"";
    let (number, unit) = with_unit(str_of(node, WHAT)?).ok_or_else(|| wrong(node, format!("expected {WHAT}")))?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong(node, format!("expected {WHAT}"))),
    };
    let duration = number.checked_mul(unit).map(Duration::from_millis).filter(|duration| bounds.contains(duration));
    let (least, most) = (show(*bounds.start()), show(*bounds.end()));
    duration.ok_or_else(|| wrong(node, format!("out of bounds: expected a time from {least} to {most}")))
}

/// A bound, or `"none"`.
pub(super) fn bound<T>(node: &Node<'_>, read: impl Fn(&Node<'_>) -> Read<T>) -> Read<Option<T>> {
    match node.get_ref().as_str() {
        Some("none") => Ok(None),
        _ => read(node).map(Some).map_err(|problem| match problem.help {
            Some(_) => problem,
            None => problem.help("\"none\" is without end"),
        }),
    }
}

/// A duration as the file writes it.
pub(super) fn show(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms > 86_400_000 && ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        ms if ms >= 3_600_000 && ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms >= 60_000 && ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms >= 1_000 && ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// A size such as `64MiB`, within bounds.
pub(super) fn size(node: &Node<'_>, bounds: RangeInclusive<ByteSize>) -> Read<ByteSize> {
    const WHAT: &str = "a size such as \"256KiB\", \"64MiB\" or \"1GiB\"";
    let (number, unit) = with_unit(str_of(node, WHAT)?).ok_or_else(|| wrong(node, format!("expected {WHAT}")))?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        unit => {
            let problem = wrong(node, format!("expected {WHAT}"));
            let binary = unit.len() <= 2 && unit.starts_with(['k', 'K', 'm', 'M', 'g', 'G']);
            return Err(if binary { problem.help("units are KiB, MiB and GiB") } else { problem });
        }
    };
    let size = number.checked_mul(1 << shift).map(ByteSize).filter(|size| bounds.contains(size));
    let (least, most) = (bounds.start(), bounds.end());
    size.ok_or_else(|| wrong(node, format!("out of bounds: expected a size from {least} to {most}")))
}

pub(super) fn address(node: &Node<'_>) -> Read<IpAddr> {
    const WHAT: &str = "an address such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\"";
    str_of(node, WHAT)?.parse().map_err(|_| match node.get_ref().as_str() {
        Some("localhost") => wrong(node, format!("expected {WHAT}")).help("write \"127.0.0.1\""),
        _ => wrong(node, format!("expected {WHAT}")),
    })
}

/// An agent's, plugin's or provider's name.
pub(super) fn name<T: FromStr<Err = NameError>>(node: &Node<'_>) -> Read<T> {
    str_of(node, "a name in quotes")?.parse().map_err(|_| wrong(node, NAME))
}

/// What a name must be.
pub(super) const NAME: &str = "not a name: expected up to 64 of a-z, 0-9, `_` and `-`, the first a letter or digit";

/// `PROVIDER/MODEL`.
pub(super) fn model(node: &Node<'_>) -> Read<ModelName> {
    const WHAT: &str = "PROVIDER/MODEL, such as \"openai/gpt-5-mini\"";
    match str_of(node, WHAT)?.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.trim().is_empty() && model.trim() == model => {
            Ok(ModelName { provider: provider.to_owned(), model: model.to_owned() })
        }
        _ => Err(wrong(node, format!("expected {WHAT}"))),
    }
}

/// A tool's name, as both providers allow it: `[a-zA-Z0-9_-]{1,64}`.
pub(super) fn tool(node: &Node<'_>) -> Read<String> {
    let text = str_of(node, "a tool's name in quotes")?;
    let valid = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match text.len() {
        1..=64 if valid => Ok(text.to_owned()),
        _ => Err(wrong(node, "not a tool's name: expected up to 64 of a-z, A-Z, 0-9, `_` and `-`")),
    }
}

/// Whether a text can name an environment variable: `[A-Z_][A-Z0-9_]*`. Lower case is refused,
/// since a key that was put here by mistake has some.
pub(super) fn is_variable(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    text.is_empty() || valid(text.as_bytes()[0]) && text.bytes().all(|byte| valid(byte) || byte.is_ascii_digit())
}

/// The name of an environment variable.
pub(super) fn variable(node: &Node<'_>) -> Read<String> {
    match str_of(node, "an environment variable's name in quotes")? {
        text if is_variable(text) => Ok(text.to_owned()),
        _ => Err(wrong(node, "expected the name of an environment variable: A-Z, 0-9 and `_`")
            .help("name the variable; the key itself stays in the environment")),
    }
}

/// An `http` or `https` address to which a call's path is added; without `/` at its end.
pub(super) fn base_url(node: &Node<'_>) -> Read<String> {
    const WHAT: &str = "an address such as \"https://api.openai.com/v1\"";
    let text = str_of(node, WHAT)?;
    if text.contains(['?', '#']) {
        return Err(wrong(node, "a base address has no `?` or `#`: calls add their own path to it"));
    }
    let uri: Uri = text.parse().map_err(|_| wrong(node, format!("expected {WHAT}")))?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong(node, format!("expected {WHAT}")));
    };
    if authority.as_str().contains('@') {
        return Err(wrong(node, "no name or password may stand in an address").help("use `api_key_env`"));
    }
    if authority.host().is_empty() || authority.as_str().ends_with(':') || !port_is_valid(authority.as_str()) {
        return Err(wrong(node, format!("expected {WHAT}")));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `Uri` takes any digits for a port.
fn port_is_valid(authority: &str) -> bool {
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => port.parse::<u16>().is_ok(),
        _ => true,
    }
}

/// What browsers send as `Origin`: scheme, host, port; in lower case.
pub(super) fn origin(node: &Node<'_>) -> Read<String> {
    const WHAT: &str = "an origin such as \"https://chat.example\", without a path";
    let text = str_of(node, WHAT)?;
    let valid = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && !rest.is_empty()
            && !rest.contains(['/', '?', '#', '@', ' '])
            && text.parse::<Uri>().is_ok()
    });
    if valid && port_is_valid(text.split_once("://").map_or("", |(_, rest)| rest)) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(wrong(node, format!("expected {WHAT}")))
    }
}

/// A host's name, in lower case, without a port.
pub(super) fn host(node: &Node<'_>) -> Read<String> {
    const WHAT: &str = "a host's name such as \"exoclaw.example\", without scheme and port";
    let text = str_of(node, WHAT)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // RFC 1035, section 2.3.4.
    if (1..=253).contains(&text.len()) && text.bytes().all(valid) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(wrong(node, format!("expected {WHAT}")))
    }
}

/// The 64 hex digits of a SHA-256.
pub(super) fn sha256(node: &Node<'_>) -> Read<[u8; 32]> {
    const WHAT: &str = "a SHA-256: 64 hex digits";
    let text = str_of(node, WHAT)?.as_bytes();
    let problem = || wrong(node, format!("expected {WHAT}")).help("`sha256sum FILE` prints it");
    let mut digest = [0; 32];
    if text.len() != 64 {
        return Err(problem());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(problem)?;
    }
    Ok(digest)
}

/// One of a few words.
fn word<T: Copy>(node: &Node<'_>, words: &[(&str, T)]) -> Read<T> {
    let names: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let what = format!("one of {}", names.join(", "));
    let text = str_of(node, &what)?;
    words.iter().find(|(word, _)| *word == text).map(|&(_, value)| value).ok_or_else(|| {
        let problem = wrong(node, format!("expected {what}"));
        match suggest::nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) => problem.help(format!("did you mean \"{near}\"?")),
            None => problem,
        }
    })
}

pub(super) fn provider_kind(node: &Node<'_>) -> Read<ProviderKind> {
    word(node, &[("anthropic", ProviderKind::Anthropic), ("openai", ProviderKind::OpenAi)])
}

pub(super) fn log_format(node: &Node<'_>) -> Read<LogFormat> {
    word(node, &[("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)])
}

pub(super) fn storage_url(node: &Node<'_>, resolve: impl Fn(&str) -> PathBuf) -> Read<StorageUrl> {
    let text = str_of(node, "a store's address, such as \"sqlite:PATH\" or \"memory\"")?;
    StorageUrl::parse(text, resolve).map_err(|error| wrong(node, error.to_string()).help(error.help()))
}

pub(super) fn who_may_write(node: &Node<'_>) -> Read<WhoMayWrite> {
    use WhoMayWrite::{Allowlist, Off, Open, Pairing};
    word(node, &[("pairing", Pairing), ("allowlist", Allowlist), ("open", Open), ("off", Off)])
}

/// Nobody can be asked who posts in a broadcast channel.
pub(super) fn who_may_post(node: &Node<'_>) -> Read<WhoMayWrite> {
    word(node, &[("allowlist", WhoMayWrite::Allowlist), ("open", WhoMayWrite::Open), ("off", WhoMayWrite::Off)])
}

pub(super) fn unknown_delivery(node: &Node<'_>) -> Read<UnknownDelivery> {
    word(node, &[("resend", UnknownDelivery::Resend), ("hold", UnknownDelivery::Hold)])
}

pub(super) fn prompt_cache(node: &Node<'_>) -> Read<PromptCache> {
    word(node, &[("5m", PromptCache::FiveMinutes), ("1h", PromptCache::OneHour), ("off", PromptCache::Off)])
}

pub(super) fn durability(node: &Node<'_>) -> Read<Durability> {
    word(node, &[("power", Durability::Power), ("process", Durability::Process)])
}

/// A filter for logs: a level, or levels by module.
pub(super) fn log_filter(node: &Node<'_>) -> Read<String> {
    let text = str_of(node, "a level such as \"info\", or a filter")?;
    super::filter::check(text).map_err(|error| wrong(node, error.to_string()))?;
    Ok(text.to_owned())
}
