//! `[notifications]`: the desktop notifications.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::duration;

/// The longest time before its expiry at which a login is warned of.
const MAX_WARN_BEFORE: Duration = Duration::from_hours(24);

/// The desktop notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notifications {
    /// Whether logins cause notifications.
    pub login: bool,
    /// Whether a cluster that rejects a profile (401) causes a notification.
    pub unauthorized: bool,
    /// How long before its expiry a login is warned of; zero turns the warning off.
    pub warn_before: Duration,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { login: true, unauthorized: true, warn_before: Duration::from_mins(15) }
    }
}

/// `[notifications]` as the file has it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    login: Option<bool>,
    unauthorized: Option<bool>,
    early: Option<EarlyTime>,
}

/// A duration such as `15min`, up to a day.
#[derive(Clone, Copy)]
struct EarlyTime(Duration);

impl RawNotifications {
    /// Returns the values with the defaults filled in.
    pub(super) fn with_defaults(&self) -> Notifications {
        let defaults = Notifications::default();
        Notifications {
            login: self.login.unwrap_or(defaults.login),
            unauthorized: self.unauthorized.unwrap_or(defaults.unauthorized),
            warn_before: self.early.map_or(defaults.warn_before, |warn_before| warn_before.0),
        }
    }
}

impl<'de> Deserialize<'de> for EarlyTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            early if early <= MAX_WARN_BEFORE => Ok(Self(early)),
            _ => Err(D::Error::custom("must be at most a day (24h); 0s turns it off")),
        }
    }
}
