//! Times as the API writes them (RFC 3339), and as users read them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Days before the expiry from which on `status` warns.
pub(super) const WARNING_DAYS: i64 = 30;

/// The time by the clock of this computer.
#[expect(clippy::disallowed_methods, reason = "expiry and grace periods are a matter of the calendar")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// The seconds since 1970.
pub(super) fn seconds() -> i64 {
    let passed = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
}

/// Reads a time, in seconds since 1970.
pub(super) fn parse(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// Writes a time, given in seconds since 1970, in whole seconds and UTC.
pub(super) fn format(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// The whole days from now to a time; negative where it has passed.
pub(super) fn days_until(seconds: i64) -> i64 {
    seconds.saturating_sub(self::seconds()).div_euclid(24 * 60 * 60)
}

/// Reads a length of time as Go writes it (`8760h`, `1h30m`), with days (`90d`) beside that. `0` is none.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let unit = behind.chars().next()?;
        let seconds = match unit {
            's' => 1,
            'm' if !behind.starts_with("ms") => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = behind.strip_prefix(unit)?;
    }
    (!text.is_empty()).then(|| Duration::from_secs(total))
}

/// The length of time as the API takes it for a service token: hours where it is whole hours.
pub(super) fn as_api_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_hours_minutes_days_or_nothing() {
        for (text, expected) in [
            ("24h", Some(86_400)),
            ("0", Some(0)),
            ("1h30m", Some(5_400)),
            ("7d", Some(604_800)),
            ("10s", Some(10)),
            ("", None),
            ("h", None),
            ("5", None),
            ("5ms", None),
            ("-5h", None),
            ("99999999999999999999h", None),
            ("5hours", None),
        ] {
            assert_eq!(duration(text).map(|duration| duration.as_secs()), expected, "{text}");
        }
        assert_eq!(as_api_duration(Duration::from_secs(90 * 86_400)), "2160h");
        assert_eq!(as_api_duration(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(parse("2014-01-01T05:20:00.12345Z"), Some(1_388_553_600));
        assert_eq!(format(1_388_553_600), "2014-01-01T05:20:00Z");
        assert_eq!(parse("tomorrow"), None);
    }
}
