//! The syntax of single values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::{HttpUrl, UrlError};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::config::{MFA_SESSION_RANGE, SESSION_RANGE, duration, template};

/// The limit of `keep_warm`.
const MAX_KEEP_WARM: Duration = Duration::from_hours(7 * 24);
/// The limits of the times in `[lock]`.
const AUTO_LOCK_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(7 * 24);

/// An absolute path.
#[derive(Clone)]
pub(in crate::config) struct AbsolutePath(pub(in crate::config) PathBuf);

/// A duration such as `30min`, from a minute to a week.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct LockTime(pub(in crate::config) Duration);

/// A command line for `sh -c`.
pub(super) struct Command(pub(super) String);

/// A duration such as `12h`, in [`MFA_SESSION_RANGE`].
#[derive(Clone, Copy)]
pub(super) struct MfaDuration(pub(super) Duration);

/// A duration such as `1h` or `45min`, in [`SESSION_RANGE`].
#[derive(Clone, Copy)]
pub(in crate::config) struct SessionDuration(Duration);

/// A duration such as `8h`, up to a week; `0s` turns renewal off.
#[derive(Clone, Copy)]
pub(in crate::config) struct KeepWarm(Duration);

/// An `https` URL.
pub(in crate::config) struct ServerUrl(String);

/// 64 hexadecimal digits.
pub(in crate::config) struct Sha256Hex(pub(in crate::config) String);

impl SessionDuration {
    pub(in crate::config) const fn get(self) -> Duration {
        self.0
    }
}

impl ServerUrl {
    pub(in crate::config) fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeepWarm {
    pub(in crate::config) const fn get(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for SessionDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if SESSION_RANGE.contains(&length) => Ok(Self(length)),
            _ => Err(D::Error::custom("must be from 15min to 12h")),
        }
    }
}

impl<'de> Deserialize<'de> for MfaDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if MFA_SESSION_RANGE.contains(&length) => Ok(Self(length)),
            _ => Err(D::Error::custom("must be from 15min to 36h")),
        }
    }
}

impl<'de> Deserialize<'de> for LockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if AUTO_LOCK_RANGE.contains(&length) => Ok(Self(length)),
            _ => Err(D::Error::custom("must be from a minute (1min) to a week (168h)")),
        }
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.trim() {
            "" => Err(D::Error::custom("must not be empty")),
            _ if text.len() > 4096 || text.contains('\0') => {
                Err(D::Error::custom("must be a command line of at most 4096 bytes without NUL"))
            }
            _ => Ok(Self(text)),
        }
    }
}

impl<'de> Deserialize<'de> for KeepWarm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if length <= MAX_KEEP_WARM => Ok(Self(length)),
            _ => Err(D::Error::custom("must be at most a week (168h)")),
        }
    }
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)? {
            path if Path::new(&path).is_absolute() => Ok(Self(path.into())),
            _ => Err(D::Error::custom("must be an absolute path")),
        }
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match HttpUrl::parse(&text) {
            Ok(url) if !url.is_https() => Err(D::Error::custom(UrlError::Scheme)),
            Ok(_) if text.len() > 2048 => Err(D::Error::custom(UrlError::TooLong)),
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

impl<'de> Deserialize<'de> for Sha256Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        match hex::decode(&text) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(text)),
            _ => Err(D::Error::custom("must be 64 hexadecimal digits")),
        }
    }
}

/// Reads the name of an AWS profile: a text that is valid between the brackets of AWS's INI files.
pub(super) fn aws_profile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "" => Err(D::Error::custom("must not be empty")),
        long if long.len() > 256 => Err(D::Error::custom("must have at most 256 characters")),
        odd if odd.contains(|c: char| c.is_control() || c == '[' || c == ']') => {
            Err(D::Error::custom("must not contain brackets or control characters"))
        }
        _ => Ok(Some(text)),
    }
}

/// Reads a template that gives a valid session name for every user and host.
pub(super) fn session_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match template::check(&text) {
        Ok(()) => Ok(Some(text)),
        Err(error) => Err(D::Error::custom(error)),
    }
}
