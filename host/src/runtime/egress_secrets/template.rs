//! A channel's templates, joined at the boundary: the only place where a channel's request and a
//! secret meet.

use std::collections::BTreeSet;

use hyper::Uri;
use hyper::header::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::Redactor;
use super::place::{SecretRules, Unbound};
use crate::config::{Origin, Scheme};
use crate::runtime::bindings::channel::Piece;
use crate::secrets::Secret;

/// What of a secret stands for itself in an address: RFC 3986's unreserved characters, and `:` and
/// `/`, which tokens that are parts of a path have (`bot123:abc`, `T000/B000/xyz`). A secret can
/// begin no query, no parameter and no fragment.
const IN_ADDRESS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// Why a template makes no request. None of these shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The grants name none such.
    #[error("the secret `{0}` is not among the channel's; add it to `[plugins.grants.secrets]`")]
    Unknown(String),
    /// It may not be sent there.
    #[error("the secret `{secret}` is not bound to {origin}; add it to the secret's `hosts` if it may be sent there")]
    Elsewhere {
        /// Its name.
        secret: String,
        /// Where the request goes.
        origin: Origin,
    },
    /// Where a request goes must be known before a secret is looked at.
    #[error("the address must begin with its scheme and host as text, and a `/` or `?`, before its first secret")]
    Host,
    /// Not an address.
    #[error("the address is none that a request can go to")]
    Address,
    /// Not a header's value.
    #[error("the value of the header has characters that no header may have")]
    Header,
}

/// What a template made, as long as it may hold secrets, and which those are.
#[derive(Debug, Clone)]
pub struct Joined {
    text: Secret,
    secrets: BTreeSet<String>,
}

impl Joined {
    /// The text, for the one place that puts it on a wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The names of the secrets in it.
    #[must_use]
    pub fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }
}

impl SecretRules {
    /// Joins an address, and says where it leads: to the origin that its text alone names. Secrets
    /// in it are percent-encoded. `wss:` is `https:` to the grants, and `ws:` is `http:`; `tls:` and
    /// `tcp:` are themselves.
    ///
    /// # Errors
    /// A secret is not bound to that origin, would be a part of it, or nothing could be sent there.
    pub fn join_address(&self, pieces: &[Piece]) -> Result<(Joined, Origin), TemplateError> {
        let mut head = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => head.push_str(text),
                Piece::Secret(_) => break,
            }
        }
        let has_secret = pieces.iter().any(|piece| matches!(piece, Piece::Secret(_)));
        let (scheme, behind) = head.split_once("://").ok_or(TemplateError::Host)?;
        let authority = match behind.find(['/', '?']) {
            Some(end) => &behind[..end],
            None if has_secret => return Err(TemplateError::Host),
            None => behind,
        };
        let origin = origin(scheme, authority).ok_or(TemplateError::Address)?;
        let encode = |text: &mut String, secret: &Secret| text.extend(utf8_percent_encode(secret.expose(), IN_ADDRESS));
        let joined = self.join(pieces, &origin, encode)?;
        // What a client makes of the whole must be what was decided on.
        let whole: Uri = joined.expose().parse().map_err(|_| TemplateError::Address)?;
        if whole.authority().map(hyper::http::uri::Authority::as_str) != Some(authority) {
            return Err(TemplateError::Address);
        }
        Ok((joined, origin))
    }

    /// Joins a text that goes to `origin`: a body, a form's field, a frame. Secrets stand in it as
    /// they are.
    ///
    /// # Errors
    /// A secret is not bound to that origin.
    pub fn join_text(&self, pieces: &[Piece], origin: &Origin) -> Result<Joined, TemplateError> {
        self.join(pieces, origin, |text, secret| text.push_str(secret.expose()))
    }

    /// Joins a header's value, which does not show itself if it holds a secret.
    ///
    /// # Errors
    /// A secret is not bound to that origin, or a header may not hold what comes out.
    pub fn join_header(&self, pieces: &[Piece], origin: &Origin) -> Result<(HeaderValue, Joined), TemplateError> {
        let joined = self.join_text(pieces, origin)?;
        let mut value = HeaderValue::from_bytes(joined.expose().as_bytes()).map_err(|_| TemplateError::Header)?;
        value.set_sensitive(!joined.secrets.is_empty());
        Ok((value, joined))
    }

    /// Hides the secrets of a request's parts in its response; none where there are none. Such a
    /// request goes out with [`plain_answer`](super::plain_answer).
    ///
    /// # Errors
    /// A secret is not bound to that origin.
    pub fn redactor<'a>(
        &self,
        parts: impl IntoIterator<Item = &'a Joined>,
        origin: &Origin,
    ) -> Result<Option<Redactor>, TemplateError> {
        let names: BTreeSet<_> = parts.into_iter().flat_map(|part| &part.secrets).collect();
        let secrets: Vec<_> = names.into_iter().map(|name| self.named(name, origin)).collect::<Result<_, _>>()?;
        Ok((!secrets.is_empty()).then(|| Redactor::new(secrets)))
    }

    /// Hides every secret that may be sent to an origin in what comes from there; none where there
    /// are none. Whoever knows a secret may echo it at any time, and a channel sees none of its own.
    #[must_use]
    pub fn redactor_of(&self, origin: &Origin) -> Option<Redactor> {
        let secrets: Vec<_> = self.bound_to(origin).collect();
        (!secrets.is_empty()).then(|| Redactor::new(secrets))
    }

    fn join(
        &self,
        pieces: &[Piece],
        origin: &Origin,
        put: impl Fn(&mut String, &Secret),
    ) -> Result<Joined, TemplateError> {
        // Three bytes for each of a secret's is the most that putting it can take: a text that
        // grows leaves copies behind.
        let mut room = 0;
        for piece in pieces {
            room += match piece {
                Piece::Text(text) => text.len(),
                Piece::Secret(name) => 3 * self.named(name, origin)?.expose().len(),
            };
        }
        let mut text = Zeroizing::new(String::with_capacity(room));
        let mut secrets = BTreeSet::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Secret(name) => {
                    put(&mut text, self.named(name, origin)?);
                    secrets.insert(name.clone());
                }
            }
        }
        Ok(Joined { text: Secret::new(std::mem::take(&mut *text)), secrets })
    }

    fn named(&self, name: &str, origin: &Origin) -> Result<&Secret, TemplateError> {
        self.bound(name, origin).map_err(|unbound| match unbound {
            Unbound::Unknown => TemplateError::Unknown(crate::text::one_line(name, 64)),
            Unbound::Elsewhere => TemplateError::Elsewhere { secret: name.to_owned(), origin: origin.clone() },
        })
    }
}

fn origin(scheme: &str, authority: &str) -> Option<Origin> {
    let scheme = match scheme {
        "https" | "wss" => Scheme::Https,
        "http" | "ws" => Scheme::Http,
        "tls" => Scheme::Tls,
        "tcp" => Scheme::Tcp,
        _ => return None,
    };
    Origin::at(scheme, &authority.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GrantsConfig, SecretGrant, SecretSource};
    use crate::runtime::Secrets;

    fn rules() -> SecretRules {
        let mut config = GrantsConfig::default();
        let mut secrets = Secrets::default();
        for (name, secret, host) in [
            ("token", "123:abc-DEF_45", "api.telegram.org"),
            ("odd", "a b?c#d&e=f%2f", "api.telegram.org"),
            ("host", "evil.example.com", "*.example.com"),
        ] {
            let (source, hosts) = (SecretSource::File(name.into()), vec![host.parse().unwrap()]);
            config.secrets.insert(name.into(), SecretGrant { source, hosts, place: None });
            secrets.0.insert(name.into(), Secret::new(secret.into()));
        }
        SecretRules::new(&config, &secrets)
    }

    /// `{name}` is a secret.
    fn template(text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for part in text.split('{') {
            match part.split_once('}') {
                Some((name, behind)) => {
                    pieces.extend([Piece::Secret(name.into()), Piece::Text(behind.into())]);
                }
                None => pieces.push(Piece::Text(part.into())),
            }
        }
        pieces
    }

    fn address(text: &str) -> Result<(String, String), TemplateError> {
        let (joined, origin) = rules().join_address(&template(text))?;
        Ok((joined.expose().to_owned(), origin.to_string()))
    }

    fn telegram() -> Origin {
        Origin::of(&"https://api.telegram.org/".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_address_has_its_secrets_where_the_template_says() {
        let there = "https://api.telegram.org".to_owned();
        assert_eq!(
            address("https://api.telegram.org/bot{token}/getMe"),
            Ok(("https://api.telegram.org/bot123:abc-DEF_45/getMe".into(), there.clone()))
        );
        assert_eq!(
            address("wss://api.telegram.org?k={odd}&x=1"),
            Ok(("wss://api.telegram.org?k=a%20b%3Fc%23d%26e%3Df%252f&x=1".into(), there.clone()))
        );
        assert_eq!(address("https://api.telegram.org"), Ok((there.clone(), there)));
        let lines = "tls://irc.example.com:6697".to_owned();
        assert_eq!(address(&lines), Ok((lines.clone(), lines)));
    }

    #[test]
    fn no_secret_says_where_a_request_goes() {
        for text in [
            "https://{host}/x",
            "https://a.{host}/x",
            "https://a.example.com{host}",
            "{host}://a.example.com/",
            "https:/{host}/a.example.com/",
            "https://a.example.com:{token}/",
            "https://a.example.com#{host}",
        ] {
            assert_eq!(address(text), Err(TemplateError::Host), "{text}");
        }
        for text in [
            "ftp://a.example.com/",
            "tls://a.example.com",
            "tcp://a.example.com/",
            "https://u@a.example.com/",
            "https://a b/",
            "https://a.example.com\\@x/{host}",
        ] {
            assert_eq!(address(text), Err(TemplateError::Address), "{text}");
        }
    }

    #[test]
    fn a_secret_goes_to_its_own_origins_alone() {
        let elsewhere = |secret: &str, uri: &str| {
            let origin = Origin::of(&uri.parse().unwrap()).unwrap();
            Err(TemplateError::Elsewhere { secret: secret.into(), origin })
        };
        assert_eq!(address("https://a.example.com/{token}"), elsewhere("token", "https://a.example.com"));
        assert_eq!(address("http://api.telegram.org/{token}"), elsewhere("token", "http://api.telegram.org"));
        assert_eq!(address("https://api.telegram.org/{none}"), Err(TemplateError::Unknown("none".into())));
        let body = rules().join_text(&template("{host}"), &telegram()).unwrap_err();
        assert!(matches!(body, TemplateError::Elsewhere { .. }));
    }

    #[test]
    fn headers_and_bodies_are_joined_and_do_not_show_themselves() {
        let (value, joined) = rules().join_header(&template("Bot {token}"), &telegram()).unwrap();
        assert_eq!(value, "Bot 123:abc-DEF_45");
        assert!(value.is_sensitive() && !format!("{joined:?}").contains("123"));
        assert!(!rules().join_header(&template("plain"), &telegram()).unwrap().0.is_sensitive());
        let broken = [Piece::Text("a\r\nb: ".into()), Piece::Secret("token".into())];
        assert_eq!(rules().join_header(&broken, &telegram()).unwrap_err(), TemplateError::Header);

        let body = rules().join_text(&template("{\"token\":\"{token}\"}").split_off(1), &telegram());
        let body = body.unwrap();
        assert!(body.expose().contains("123:abc-DEF_45"));
        let redactor = rules().redactor([&body, &joined], &telegram()).unwrap().unwrap();
        assert_eq!(redactor.text("no 123:abc-DEF_45"), "no **************");
        let plain = rules().join_text(&template("hello"), &telegram()).unwrap();
        assert!(rules().redactor([&plain], &telegram()).unwrap().is_none());
    }

    #[test]
    fn text_that_looks_like_a_template_stays_text() {
        let pieces = [Piece::Text("{token} ${token} {{token}}".into())];
        assert_eq!(rules().join_text(&pieces, &telegram()).unwrap().expose(), "{token} ${token} {{token}}");
    }
}
