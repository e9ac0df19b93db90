//! The result of a run: rows with bar, measured value, spread and verdict.

pub(crate) mod compare;
pub(crate) mod file;
mod markdown;
mod number;
pub(crate) mod peers;
mod svg;
mod table;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::sample::Spread;

/// The version of the JSON format.
const FORMAT: u32 = 1;

/// Everything that a run measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    format: u32,
    machine: Machine,
    rows: Vec<Row>,
    missing: Vec<Missing>,
    /// Rolecall and other programs, for a table of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<peers::Peer>,
}

/// One measured number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    part: String,
    what: String,
    value: f64,
    unit: String,
    /// The quartiles of the blocks, or the lowest and highest repetition. `None` for a number that is counted once.
    spread: Option<Spread>,
    bar: Option<Bar>,
    /// `None` for information that `--compare` ignores.
    better: Option<Better>,
    /// The name of the row in the chart of times.
    chart: Option<String>,
}

/// The limit of the design.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// What this run could not measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) reason: String,
}

impl Row {
    /// A number for information. `--compare` ignores it.
    pub(crate) fn new(part: &str, what: impl Into<String>, value: f64, unit: &str) -> Self {
        let (part, what, unit) = (part.to_owned(), what.into(), unit.to_owned());
        Self { part, what, value, unit, spread: None, bar: None, better: None, chart: None }
    }

    pub(crate) fn spread(self, spread: Spread) -> Self {
        Self { spread: Some(spread), ..self }
    }

    /// Sets the limit of the design, above which the bar is missed.
    pub(crate) fn at_most(self, bar: f64) -> Self {
        Self { bar: Some(Bar::AtMost(bar)), better: Some(Better::Lower), ..self }
    }

    /// Sets the limit of the design, below which the bar is missed.
    pub(crate) fn at_least(self, bar: f64) -> Self {
        Self { bar: Some(Bar::AtLeast(bar)), better: Some(Better::Higher), ..self }
    }

    /// A number without a bar that `--compare` checks. Suits ratios and counts, which do not depend on the machine's load.
    pub(crate) fn lower_is_better(self) -> Self {
        Self { better: Some(Better::Lower), ..self }
    }

    /// A time with a bar that depends on the machine and its load, and not only on Rolecall. `--compare` ignores it.
    pub(crate) fn not_compared(self) -> Self {
        Self { better: None, ..self }
    }

    /// Shows this time in the chart of times. Its unit is µs.
    pub(crate) fn in_chart(self, name: &str) -> Self {
        assert_eq!(self.unit, "µs", "the chart compares times in µs");
        Self { chart: Some(name.to_owned()), ..self }
    }

    /// Returns by how much the bar is missed, as a share of it. Zero or less if it is met; `None` without a bar.
    fn miss(&self) -> Option<f64> {
        Some(match self.bar? {
            // No share of zero exists: a value of zero meets a bar of zero.
            Bar::AtMost(bar) => (self.value / bar - 1.0).max(-1.0),
            Bar::AtLeast(bar) => 1.0 - self.value / bar,
        })
    }

    /// The bar as it is printed, for example `≤ 0.9`. Empty without a bar.
    fn bar_text(&self) -> String {
        match self.bar {
            Some(Bar::AtMost(bar)) => format!("≤ {}", number::text(bar)),
            Some(Bar::AtLeast(bar)) => format!("≥ {}", number::text(bar)),
            None => String::new(),
        }
    }

    /// The value with its unit.
    fn measured_text(&self) -> String {
        format!("{} {}", number::text(self.value), self.unit).trim_end().to_owned()
    }

    /// The spread as it is printed, for example `1.44–1.49`. Empty without a spread.
    fn spread_text(&self) -> String {
        let range = |Spread { low, high }: Spread| format!("{}–{}", number::text(low), number::text(high));
        self.spread.map(range).unwrap_or_default()
    }

    /// `met`, or by how much the bar is missed. Empty without a bar.
    fn verdict(&self) -> String {
        match self.miss() {
            Some(miss) if miss <= 0.0 => "met".to_owned(),
            Some(miss) => format!("missed by {} %", number::text((miss * 100.0).max(0.1))),
            None => String::new(),
        }
    }
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { format: FORMAT, machine, rows: Vec::new(), missing: Vec::new(), peers: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Records what cannot be measured here, with the reason.
    pub(crate) fn missing(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), reason: reason.into() });
    }

    pub(crate) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_says_by_how_much_a_bar_is_missed() {
        let row = |value| Row::new("client", "time", value, "× /bin/true");
        assert_eq!(row(1.46).at_most(0.9).verdict(), "missed by 62.2 %");
        assert_eq!(row(0.9).at_most(0.9).verdict(), "met");
        assert_eq!(row(0.6).at_least(0.8).verdict(), "missed by 25 %");
        assert_eq!(row(0.9).at_least(0.8).verdict(), "met");
        assert_eq!(row(0.9).verdict(), "");
        assert_eq!(row(0.900_01).at_most(0.9).verdict(), "missed by 0.1 %", "a miss is never printed as 0 %");
        assert_eq!(row(1.0).at_most(0.0).verdict(), "missed by ∞ %");
        assert_eq!(row(0.0).at_most(0.0).verdict(), "met");
    }
}
