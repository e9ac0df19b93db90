//! `[notifications]`: what a person is told unasked.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::duration;

/// Nobody wants to hear of it longer before.
const MAX_WARN_BEFORE: Duration = Duration::from_hours(24);

/// What a person is told unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notifications {
    /// Whether the desktop is told of logins at all.
    pub login: bool,
    /// How long before its end a login that nobody renews is warned of; never, if that is zero.
    pub warn_before: Duration,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { login: true, warn_before: Duration::from_mins(15) }
    }
}

/// As it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    login: Option<bool>,
    early: Option<EarlyTime>,
}

/// A duration such as `15min`, up to a day.
#[derive(Clone, Copy)]
struct EarlyTime(Duration);

impl RawNotifications {
    /// With what is not said filled in.
    pub(super) fn filled(&self) -> Notifications {
        let usual = Notifications::default();
        Notifications {
            login: self.login.unwrap_or(usual.login),
            warn_before: self.early.map_or(usual.warn_before, |early| early.0),
        }
    }
}

impl<'de> Deserialize<'de> for EarlyTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            early if early <= MAX_WARN_BEFORE => Ok(Self(early)),
            _ => Err(D::Error::custom("may be a day (24h) at most; 0s is never")),
        }
    }
}
