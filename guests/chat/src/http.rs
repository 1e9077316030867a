//! Requests to a platform's HTTP API, and what its answers mean for a delivery.

use exoclaw_guest::channel::{Body, Outbound, Outcome, Template, TransportError, text};
use exoclaw_guest::{Error, Response, failed, invalid};
use serde::Serialize;

/// How long a request may take, in milliseconds.
const TIMEOUT_MS: u32 = 30_000;
/// The longest wait for a platform that says nothing of when to come again: ten minutes.
const MAX_BACKOFF_MS: u32 = 600_000;
/// The longest wait that a platform is believed: a day.
const MAX_RETRY_AFTER_MS: u64 = 86_400_000;

/// A JSON document, posted to an address that may hold a secret.
///
/// # Errors
/// The value can't be written as JSON.
pub fn post_json(url: Template, value: &impl Serialize) -> Result<Outbound, Error> {
    Ok(Outbound {
        method: "POST".into(),
        url,
        headers: vec![("content-type".into(), text("application/json"))],
        body: Body::Text(text(serde_json::to_string(value).map_err(failed)?)),
        timeout_ms: TIMEOUT_MS,
    })
}

/// Scheme, host and port of an `http:` or `https:` address from the settings: what `setup.origins` names.
///
/// # Errors
/// It is none, or has more than a path after its host.
pub fn origin(base_url: &str) -> Result<&str, Error> {
    let problem = || invalid(format_args!("`base_url` is no address of the kind https://host/path: {base_url}"));
    let (scheme, rest) = base_url.split_once("://").ok_or_else(problem)?;
    let host = rest.split('/').next().unwrap_or_default();
    let plain = base_url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'\\'));
    if !matches!(scheme, "https" | "http") || host.is_empty() || !plain {
        return Err(problem());
    }
    base_url.get(..scheme.len() + "://".len() + host.len()).ok_or_else(problem)
}

/// A header of an answer.
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| header.value.trim())
}

/// `Retry-After`, in milliseconds from `now`: seconds, with a fraction where a platform writes one,
/// or a date (RFC 9110, section 10.2.3).
pub fn retry_after_ms(response: &Response, now: u64) -> Option<u32> {
    let value = header(response, "retry-after")?;
    let ms = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => (seconds * 1000.0).ceil() as u64,
        Ok(_) => return None,
        Err(_) => http_date(value)?.saturating_sub(now),
    };
    u32::try_from(ms.min(MAX_RETRY_AFTER_MS)).ok()
}

/// An IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7), in milliseconds since the epoch.
fn http_date(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = value.split_once(", ")?;
    let mut words = date.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let mut time = words.next()?.splitn(3, ':').map(|number| number.parse::<u64>().ok().filter(|n| *n < 61));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if words.next() != Some("GMT") || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    // Days since the epoch, with years that begin in March, so that a leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// What the outcome of a request means, before the platform's own words are read.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// 2xx.
    Done(&'a Response),
    /// 429: nothing was done. After so many milliseconds, where it says.
    Limited(&'a Response, Option<u32>),
    /// Nothing reached the platform, or it said so: the same request may go again.
    NotDone(String),
    /// It may have been done: no answer, or a 5xx.
    Unknown(String),
    /// Any other status: the same request will not do.
    Refused(&'a Response),
}

/// Reads an outcome by HTTP's own rules.
pub fn verdict(outcome: &Outcome, now: u64) -> Verdict<'_> {
    match outcome {
        Ok(response @ Response { status: 200..=299, .. }) => Verdict::Done(response),
        Ok(response @ Response { status: 429, .. }) => Verdict::Limited(response, retry_after_ms(response, now)),
        Ok(Response { status: 408, .. }) => Verdict::NotDone("the platform did not get all of the request".into()),
        Ok(Response { status: status @ 500.., .. }) => Verdict::Unknown(format!("the platform answered with {status}")),
        Ok(response) => Verdict::Refused(response),
        Err(TransportError::NotSent(why)) => Verdict::NotDone(why.clone()),
        Err(TransportError::Unanswered(why)) => Verdict::Unknown(why.clone()),
    }
}

/// A wait before the next try, in milliseconds: a second, doubled with each, to ten minutes; between
/// half and all of it, by chance, so that many do not come at once.
pub fn backoff_ms(tries: u32, random: u64) -> u32 {
    let full = 1_000u32.saturating_mul(1 << tries.min(16)).min(MAX_BACKOFF_MS);
    let half = full / 2;
    half + u32::try_from(random % u64::from(half)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use exoclaw_guest::Header;

    use super::*;

    fn answer(retry_after: &str) -> Response {
        let header = Header { name: "Retry-After".into(), value: retry_after.into() };
        Response { status: 429, headers: vec![header], body: vec![] }
    }

    #[test]
    fn an_origin_is_what_stands_before_the_path() {
        assert_eq!(origin("https://api.telegram.org").unwrap(), "https://api.telegram.org");
        assert_eq!(origin("http://127.0.0.1:8081/api/v10").unwrap(), "http://127.0.0.1:8081");
        for wrong in ["api.telegram.org", "ftp://a", "https://", "https://a@b", "https://a?b", "https://a b"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 1994-11-06T08:49:37Z, the example of RFC 9110.
        let then = 784_111_777_000;
        assert_eq!(retry_after_ms(&answer("3"), 0), Some(3_000));
        assert_eq!(retry_after_ms(&answer("0.35"), 0), Some(350));
        assert_eq!(retry_after_ms(&answer("Sun, 06 Nov 1994 08:49:37 GMT"), then - 1_500), Some(1_500));
        assert_eq!(retry_after_ms(&answer("Sun, 06 Nov 1994 08:49:37 GMT"), then + 1), Some(0));
        assert_eq!(retry_after_ms(&answer("99999999999"), 0), Some(86_400_000));
        for wrong in ["-1", "soon", "NaN", "", "Sun, 06 Nov 1994 8:49", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(retry_after_ms(&answer(wrong), 0), None, "{wrong}");
        }
    }

    #[test]
    fn waits_grow_and_end_somewhere() {
        assert!((500..1_000).contains(&backoff_ms(0, 77)));
        assert!((2_000..4_000).contains(&backoff_ms(2, u64::MAX)));
        assert!((300_000..600_000).contains(&backoff_ms(u32::MAX, 5)));
    }
}
