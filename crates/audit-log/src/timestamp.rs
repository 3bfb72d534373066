//! The time of an entry.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 9999-12-31T23:59:59.999999Z, the last time that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999_999;

/// Microseconds since 1970-01-01T00:00:00Z, written as `2026-11-22T15:00:00.123456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The wall clock; what lies outside the years 1970 to 9999 becomes the nearest of them.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::from_micros(since.as_micros().try_into().unwrap_or(LAST))
    }

    /// A time `micros` microseconds after 1970 began, or the end of the year 9999.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(if micros < LAST { micros } else { LAST })
    }

    /// Microseconds since 1970 began.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(self.0);
        fmt::Display::fmt(&humantime::format_rfc3339_micros(time), f)
    }
}

/// The text is not a time in the one form that the trail uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 2026-11-22T15:00:00.123456Z")]
pub struct ParseTimestampError;

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = humantime::parse_rfc3339(text).map_err(|_| ParseTimestampError)?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| ParseTimestampError)?;
        let micros = since.as_micros().try_into().map_err(|_| ParseTimestampError)?;
        // humantime reads more forms (another precision, 60 seconds) than it writes.
        let parsed = Self::from_micros(micros);
        if parsed.to_string() == text { Ok(parsed) } else { Err(ParseTimestampError) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::entry::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_what_it_writes_and_nothing_else() {
        for micros in [0, 1, 1_795_359_600_123_456, LAST, u64::MAX] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for bad in [
            "",
            "2026-11-22T15:00:00Z",
            "2026-11-22T15:00:00.123Z",
            "2026-11-22T15:00:00.123456",
            "2026-11-22T15:00:00.123456789Z",
            "2026-11-22T15:00:60.123456Z",
            "2026-11-22 15:00:00.123456Z",
            "2026-02-30T15:00:00.123456Z",
            "1969-12-31T23:59:59.000000Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(ParseTimestampError), "{bad}");
        }
    }
}
