//! Days and moments in the owner's time zone, as questions about usage name them.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};

use crate::store::Timestamp;

/// The most days that one question is about: ten years.
const MAX_DAYS: usize = 3_660;

/// Why a moment cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// It is none of the forms.
    #[error("`{0}` is no moment: a day as `2026-11-01`, how long ago as `30m`, `12h`, `7d` or `4w`, or milliseconds")]
    Form(String),
    /// It is beyond what a calendar holds.
    #[error("`{0}` is not within the years that can be asked for")]
    Range(String),
    /// The days between two moments are too many.
    #[error("there are more than {MAX_DAYS} days in between; ask for fewer, or by something else than days")]
    Days,
}

/// Reads a moment: the beginning of a day in the zone (`2026-11-01`), so long ago (`90m`, `12h`, `7d`, `4w`), or
/// milliseconds since the Unix epoch. Days and weeks ago begin at midnight, so that a list of days has none in pieces.
///
/// # Errors
/// It has another form, or is out of range.
pub fn moment(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, WhenError> {
    let shown = || crate::text::one_line(text, 40);
    if let Ok(millis) = text.parse::<u64>() {
        return local(Timestamp(millis), zone).map(|_| Timestamp(millis)).ok_or_else(|| WhenError::Range(shown()));
    }
    if let Ok(date) = text.parse::<Date>() {
        return midnight(date, zone).ok_or_else(|| WhenError::Range(shown()));
    }
    let split = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at));
    let (number, unit) = split.map(|at| text.split_at(at)).ok_or_else(|| WhenError::Form(shown()))?;
    let number: u32 = number.parse().map_err(|_| WhenError::Form(shown()))?;
    let found = match unit {
        "m" => Some(before(now, Duration::from_secs(60) * number)),
        "h" => Some(before(now, Duration::from_secs(60 * 60) * number)),
        // Today counts: one day is since the last midnight.
        "d" => days_ago(now, number.saturating_sub(1), zone),
        "w" => days_ago(now, number.saturating_mul(7).saturating_sub(1), zone),
        _ => return Err(WhenError::Form(shown())),
    };
    found.ok_or_else(|| WhenError::Range(shown()))
}

/// The beginnings of the days that hold what is between two moments, and the beginning of the day behind them.
///
/// # Errors
/// [`WhenError::Days`], or a moment is out of range.
pub fn days(from: Timestamp, until: Timestamp, zone: &TimeZone) -> Result<Vec<Timestamp>, WhenError> {
    let range = |at: Timestamp| WhenError::Range(at.0.to_string());
    let mut date = local(from, zone).ok_or_else(|| range(from))?.date();
    let mut days = Vec::new();
    loop {
        let start = midnight(date, zone).ok_or_else(|| range(until))?;
        days.push(start);
        if start >= until && days.len() > 1 {
            return Ok(days);
        }
        if days.len() > MAX_DAYS {
            return Err(WhenError::Days);
        }
        date = date.tomorrow().map_err(|_| range(until))?;
    }
}

/// The day in which a moment is, as `2026-11-01`.
#[must_use]
pub fn day(at: Timestamp, zone: &TimeZone) -> String {
    local(at, zone).map_or_else(|| at.0.to_string(), |local| local.date().to_string())
}

fn local(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let millis = i64::try_from(at.0).ok()?;
    Some(jiff::Timestamp::from_millisecond(millis).ok()?.to_zoned(zone.clone()))
}

/// The first moment of a day: midnight, or where the clocks leave that out, the first after it.
fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = date.to_zoned(zone.clone()).ok()?;
    u64::try_from(start.timestamp().as_millisecond()).ok().map(Timestamp)
}

fn days_ago(now: Timestamp, days: u32, zone: &TimeZone) -> Option<Timestamp> {
    let today = local(now, zone)?.date();
    let days = Span::new().try_days(i64::from(days)).ok()?;
    midnight(today.checked_sub(days).ok()?, zone)
}

fn before(now: Timestamp, length: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 22 November 2026, 23:30 UTC: the 23rd in Berlin.
    const NOW: Timestamp = Timestamp(1_795_390_200_000);
    const HOUR: u64 = 60 * 60 * 1000;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    #[test]
    fn a_day_begins_at_midnight_in_the_owners_zone() {
        let at = |text| moment(text, &berlin(), NOW).unwrap();
        assert_eq!(day(NOW, &berlin()), "2026-11-23");
        assert_eq!(at("2026-11-23"), Timestamp(NOW.0 - HOUR / 2));
        assert_eq!(at("1d"), at("2026-11-23"));
        assert_eq!(at("7d"), at("2026-11-17"));
        assert_eq!(at("1w"), at("7d"));
        assert_eq!(at("12h"), Timestamp(NOW.0 - 12 * HOUR));
        assert_eq!(at("1795390200000"), NOW);
    }

    #[test]
    fn a_day_on_which_the_clocks_change_is_longer_or_shorter() {
        let at = |text| moment(text, &berlin(), NOW).unwrap();
        let days = days(at("2026-10-24"), at("2026-10-27"), &berlin()).unwrap();
        let hours: Vec<_> = days.windows(2).map(|day| (day[1].0 - day[0].0) / HOUR).collect();
        assert_eq!(hours, [24, 25, 24]);
    }

    #[test]
    fn what_is_no_moment_is_said_to_be_none() {
        for text in ["", "d", "7", "-1d", "7y", "2026-13-01", "yesterday", "1e3", "é", "99999999999999999999"] {
            let read = moment(text, &berlin(), NOW);
            assert!(text == "7" && read.is_ok() || read.is_err(), "{text}: {read:?}");
        }
        assert_eq!(days(Timestamp(24 * HOUR), NOW, &berlin()), Err(WhenError::Days));
        assert!(moment("4294967295d", &berlin(), NOW).is_err());
    }
}
