//! What a channel sets up, held against itself.

use crate::config::OriginPattern;
use crate::runtime::bindings::channel::{Place, Setup, Verification};

use super::super::report::{Case, Trial, quote};

/// Schemes that a channel can be connected by (`connection.url`).
pub(super) const SCHEMES: [&str; 6] = ["https", "http", "wss", "ws", "tls", "tcp"];

pub(super) fn case(platform: &str, setup: &Setup) -> Case {
    let mut trial = Trial::begin("setup", "needs what it can be given, and names each secret that it uses");
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    trial.require(!platform.is_empty() && platform.len() <= 64 && platform.bytes().all(plain), || {
        format!("the platform {} is not a name of a-z, 0-9, `-` and `_`", quote(platform))
    });
    for origin in &setup.origins {
        trial.require(pattern(origin).is_some(), || {
            format!("the origin {} is none; write scheme, host and port, without a path", quote(origin))
        });
    }
    for (index, secret) in setup.secrets.iter().enumerate() {
        trial.require(!secret.is_empty(), || "a secret has an empty name".into());
        trial.require(!setup.secrets[..index].contains(secret), || {
            format!("it names the secret {} twice", quote(secret))
        });
    }
    webhook(&mut trial, setup);
    for (what, ms) in [("typing-ms", setup.features.typing_ms), ("draft-ms", setup.features.draft_ms)] {
        trial.require(ms != Some(0), || format!("`{what}` is 0: leave it out where the platform has no such thing"));
    }
    trial.end(format!("{} origins, {} secrets", setup.origins.len(), setup.secrets.len()))
}

/// An origin's scheme, and its host and port as those of HTTPS, which patterns are written for.
pub(super) fn pattern(origin: &str) -> Option<(&str, OriginPattern)> {
    let (scheme, rest) = origin.split_once("://")?;
    // A port is needed where the scheme has none of its own.
    let ported = !matches!(scheme, "tls" | "tcp") || rest.rsplit_once(':').is_some();
    let known = SCHEMES.contains(&scheme) && ported;
    let carrier = if matches!(scheme, "http" | "ws") { "http" } else { "https" };
    Some((scheme, format!("{carrier}://{rest}").parse().ok()?)).filter(|_| known)
}

fn webhook(trial: &mut Trial, setup: &Setup) {
    let Some(webhook) = &setup.webhook else { return };
    let mut known = |secret: &str| {
        trial.require(setup.secrets.iter().any(|name| name == secret), || {
            format!("its webhook is verified with the secret {}, which `secrets` does not name", quote(secret))
        });
    };
    if let Some(challenge) = &webhook.challenge {
        known(&challenge.secret);
    }
    match &webhook.verification {
        Verification::SharedSecret(shared) => {
            known(&shared.secret);
            if let Place::Header(name) = &shared.place {
                header(trial, name);
            }
        }
        Verification::Hmac(hmac) => {
            known(&hmac.secret);
            header(trial, &hmac.header);
            template(trial, &hmac.template);
        }
        Verification::Ed25519(signed) => {
            let key = &signed.public_key;
            // RFC 8032, section 5.1.5: a public key has 32 bytes.
            trial.require(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), || {
                format!("the public key {} is not 32 bytes in hexadecimal", quote(key))
            });
            header(trial, &signed.header);
            template(trial, &signed.template);
        }
        Verification::Jwt(jwt) => trial.require(jwt.jwks_url.starts_with("https://"), || {
            format!("the keys at {} are not fetched by https", quote(&jwt.jwks_url))
        }),
        Verification::None => {}
    }
}

fn header(trial: &mut Trial, name: &str) {
    trial.require(hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok(), || {
        format!("{} is no name of a header", quote(name))
    });
}

/// `{body}`, `{url}` and `{header:NAME}` are all that is filled in, and a signature that does not
/// cover the body proves nothing.
fn template(trial: &mut Trial, template: &str) {
    trial.require(template.contains("{body}"), || {
        format!("the signed text {} leaves out `{{body}}`, so anyone could change it", quote(template))
    });
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return trial.problem(format!("the signed text {} has a brace that nothing closes", quote(template)));
        };
        let known = matches!(name, "body" | "url")
            || name
                .strip_prefix("header:")
                .is_some_and(|name| hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok());
        trial.require(known, || {
            format!("{} in the signed text is not `{{body}}`, `{{url}}` or `{{header:NAME}}`", quote(name))
        });
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_a_scheme_and_a_host_and_no_path() {
        for origin in ["https://api.telegram.org", "wss://*.discord.gg", "tls://irc.example:6697", "http://[::1]:8080"]
        {
            assert!(pattern(origin).is_some(), "{origin}");
        }
        for origin in ["api.telegram.org", "ftp://a.example", "https://a.example/x", "tls://irc.example", "https://"] {
            assert!(pattern(origin).is_none(), "{origin}");
        }
    }

    #[test]
    fn a_template_covers_the_body_and_knows_its_names() {
        let problems = |text| {
            let mut trial = Trial::begin("x", "x");
            template(&mut trial, text);
            match trial.end("").outcome {
                super::super::super::Outcome::Fail(problems) => problems.len(),
                _ => 0,
            }
        };
        assert_eq!(problems("v0:{header:x-time}:{url}:{body}"), 0);
        assert_eq!(problems("{header:x-time}"), 1);
        assert_eq!(problems("{body}{bdy}"), 1);
        assert_eq!(problems("{body}{"), 1);
    }
}
