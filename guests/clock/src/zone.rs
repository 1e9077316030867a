//! Time zones by name, and a moment as it reads in one of them.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// How many names to propose in place of an unknown one.
const PROPOSALS: usize = 3;

/// The zone of this IANA name, in any case; otherwise a text that proposes names near to it.
pub fn find(name: &str) -> Result<TimeZone, String> {
    let zones = TimeZoneDatabase::bundled();
    zones.get(name).map_err(|_| {
        let near = near(&zones, name);
        let shown: String = name.chars().take(64).collect();
        format!("there is no time zone `{shown}`; near to it are {}", near.join(", "))
    })
}

/// `2026-03-14T15:09:26+01:00, Saturday, in Europe/Berlin (CET)`.
pub fn describe(zone: &TimeZone, now_ms: u64) -> Result<String, String> {
    let now = i64::try_from(now_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .ok_or_else(|| format!("{now_ms} ms after 1970 is beyond the calendar"))?;
    let local = now.to_zoned(zone.clone());
    let name = zone.iana_name().unwrap_or("UTC");
    Ok(local.strftime("%Y-%m-%dT%H:%M:%S%:z, %A, in ").to_string() + &format!("{name} ({})", local.strftime("%Z")))
}

/// The names most like `name`, by the whole or by the city alone: people leave the region out.
fn near(zones: &TimeZoneDatabase, name: &str) -> Vec<String> {
    let wanted = normal(name);
    let mut scored: Vec<(f64, String)> = zones
        .available()
        .map(|zone| {
            let whole = normal(zone.as_str());
            let city = whole.rsplit('/').next().unwrap_or(&whole);
            let score = strsim::jaro_winkler(&wanted, &whole).max(strsim::jaro_winkler(&wanted, city));
            (score, zone.as_str().to_owned())
        })
        .collect();
    scored.sort_by(|(one, a), (other, b)| other.total_cmp(one).then_with(|| a.cmp(b)));
    scored.into_iter().take(PROPOSALS).map(|(_, zone)| zone).collect()
}

fn normal(name: &str) -> String {
    name.chars().take(64).map(|c| if c == ' ' || c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_it_does_on_the_wall() {
        let berlin = find("europe/berlin").unwrap();
        assert_eq!(
            describe(&berlin, 1_773_497_366_000).unwrap(),
            "2026-03-14T15:09:26+01:00, Saturday, in Europe/Berlin (CET)"
        );
        assert_eq!(
            describe(&berlin, 1_790_000_000_000).unwrap(),
            "2026-09-21T16:13:20+02:00, Monday, in Europe/Berlin (CEST)"
        );
        assert_eq!(describe(&find("UTC").unwrap(), 0).unwrap(), "1970-01-01T00:00:00+00:00, Thursday, in UTC (UTC)");
    }

    #[test]
    fn an_unknown_zone_is_refused_with_names_near_to_it() {
        let error = find("Berlin").unwrap_err();
        assert!(error.contains("Europe/Berlin"), "{error}");
        let error = find("America/New York").unwrap_err();
        assert!(error.contains("America/New_York"), "{error}");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_an_error() {
        assert!(describe(&find("UTC").unwrap(), u64::MAX).is_err());
    }
}
