//! Durations as the configuration writes them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// Reads a duration such as `"1h"` or `"1h 30min"`. Errors with an example where the text is no duration or is negative.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
    parsed.ok_or_else(|| D::Error::custom("must be a duration such as \"1h\" or \"45min\""))
}
