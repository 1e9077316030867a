//! Secrets put into a tool's requests, where the grants say.

use std::collections::BTreeMap;

use hyper::Uri;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE, TE};
use hyper::http::request;
use hyper::http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use super::Redactor;
use crate::config::{GrantsConfig, Origin, OriginPattern, SecretPlace};
use crate::runtime::Secrets;
use crate::secrets::Secret;

/// What stands for itself everywhere in an address (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a request with a secret is not sent. None of these shows the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A grant names it, and it was not found when the plugin was loaded.
    #[error("the secret `{0}` of the grants was not loaded")]
    Missing(String),
    /// A header cannot hold it.
    #[error("the secret `{0}` has characters that no header may have")]
    Header(String),
    /// The address would be too long, or none any more.
    #[error("with the secret `{0}` the address is longer than 64 KiB")]
    Address(String),
    /// Two secrets go to the same place.
    #[error(
        "the secrets `{first}` and `{second}` go to the same place of a request to {origin}; bind them to different \
         `hosts`"
    )]
    Twice {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// Where the request goes.
        origin: Origin,
    },
}

/// Which secrets of a plugin go where.
#[derive(Debug, Clone, Default)]
pub struct SecretRules {
    /// By the plugin's names for them.
    rules: BTreeMap<String, Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    hosts: Vec<OriginPattern>,
    place: Option<SecretPlace>,
    secret: Option<Secret>,
}

impl SecretRules {
    /// As the grants say.
    #[must_use]
    pub fn new(grants: &GrantsConfig, secrets: &Secrets) -> Self {
        let rule = |(name, grant): (&String, &crate::config::SecretGrant)| {
            let (hosts, place) = (grant.hosts.clone(), grant.place.clone());
            (name.clone(), Rule { hosts, place, secret: secrets.0.get(name).cloned() })
        };
        Self { rules: grants.secrets.iter().map(rule).collect() }
    }

    /// A secret by the plugin's name for it, if it may be sent to this origin. In the clear it may
    /// where a pattern of its `hosts` begins with `http://`.
    ///
    /// # Errors
    /// There is none, or it is bound to other origins.
    pub fn bound(&self, name: &str, origin: &Origin) -> Result<&Secret, Unbound> {
        let rule = self.rules.get(name).ok_or(Unbound::Unknown)?;
        if !rule.hosts.iter().any(|pattern| pattern.matches(origin)) {
            return Err(Unbound::Elsewhere);
        }
        rule.secret.as_ref().ok_or(Unbound::Unknown)
    }

    /// A secret by the plugin's name for it, wherever it is bound to: for what is compared with it, and
    /// not for what is sent.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<&Secret> {
        self.rules.get(name)?.secret.as_ref()
    }

    /// All secrets that may be sent to this origin.
    pub(super) fn bound_to<'a>(&'a self, origin: &'a Origin) -> impl Iterator<Item = &'a Secret> {
        let bound = |rule: &&Rule| rule.hosts.iter().any(|pattern| pattern.matches(origin));
        self.rules.values().filter(bound).filter_map(|rule| rule.secret.as_ref())
    }

    /// Puts into a request what is bound to the origin that it goes to. With a secret in it, the
    /// request asks for all of the answer and as it is, so that the answer can be looked through:
    /// what is returned does that.
    ///
    /// What the plugin itself put in a secret's place is replaced. Its address is no longer fit to
    /// be logged.
    ///
    /// # Errors
    /// A secret that belongs there cannot be put there; then the request must not be sent.
    pub fn put(&self, request: &mut request::Parts, origin: &Origin) -> Result<Option<Redactor>, PlaceError> {
        let mut used: Vec<(&str, &SecretPlace, &Secret)> = Vec::new();
        for (name, rule) in &self.rules {
            let Some(place) = &rule.place else { continue };
            if !rule.hosts.iter().any(|pattern| pattern.matches(origin)) {
                continue;
            }
            let secret = rule.secret.as_ref().ok_or_else(|| PlaceError::Missing(name.clone()))?;
            if let Some((first, _, _)) = used.iter().find(|(_, other, _)| collide(other, place)) {
                let (first, second) = ((*first).to_owned(), name.clone());
                return Err(PlaceError::Twice { first, second, origin: origin.clone() });
            }
            used.push((name, place, secret));
        }
        if used.is_empty() {
            return Ok(None);
        }
        for (name, place, secret) in &used {
            put_one(request, name, place, secret)?;
        }
        plain_answer(&mut request.headers);
        Ok(Some(Redactor::new(used.into_iter().map(|(_, _, secret)| secret))))
    }
}

/// Why a secret is not to be had for an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbound {
    /// The grants name none such.
    Unknown,
    /// It is bound to other origins.
    Elsewhere,
}

/// Has a request ask for all of its answer, and not compressed (RFC 9110, sections 12.5.3, 14.2,
/// 13.1.5 and 10.1.4).
pub fn plain_answer(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in [RANGE, IF_RANGE, TE] {
        headers.remove(name);
    }
    // Differences to an earlier answer, compressed ones among them (RFC 3229, section 10.5.3).
    headers.remove("a-im");
}

fn collide(one: &SecretPlace, other: &SecretPlace) -> bool {
    match (header(one), header(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn header(place: &SecretPlace) -> Option<&HeaderName> {
    match place {
        SecretPlace::Header(name) => Some(name),
        SecretPlace::Bearer | SecretPlace::Basic(_) => Some(&AUTHORIZATION),
        SecretPlace::Query(_) => None,
    }
}

fn put_one(request: &mut request::Parts, name: &str, place: &SecretPlace, secret: &Secret) -> Result<(), PlaceError> {
    let text = match place {
        SecretPlace::Header(_) => Zeroizing::new(secret.expose().to_owned()),
        // RFC 6750, section 2.1.
        SecretPlace::Bearer => Zeroizing::new(format!("Bearer {}", secret.expose())),
        // RFC 7617, section 2.
        SecretPlace::Basic(user) => {
            let pair = Zeroizing::new(format!("{user}:{}", secret.expose()));
            let coded = Zeroizing::new(data_encoding::BASE64.encode(pair.as_bytes()));
            Zeroizing::new(format!("Basic {}", *coded))
        }
        SecretPlace::Query(parameter) => {
            request.uri =
                with_parameter(&request.uri, parameter, secret).ok_or(PlaceError::Address(name.to_owned()))?;
            return Ok(());
        }
    };
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| PlaceError::Header(name.to_owned()))?;
    // Not into HPACK's table, nor into any log.
    value.set_sensitive(true);
    if let Some(header) = header(place) {
        request.headers.insert(header, value);
    }
    Ok(())
}

/// The address with the secret as this parameter, and with no other one of that name, however the
/// plugin wrote it.
fn with_parameter(uri: &Uri, parameter: &str, secret: &Secret) -> Option<Uri> {
    let same = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        percent_decode_str(&name).eq(parameter.bytes())
    };
    let mut target = Zeroizing::new(String::from(uri.path()));
    target.push('?');
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !same(pair)) {
        target.push_str(pair);
        target.push('&');
    }
    target.push_str(parameter);
    target.push('=');
    target.extend(utf8_percent_encode(secret.expose(), UNRESERVED));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target.as_str()).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SecretGrant, SecretSource};

    const SECRET: &str = "p/ss w+rd%&=é";

    fn rules(grants: &[(&str, SecretPlace, &str)]) -> SecretRules {
        let mut config = GrantsConfig::default();
        let mut secrets = Secrets::default();
        for (name, place, host) in grants {
            let (source, hosts) = (SecretSource::File((*name).into()), vec![host.parse().unwrap()]);
            config.secrets.insert((*name).into(), SecretGrant { source, hosts, place: Some(place.clone()) });
            secrets.0.insert((*name).into(), Secret::new(SECRET.into()));
        }
        SecretRules::new(&config, &secrets)
    }

    fn request(uri: &str) -> (request::Parts, Origin) {
        let request = hyper::Request::get(uri)
            .header("authorization", "the plugin's own")
            .header("authorization", "and another")
            .header("x-kept", "as it is")
            .header("accept-encoding", "gzip")
            .header("range", "bytes=0-1")
            .header("if-range", "\"x\"");
        let parts = request.body(()).unwrap().into_parts().0;
        let origin = Origin::of(&parts.uri).unwrap();
        (parts, origin)
    }

    fn put(place: SecretPlace, uri: &str) -> request::Parts {
        let (mut parts, origin) = request(uri);
        let rules = rules(&[("key", place, "api.example.com")]);
        assert!(rules.put(&mut parts, &origin).unwrap().is_some());
        assert_eq!(parts.headers["accept-encoding"], "identity");
        assert!(!parts.headers.contains_key("range") && !parts.headers.contains_key("if-range"));
        assert_eq!(parts.headers["x-kept"], "as it is");
        assert!(!format!("{:?} {rules:?}", parts.headers).contains("w+rd"));
        parts
    }

    #[test]
    fn each_place_gets_the_secret_and_replaces_what_the_plugin_put_there() {
        let address = "https://api.example.com/v1?a=1";
        let bearer = put(SecretPlace::Bearer, address);
        let values: Vec<_> = bearer.headers.get_all("authorization").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [format!("Bearer {SECRET}").as_bytes()]);
        assert_eq!(bearer.uri, *address);

        let basic = put(SecretPlace::Basic("me".into()), address);
        let coded = data_encoding::BASE64.encode(format!("me:{SECRET}").as_bytes());
        assert_eq!(basic.headers["authorization"], format!("Basic {coded}"));

        let header = put(SecretPlace::Header("x-api-key".parse().unwrap()), address);
        assert_eq!(header.headers["x-api-key"].as_bytes(), SECRET.as_bytes());
        assert_eq!(header.headers["authorization"], "the plugin's own");
    }

    #[test]
    fn a_parameter_is_put_once_and_encoded() {
        let coded = "p%2Fss%20w%2Brd%25%26%3D%C3%A9";
        for (from, to) in [
            ("", "?key=@"),
            ("/v1", "/v1?key=@"),
            ("/v1?", "/v1?key=@"),
            ("/v1?a=1&key=mine&b", "/v1?a=1&b&key=@"),
            ("/v1?KEY=1&k%65y=mine&%6bey&key=&keys=2", "/v1?KEY=1&keys=2&key=@"),
        ] {
            let parts = put(SecretPlace::Query("key".into()), &format!("https://api.example.com{from}"));
            let to = if to.starts_with('?') { format!("/{to}") } else { to.to_owned() };
            assert_eq!(parts.uri.to_string(), format!("https://api.example.com{to}").replace('@', coded));
        }
    }

    #[test]
    fn a_secret_goes_to_its_own_origins_alone() {
        for (host, uri) in [
            ("api.example.com", "https://example.com/"),
            ("api.example.com", "http://api.example.com/"),
            ("api.example.com", "https://api.example.com:8443/"),
            ("*.example.com", "https://example.com/"),
            ("http://localhost:8080", "https://localhost:8080/"),
        ] {
            let (mut parts, origin) = request(uri);
            let rules = rules(&[("key", SecretPlace::Bearer, host)]);
            assert!(rules.put(&mut parts, &origin).unwrap().is_none());
            assert_eq!(rules.bound("key", &origin).unwrap_err(), Unbound::Elsewhere);
            assert_eq!(parts.headers["authorization"], "the plugin's own");
            assert_eq!(parts.headers["accept-encoding"], "gzip");
        }
        let (mut parts, origin) = request("http://localhost:8080/");
        let rules = rules(&[("key", SecretPlace::Bearer, "http://localhost:8080")]);
        assert!(rules.put(&mut parts, &origin).unwrap().is_some());
        assert!(rules.bound("key", &origin).is_ok());
        assert_eq!(rules.bound("other", &origin).unwrap_err(), Unbound::Unknown);
    }

    #[test]
    fn a_request_that_cannot_have_its_secret_is_not_sent() {
        let (mut parts, origin) = request("https://api.example.com/");
        let host = "api.example.com";
        let both = rules(&[("one", SecretPlace::Bearer, host), ("two", SecretPlace::Basic("me".into()), host)]);
        assert!(matches!(both.put(&mut parts, &origin), Err(PlaceError::Twice { .. })));
        let apart = rules(&[("one", SecretPlace::Bearer, host), ("two", SecretPlace::Query("key".into()), host)]);
        assert!(apart.put(&mut parts, &origin).is_ok());

        let mut absent = rules(&[("one", SecretPlace::Bearer, host)]);
        absent.rules.get_mut("one").unwrap().secret = None;
        assert_eq!(absent.put(&mut parts, &origin).unwrap_err(), PlaceError::Missing("one".into()));
        assert_eq!(absent.bound("one", &origin).unwrap_err(), Unbound::Unknown);

        let long = format!("https://api.example.com/{}", "x".repeat(65_500));
        let (mut parts, origin) = request(&long);
        let query = rules(&[("one", SecretPlace::Query("key".into()), host)]);
        assert_eq!(query.put(&mut parts, &origin).unwrap_err(), PlaceError::Address("one".into()));
    }
}
