//! Parameters of a query, read strictly.

use percent_encoding::percent_decode_str;

use super::Refusal;

/// What a `+` in a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// As in any address (RFC 3986).
    Itself,
    /// As forms are encoded (the URL standard, section 5).
    Space,
}

/// A parameter that has to be there, once, however its name is spelled.
pub(super) fn only(query: Option<&str>, name: &str, plus: Plus) -> Result<String, Refusal> {
    let mut found = None;
    for (key, value) in pairs(query.unwrap_or("")) {
        if decode(key, plus).as_deref() != Some(name) {
            continue;
        }
        let value = decode(value, plus).ok_or(Refusal::Malformed("a parameter"))?;
        if found.replace(value).is_some() {
            return Err(Refusal::Twice(name.to_owned()));
        }
    }
    found.ok_or(Refusal::Missing("a parameter"))
}

/// A query without a parameter.
pub(super) fn without(query: &str, name: &str) -> String {
    let other = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        decode(key, Plus::Itself).as_deref() != Some(name)
    };
    query.split('&').filter(other).collect::<Vec<_>>().join("&")
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Nothing where a `%` stands alone, or where what comes of it is no UTF-8.
fn decode(text: &str, plus: Plus) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let escaped = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !escapes.all(escaped) {
        return None;
    }
    let text = if plus == Plus::Space { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_however_it_is_escaped() {
        for query in ["a=1&key=x%2By", "%6Bey=x%2by", "&&key=x%2By&&b"] {
            assert_eq!(only(Some(query), "key", Plus::Space).as_deref(), Ok("x+y"), "{query}");
        }
        assert_eq!(only(Some("key=x+y"), "key", Plus::Space).as_deref(), Ok("x y"));
        assert_eq!(only(Some("key=x+y"), "key", Plus::Itself).as_deref(), Ok("x+y"));
    }

    #[test]
    fn a_parameter_that_is_there_twice_or_cannot_be_read_is_refused() {
        assert_eq!(only(Some("key=a&k%65y=a"), "key", Plus::Itself), Err(Refusal::Twice("key".into())));
        for query in ["key=%", "key=%4", "key=%zz", "key=%ff"] {
            assert_eq!(only(Some(query), "key", Plus::Itself), Err(Refusal::Malformed("a parameter")), "{query}");
        }
        for query in [None, Some(""), Some("Key=a"), Some("keys=a")] {
            assert_eq!(only(query, "key", Plus::Itself), Err(Refusal::Missing("a parameter")), "{query:?}");
        }
    }

    #[test]
    fn a_parameter_is_taken_out_and_the_others_stay_as_they_were() {
        assert_eq!(without("a=%20&key=s&b=+", "key"), "a=%20&b=+");
        assert_eq!(without("k%65y=s", "key"), "");
    }
}
