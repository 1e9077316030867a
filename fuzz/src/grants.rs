//! Grants of HTTP against the URL standard: what is allowed goes where the grant says, also as
//! browsers and most servers read the address.
//!
//! The input: the method, the grant's origin, its path (or nothing), and the address asked for.

use exoclaw::config::{Config, GrantsConfig};
use hyper::{Method, Uri};
use url::Url;

/// Whether the request is allowed.
pub fn run(input: &[u8]) -> bool {
    let Some(([method, origin, path], uri)) = super::lines(input) else { return false };
    let Ok(uri) = std::str::from_utf8(uri).map(str::trim_end) else { return false };
    let (Some(grants), Ok(method), Ok(asked)) = (read(origin, path), method.parse::<Method>(), uri.parse::<Uri>())
    else {
        return false;
    };
    if !grants.allows(&method, &asked) {
        return false;
    }
    assert_eq!(method, Method::GET, "only that was granted");
    // What the URL standard refuses goes nowhere.
    if let Ok(url) = Url::parse(uri) {
        assert!(is_granted(origin, path, &url), "{origin} {path} allows {url}");
    }
    true
}

/// The grant, as the config file has it; none where that refuses it.
fn read(origin: &str, path: &str) -> Option<GrantsConfig> {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let paths = if path.is_empty() { String::new() } else { format!(", paths = [{}]", quoted(path)) };
    let file = format!(
        "[[plugins]]\nname = \"p\"\npath = \"p.wasm\"\n[plugins.grants]\n\
         http = [{{ origin = {}, methods = [\"GET\"]{paths} }}]\n",
        quoted(origin)
    );
    Config::parse(&file, std::path::Path::new("/c/config.toml")).ok()?.plugins.pop().map(|plugin| plugin.grants)
}

fn is_granted(origin: &str, path: &str, url: &Url) -> bool {
    let origin = if origin.contains("://") { origin.to_owned() } else { format!("https://{origin}") };
    let (below, exact) = match origin.split_once("://*.") {
        Some((scheme, parent)) => (true, format!("{scheme}://{parent}")),
        None => (false, origin),
    };
    // A name that the standard refuses: nothing can be asked of it either.
    let Ok(granted) = Url::parse(&exact) else { return true };
    let (Some(host), Some(asked)) = (granted.host_str(), url.host_str()) else { return false };
    let same_host = match asked.strip_suffix(host) {
        Some("") => !below,
        Some(labels) => below && labels.len() > 1 && labels.ends_with('.') && !labels.starts_with('.'),
        None => false,
    };
    let same_rest = granted.scheme() == url.scheme() && granted.port_or_known_default() == url.port_or_known_default();
    let nobody = url.username().is_empty() && url.password().is_none();
    same_host && same_rest && nobody && (path.is_empty() || readings(url).iter().all(|read| is_below(read, path)))
}

/// The path's segments as the standard has them, and as a server that decodes once, twice, or takes
/// backslashes for slashes comes to have them.
fn readings(url: &Url) -> Vec<Vec<String>> {
    let mut readings = Vec::new();
    let mut path = url.path().to_owned();
    for _ in 0..3 {
        for text in [path.clone(), path.replace('\\', "/")] {
            let mut segments: Vec<String> = Vec::new();
            for segment in text.split('/').skip(1) {
                match segment.split(';').next() {
                    Some(".") => {}
                    Some("..") => drop(segments.pop()),
                    _ => segments.push(segment.to_owned()),
                }
            }
            readings.push(segments);
        }
        path = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
    }
    readings
}

fn is_below(segments: &[String], path: &str) -> bool {
    let wanted: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    segments.len() >= wanted.len() && wanted.iter().zip(segments).all(|(one, other)| one == other)
}
