//! Rates of STS calls, and the bars of the design.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;

use crate::{DAY, Fleet, MINUTE, OUTAGE, Traffic, Usage};

/// Before lunch.
const MORNING: Range<Duration> = Duration::ZERO..Duration::from_hours(3);
/// The time in which laptops wake up, and the renewals that follow.
const WAKE: Range<Duration> = Duration::from_hours(4)..Duration::from_mins(4 * 60 + 30);
/// The time whose mean rate is the steady one: the hour before the outage.
const STEADY: Range<Duration> = Duration::from_hours(5)..OUTAGE.start;
/// The time after the outage.
const AFTER: Range<Duration> = OUTAGE.end..DAY;

/// A measured number with Rolecall and with the AWS CLI.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// With Rolecall.
    pub rolecall: f64,
    /// With the AWS CLI, where it has the number.
    pub aws_cli: Option<f64>,
    /// The limit for Rolecall, if the design has one.
    pub at_most: Option<f64>,
}

/// The numbers of a fleet.
#[derive(Debug)]
pub struct Report {
    /// The model in words.
    pub model: String,
    /// The numbers.
    pub rows: Vec<Row>,
}

impl Row {
    fn new(what: &'static str, unit: &'static str, rolecall: f64, aws_cli: impl Into<Option<f64>>) -> Self {
        Self { what, unit, rolecall, aws_cli: aws_cli.into(), at_most: None }
    }

    fn at_most(self, limit: f64) -> Self {
        Self { at_most: Some(limit), ..self }
    }

    /// Whether the limit holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.at_most.is_none_or(|limit| self.rolecall <= limit)
    }
}

impl Report {
    /// Returns the numbers of a fleet. Peaks are the highest rate within `window`.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // numbers of calls, far below 2^52
    pub fn new(fleet: &Fleet, window: Duration) -> Self {
        let both = [&fleet.rolecall, &fleet.aws_cli];
        let steady = both.map(|traffic| rate(traffic, STEADY));
        let peaks = |time: Range<Duration>| {
            let [rolecall, aws_cli] = both.map(|traffic| peak(traffic, time.clone(), window));
            [rolecall / steady[0], aws_cli / steady[1]]
        };
        let calls = both.map(|traffic| traffic.calls.len() as f64);
        let per = |number: f64| calls.map(|calls| calls / number);
        let row = |what, unit, [rolecall, aws_cli]: [f64; 2]| Row::new(what, unit, rolecall, aws_cli);
        let half_hours = DAY.as_secs_f64() / 1800.0;
        let [morning, wake, outage, after] = [MORNING, WAKE, OUTAGE, AFTER].map(peaks);
        let peak_second = both.map(|traffic| peak(traffic, AFTER, Duration::from_secs(1)));
        let rows = vec![
            row("STS calls per laptop and hour", "calls", per(fleet.laptops as f64 * DAY.as_secs_f64() / 3600.0)),
            row("STS calls per used role and half hour", "calls", per(fleet.used_roles as f64 * half_hours))
                .at_most(1.0),
            row(
                "STS calls per used role and half hour awake since its first use",
                "calls",
                per(fleet.awake_half_hours),
            ),
            row("steady rate of STS calls: mean of the hour before the outage", "calls/s", steady),
            row("peak of STS calls in the morning", "× steady", morning),
            row("peak of STS calls after lunch", "× steady", wake).at_most(2.0),
            row("peak of STS calls during the outage", "× steady", outage),
            row("peak of STS calls after the outage", "× steady", after).at_most(2.0),
            row("most STS calls in a second after the outage", "calls", peak_second),
            row("failed kubectl runs", "runs", both.map(|traffic| traffic.failures.len() as f64)),
            row("failed kubectl runs after the outage", "runs", both.map(failures_after)),
            Row::new(
                "failed kubectl runs at the first use of a role",
                "runs",
                fleet.rolecall.first_use_failures as f64,
                None,
            ),
            Row::new(
                "failed kubectl runs while a session was valid",
                "runs",
                fleet.rolecall.avoidable_failures as f64,
                None,
            )
            .at_most(0.0),
        ];
        let model = format!(
            "{} laptops, {} h; {}; STS answers after {} ms and fails with internal errors from {} h {} min for {} min; \
             peaks: highest rate within {} s; {} kubectl runs",
            fleet.laptops,
            DAY.as_secs() / 3600,
            Usage::description(),
            crate::LATENCY.as_millis(),
            OUTAGE.start.as_secs() / 3600,
            OUTAGE.start.as_secs() / 60 % 60,
            OUTAGE.end.saturating_sub(OUTAGE.start).as_secs() / 60,
            window.as_secs(),
            fleet.rolecall.runs,
        );
        Self { model, rows }
    }

    /// Returns the numbers as JSON, for `cargo measure`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "what": row.what, "unit": row.unit, "rolecall": row.rolecall, "aws_cli": row.aws_cli,
                    "at_most": row.at_most,
                })
            })
            .collect();
        json!({ "model": self.model, "rows": rows }).to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.model)?;
        writeln!(f, "{:<64} {:>10} {:>10} {:<9} {:>8}", "", "Rolecall", "AWS CLI", "", "at most")?;
        for row in &self.rows {
            let aws_cli = row.aws_cli.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
            let limit = row.at_most.map(|limit| limit.to_string()).unwrap_or_default();
            let verdict = if row.holds() { "" } else { "  missed" };
            let Row { what, unit, rolecall, .. } = row;
            writeln!(f, "{what:<64} {rolecall:>10.2} {aws_cli:>10} {unit:<9} {limit:>8}{verdict}")?;
        }
        Ok(())
    }
}

/// Returns the mean number of calls per second.
#[allow(clippy::cast_precision_loss)]
fn rate(traffic: &Traffic, time: Range<Duration>) -> f64 {
    traffic.calls.iter().filter(|call| time.contains(&call.at)).count() as f64
        / time.end.saturating_sub(time.start).as_secs_f64()
}

/// Returns the highest number of calls per second within a window that starts at a multiple of its length.
fn peak(traffic: &Traffic, time: Range<Duration>, window: Duration) -> f64 {
    let window = window.max(Duration::from_secs(1)).as_secs();
    let mut counts =
        vec![0_u32; usize::try_from(time.end.saturating_sub(time.start).as_secs().div_ceil(window)).unwrap()];
    for call in traffic.calls.iter().filter(|call| time.contains(&call.at)) {
        counts[usize::try_from(call.at.saturating_sub(time.start).as_secs() / window).unwrap()] += 1;
    }
    f64::from(counts.into_iter().max().unwrap_or_default()) / Duration::from_secs(window).as_secs_f64()
}

#[allow(clippy::cast_precision_loss)]
fn failures_after(traffic: &Traffic) -> f64 {
    traffic.failures.iter().filter(|at| **at >= OUTAGE.end).count() as f64
}

impl Fleet {
    /// Returns the window of peaks: a minute, and more for a small fleet, whose few calls vary more.
    #[must_use]
    pub const fn window(&self) -> Duration {
        if self.laptops < 3_000 { Duration::from_mins(5) } else { MINUTE }
    }
}
