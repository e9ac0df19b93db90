//! Compares a run with an earlier one.

use std::fmt::Write as _;

use super::{Better, Report, Row, number};
use crate::sample::Spread;

/// A row that got worse.
struct Regression<'a> {
    before: &'a Row,
    now: &'a Row,
    /// As a share of the value before.
    worse_by: f64,
}

/// The result of a comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) text: String,
    pub(crate) got_worse: bool,
}

impl Report {
    /// Names each row that is worse than in `earlier` by more than `threshold` percent and by more than both spreads. A row
    /// that only one run has is named too, and is no regression.
    pub(crate) fn compare(&self, earlier: &Self, threshold: f64) -> Comparison {
        let (mut text, mut got_worse, mut compared) = (String::new(), false, 0);
        for before in earlier.rows.iter().filter(|row| row.better.is_some()) {
            let Some(now) = self.rows.iter().find(|row| row.is_same_as(before)) else {
                let _ = writeln!(text, "not measured in this run: {}, {}", before.part, before.what);
                continue;
            };
            compared += 1;
            if let Some(regression) = regression(before, now, threshold / 100.0) {
                got_worse = true;
                let _ = writeln!(text, "{}", regression.text());
            }
        }
        for new in self.rows.iter().filter(|row| row.better.is_some()) {
            if !earlier.rows.iter().any(|row| row.is_same_as(new)) {
                let _ = writeln!(text, "not measured in the earlier run: {}, {}", new.part, new.what);
            }
        }
        let verdict = if got_worse { "some rows got worse" } else { "no row got worse" };
        let threshold = number::text(threshold);
        let _ = writeln!(
            text,
            "{compared} rows compared with the run of {}, threshold {threshold} %: {verdict}",
            earlier.machine.date
        );
        Comparison { text, got_worse }
    }
}

impl Row {
    /// Whether both rows measure one quantity, in one unit.
    fn is_same_as(&self, other: &Self) -> bool {
        (&self.part, &self.what, &self.unit) == (&other.part, &other.what, &other.unit)
    }

    fn range(&self) -> Spread {
        self.spread.unwrap_or(Spread { low: self.value, high: self.value })
    }
}

fn regression<'a>(before: &'a Row, now: &'a Row, threshold: f64) -> Option<Regression<'a>> {
    let (worse_by, is_outside_spreads) = match now.better? {
        Better::Lower => (now.value - before.value, now.range().low > before.range().high),
        Better::Higher => (before.value - now.value, now.range().high < before.range().low),
    };
    let worse_by = worse_by / before.value.abs();
    (worse_by > threshold && is_outside_spreads).then_some(Regression { before, now, worse_by })
}

impl Regression<'_> {
    fn text(&self) -> String {
        let Self { before, now, worse_by } = self;
        let value = |row: &Row| match row.spread_text().as_str() {
            "" => row.measured_text(),
            spread => format!("{} ({spread})", row.measured_text()),
        };
        format!(
            "worse by {} %: {}, {}: {} before, {} now",
            number::text(worse_by * 100.0),
            now.part,
            now.what,
            value(before),
            value(now)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    const THRESHOLD: f64 = 10.0;

    fn report(rows: impl IntoIterator<Item = Row>) -> Report {
        let mut report = Report::new(Machine::default());
        rows.into_iter().for_each(|row| report.add(row));
        report
    }

    fn row(value: f64, low: f64, high: f64) -> Row {
        Row::new("client", "time", value, "× /bin/true").spread(Spread { low, high })
    }

    fn gets_worse(before: Row, now: Row) -> bool {
        report([now]).compare(&report([before]), THRESHOLD).got_worse
    }

    #[test]
    fn planted_regression_of_20_percent_is_named() {
        let before = report([row(1.46, 1.44, 1.49).at_most(0.9), Row::new("client", "calls", 50.0, "").at_most(30.0)]);
        let now = report([row(1.75, 1.72, 1.79).at_most(0.9), Row::new("client", "calls", 50.0, "").at_most(30.0)]);
        let comparison = now.compare(&before, THRESHOLD);
        assert!(comparison.got_worse);
        let lines: Vec<&str> = comparison.text.lines().collect();
        assert_eq!(
            lines[0],
            "worse by 19.9 %: client, time: 1.46 × /bin/true (1.44–1.49) before, \
             1.75 × /bin/true (1.72–1.79) now"
        );
        assert!(lines[1].starts_with("2 rows compared"), "{}", comparison.text);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn lower_throughput_is_worse() {
        assert!(gets_worse(row(0.9, 0.88, 0.92).at_least(0.8), row(0.72, 0.70, 0.74).at_least(0.8)));
        assert!(!gets_worse(row(0.72, 0.70, 0.74).at_least(0.8), row(0.9, 0.88, 0.92).at_least(0.8)));
    }

    #[test]
    fn improvement_is_no_regression() {
        assert!(!gets_worse(row(1.46, 1.44, 1.49).at_most(0.9), row(1.0, 0.98, 1.02).at_most(0.9)));
    }

    #[test]
    fn change_within_the_threshold_is_no_regression() {
        assert!(!gets_worse(row(1.00, 1.0, 1.0).at_most(0.9), row(1.09, 1.09, 1.09).at_most(0.9)));
        assert!(gets_worse(row(1.00, 1.0, 1.0).at_most(0.9), row(1.11, 1.11, 1.11).at_most(0.9)));
    }

    #[test]
    fn change_within_the_spreads_is_no_regression() {
        assert!(!gets_worse(row(1.0, 0.8, 1.2).at_most(0.9), row(1.25, 1.15, 1.4).at_most(0.9)));
    }

    #[test]
    fn count_without_a_spread_is_compared() {
        let calls = |value| Row::new("client", "system calls", value, "");
        assert!(gets_worse(calls(30.0).at_most(30.0), calls(36.0).at_most(30.0)));
        assert!(!gets_worse(calls(30.0), calls(36.0)), "information is not compared");
        let time = |value| calls(value).at_most(30.0).not_compared();
        assert!(!gets_worse(time(30.0), time(36.0)), "a time that depends on the machine is not compared");
    }

    #[test]
    fn first_call_after_none_is_worse() {
        let calls = |value| Row::new("cold", "failures", value, "").lower_is_better();
        assert!(gets_worse(calls(0.0), calls(1.0)));
        assert!(!gets_worse(calls(0.0), calls(0.0)));
    }

    #[test]
    fn rows_of_one_run_only_are_named() {
        let before = report([Row::new("peers", "aws", 1.0, "×").lower_is_better()]);
        let now = report([Row::new("scale", "token", 1.0, "×").lower_is_better()]);
        let comparison = now.compare(&before, THRESHOLD);
        assert!(!comparison.got_worse);
        assert!(comparison.text.contains("not measured in this run: peers, aws\n"), "{}", comparison.text);
        assert!(comparison.text.contains("not measured in the earlier run: scale, token\n"), "{}", comparison.text);
    }
}
