//! The keys of `[defaults]` and of a profile for constraints.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::constraints::{AllowedHours, Confirm, Constraints};

/// The constraints as one table has them.
pub(in crate::config) struct RawConstraints {
    pub(super) max_lifetime: Option<Duration>,
    pub(super) confirm: Option<Confirm>,
    pub(super) allowed_programs: Option<Vec<PathBuf>>,
    pub(super) allowed_hours: Option<AllowedHours>,
}

/// One period, or an array of them.
#[derive(Clone)]
pub(in crate::config) struct RawHours(pub(super) AllowedHours);

impl RawConstraints {
    /// Fills in the defaults. Returns `None` if there are no constraints, as for most profiles. Errors with a key and a message.
    pub(in crate::config) fn or(self, defaults: Self) -> Result<Option<Constraints>, (&'static str, String)> {
        let constraints = Constraints {
            max_lifetime: self.max_lifetime.or(defaults.max_lifetime),
            confirm: self.confirm.or(defaults.confirm).unwrap_or_default(),
            allowed_programs: self.allowed_programs.or(defaults.allowed_programs),
            allowed_hours: self.allowed_hours.or(defaults.allowed_hours),
        };
        if constraints.allowed_programs.as_ref().is_some_and(Vec::is_empty) {
            return Err(("allowed_programs", "must name a program".to_owned()));
        }
        Ok((constraints != Constraints::default()).then_some(constraints))
    }
}

impl<'de> Deserialize<'de> for RawHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Periods)
    }
}

struct Periods;

impl<'de> Visitor<'de> for Periods {
    type Value = RawHours;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a period such as \"Mo-Fr 08:00-19:00\", or an array of periods")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawHours, E> {
        hours(&[text])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut periods: A) -> Result<RawHours, A::Error> {
        let mut all: Vec<String> = Vec::new();
        while let Some(period) = periods.next_element()? {
            all.push(period);
        }
        hours(&all)
    }
}

fn hours<E: Error>(periods: &[impl AsRef<str>]) -> Result<RawHours, E> {
    let message = "must be periods such as \"Mo-Fr 08:00-19:00\" or \"Sa,Su 22:00-06:00\"";
    AllowedHours::parse(periods).map(RawHours).ok_or_else(|| E::custom(message))
}
