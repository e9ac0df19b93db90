//! Output of the measurements: a table, and a JSON file.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::build::workspace;

/// One measured number and its limit.
pub(crate) struct Row {
    pub(crate) part: &'static str,
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) bar: Option<f64>,
}

impl Row {
    pub(crate) fn new(part: &'static str, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { part, what: what.into(), value, unit, bar: None }
    }

    /// Sets the limit of the design.
    pub(crate) fn at_most(self, bar: f64) -> Self {
        Self { bar: Some(bar), ..self }
    }
}

/// Returns the percentile `share` of the runs.
pub(crate) fn percentile(runs: &mut [Duration], share: usize) -> Duration {
    runs.sort_unstable();
    runs[(runs.len() - 1) * share / 100]
}

pub(crate) fn median(runs: &mut [Duration]) -> Duration {
    percentile(runs, 50)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn print(rows: &[Row]) {
    println!("\n{:<8} {:<58} {:>10} {:<14} {:>8}", "part", "what", "value", "unit", "at most");
    for Row { part, what, value, unit, bar } in rows {
        let bar = bar.map(|bar| bar.to_string()).unwrap_or_default();
        println!("{part:<8} {what:<58} {value:>10.2} {unit:<14} {bar:>8}");
    }
}

pub(crate) fn write(rows: &[Row]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| json!({ "part": row.part, "what": row.what, "value": row.value, "unit": row.unit, "bar": row.bar }))
        .collect();
    let path = workspace().join("target/measure.json");
    fs::write(&path, serde_json::Value::from(rows).to_string()).expect("the target folder is writable");
    println!("\nwritten to target/measure.json");
}
