//! Addresses that a platform names, and those that a channel makes.

/// Scheme, host and port of an absolute address of any scheme.
pub fn origin_of(url: &str) -> Option<&str> {
    let start = url.find("://")? + "://".len();
    let rest = url.get(start..)?;
    let length = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    url.get(..start + length).filter(|_| length > 0)
}

/// Whether all of it may stand in an address that is requested (RFC 3986, section 2): no space, no
/// control character, no fragment.
pub fn is_plain(url: &str) -> bool {
    url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte))
}

/// Whether the address has this scheme and leads, on the scheme's own port, to a host within the domain.
///
/// A platform that names an address to connect to is believed this far: what is sent there may carry
/// a token.
pub fn is_within(url: &str, scheme: &str, domain: &str) -> bool {
    let Some(host) = origin_of(url).and_then(|origin| origin.strip_prefix(scheme)?.strip_prefix("://")) else {
        return false;
    };
    let label = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    is_plain(url) && label.is_some_and(|label| !label.is_empty()) && host.bytes().all(plain)
}

/// A part of a path, percent-encoded: all but what RFC 3986 calls unreserved, and a dot too, since two
/// of them alone would climb.
pub fn segment(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            let digits = [byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
            encoded.extend(digits.map(|digit| digit.to_ascii_uppercase()));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_leaves_its_place_in_a_path() {
        assert_eq!(segment("1234567890-A_b~"), "1234567890-A_b~");
        assert_eq!(segment("../?x=1#\r\né"), "%2E%2E%2F%3Fx%3D1%23%0D%0A%C3%A9");
    }

    #[test]
    fn a_domain_has_what_is_below_it_and_nothing_that_only_looks_so() {
        for url in ["wss://a.example.com", "wss://a.b.example.com/x?y=1"] {
            assert!(is_within(url, "wss", "example.com"), "{url}");
        }
        for url in [
            "wss://example.com",
            "wss://.example.com",
            "ws://a.example.com",
            "wss://a.example.com:1",
            "wss://a.example.com.evil.test",
            "wss://evil.test/.example.com",
            "wss://evil.test#.example.com",
            "wss://evil.test\\.example.com",
            "wss://x@evil.test\\@a.example.com",
            "wss://a.example.com/a b",
            "a.example.com",
            "",
        ] {
            assert!(!is_within(url, "wss", "example.com"), "{url}");
        }
    }

    #[test]
    fn an_origin_ends_where_the_host_does() {
        assert_eq!(origin_of("ws://127.0.0.1:9/x"), Some("ws://127.0.0.1:9"));
        assert_eq!(origin_of("https://a?b"), Some("https://a"));
        assert_eq!(origin_of("https://"), None);
        assert_eq!(origin_of("a/b"), None);
    }
}
