//! When a budget begins anew: at midnights of the owner's time zone.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::store::Timestamp;

/// How long a budget runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// `daily`, `monthly`, `total`: as the config names the limit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "daily",
            Self::Month => "monthly",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A piece of time: from its first millisecond until before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first millisecond.
    pub from: Timestamp,
    /// The first millisecond after it; absent where it does not end.
    pub until: Option<Timestamp>,
}

impl Span {
    /// All time.
    pub const ALL: Self = Self { from: Timestamp(0), until: None };

    /// Whether a moment is in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && !self.is_over(at)
    }

    /// Whether it has ended by then.
    #[must_use]
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }
}

/// The days and months of a time zone. Remembers the last ones, since nearly every question is about those.
#[derive(Debug)]
pub(super) struct Calendar {
    zone: TimeZone,
    day: Option<Span>,
    month: Option<Span>,
}

impl Calendar {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, day: None, month: None }
    }

    /// The day, month or all of time that a moment is in.
    pub(super) fn span(&mut self, period: Period, at: Timestamp) -> Span {
        let (last, find): (_, fn(&TimeZone, Timestamp) -> Option<Span>) = match period {
            Period::Day => (&mut self.day, day),
            Period::Month => (&mut self.month, month),
            Period::Total => return Span::ALL,
        };
        match *last {
            Some(span) if span.contains(at) => span,
            // Only moments thousands of years away have none.
            _ => *last.insert(find(&self.zone, at).unwrap_or(Span::ALL)),
        }
    }
}

fn day(zone: &TimeZone, at: Timestamp) -> Option<Span> {
    let day = date(zone, at)?;
    Some(Span { from: midnight(zone, day)?, until: Some(midnight(zone, day.tomorrow().ok()?)?) })
}

fn month(zone: &TimeZone, at: Timestamp) -> Option<Span> {
    let day = date(zone, at)?;
    let next = day.last_of_month().tomorrow().ok()?;
    Some(Span { from: midnight(zone, day.first_of_month())?, until: Some(midnight(zone, next)?) })
}

fn date(zone: &TimeZone, at: Timestamp) -> Option<Date> {
    let moment = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    Some(zone.to_datetime(moment).date())
}

/// The first moment of a day, which is not 00:00 where clocks are put forward then.
fn midnight(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    let first = day.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    // What began before 1970 began long enough ago.
    Some(Timestamp(u64::try_from(first.timestamp().as_millisecond()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp(u64::try_from(moment.as_millisecond()).expect("after 1970"))
    }

    fn span(zone: &str, period: Period, moment: &str) -> (String, String) {
        let mut calendar = Calendar::new(TimeZone::get(zone).expect("a zone"));
        let span = calendar.span(period, at(moment));
        let show = |time: Timestamp| {
            jiff::Timestamp::from_millisecond(i64::try_from(time.0).expect("small")).expect("a moment").to_string()
        };
        (show(span.from), show(span.until.expect("an end")))
    }

    fn is(span: (String, String), from: &str, until: &str) {
        assert_eq!((span.0.as_str(), span.1.as_str()), (from, until));
    }

    #[test]
    fn a_day_is_as_long_as_the_clocks_make_it() {
        // Clocks go forward on 29 March 2026 and back on 25 October: 23 and 25 hours.
        let day = |moment| span("Europe/Berlin", Period::Day, moment);
        is(day("2026-03-29T12:00:00Z"), "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        is(day("2026-10-25T00:30:00Z"), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        is(day("2026-10-25T22:59:59.999Z"), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        is(day("2026-10-25T23:00:00Z"), "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z");
    }

    #[test]
    fn a_day_without_a_midnight_begins_when_it_begins() {
        // In Chile, clocks go from 24:00 to 01:00 on the first Sunday of September.
        let day = |moment| span("America/Santiago", Period::Day, moment);
        is(day("2026-09-06T12:00:00Z"), "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z");
        is(day("2026-09-06T03:59:59Z"), "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z");
    }

    #[test]
    fn an_hour_that_comes_twice_belongs_to_one_day_each_time() {
        // In Chile, clocks go back from 24:00 to 23:00 on the first Sunday of April: that Saturday has 25 hours.
        let day = |moment| span("America/Santiago", Period::Day, moment);
        is(day("2026-04-05T02:30:00Z"), "2026-04-04T03:00:00Z", "2026-04-05T04:00:00Z");
        is(day("2026-04-05T03:30:00Z"), "2026-04-04T03:00:00Z", "2026-04-05T04:00:00Z");
        // In Cuba, from 01:00 to 00:00: the day begins at the first of the two midnights.
        let day = |moment| span("America/Havana", Period::Day, moment);
        is(day("2024-11-03T05:30:00Z"), "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
    }

    #[test]
    fn months_begin_at_the_zones_midnight_whatever_their_length() {
        let month = |moment| span("Asia/Kolkata", Period::Month, moment);
        is(month("2028-02-29T00:00:00Z"), "2028-01-31T18:30:00Z", "2028-02-29T18:30:00Z");
        is(month("2026-12-31T18:29:59Z"), "2026-11-30T18:30:00Z", "2026-12-31T18:30:00Z");
        is(month("2026-12-31T18:30:00Z"), "2026-12-31T18:30:00Z", "2027-01-31T18:30:00Z");
    }

    #[test]
    fn what_is_remembered_is_not_told_of_another_time() {
        let mut calendar = Calendar::new(TimeZone::get("Europe/Berlin").expect("a zone"));
        for moment in ["2026-03-28T23:00:00Z", "2026-03-28T22:59:59.999Z", "2026-03-29T22:00:00Z"] {
            let span = calendar.span(Period::Day, at(moment));
            assert!(span.contains(at(moment)), "{moment}: {span:?}");
        }
        // The clock may be of any time at all.
        for time in [0, 1, u64::MAX, 253_402_300_799_999] {
            assert!(calendar.span(Period::Month, Timestamp(time)).contains(Timestamp(time)));
        }
    }
}
