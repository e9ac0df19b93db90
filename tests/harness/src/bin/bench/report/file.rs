//! A report as a JSON file.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::{FORMAT, Report};

impl Report {
    /// Reads the report of an earlier run.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let report: Self = serde_json::from_str(&text)
            .map_err(|error| format!("{} is no result of cargo measure: {error}", path.display()))?;
        if report.format != FORMAT {
            return Err(format!("{} has format {}, this program reads {FORMAT}", path.display(), report.format));
        }
        Ok(report)
    }

    pub(crate) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has no map with other keys than strings");
        text.push('\n');
        text
    }
}

/// Writes an output file, or standard output for `-`.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    if path == Path::new("-") {
        return std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"));
    }
    // The next to the target, so that a run that is interrupted leaves the last complete file.
    let draft = path.with_added_extension("new");
    let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, path));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;
    use crate::machine::Machine;
    use crate::sample::Spread;

    #[test]
    fn report_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measure.json");
        let mut report = Report::new(Machine::default());
        report.add(Row::new("client", "time", 1.5, "× /bin/true").at_most(0.9).spread(Spread { low: 1.4, high: 1.6 }));
        report.add(Row::new("daemon", "rate", 0.7, "×").at_least(0.8));
        report.missing("system calls", "strace is not on PATH");
        write(&path, &report.json()).unwrap();
        assert_eq!(Report::read(&path).unwrap().json(), report.json());
    }

    #[test]
    fn file_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.json");
        for (text, problem) in [("[]", "is no result of cargo measure"), ("{}", "is no result of cargo measure")] {
            fs::write(&path, text).unwrap();
            assert!(Report::read(&path).unwrap_err().contains(problem), "{text}");
        }
        let newer = Report { format: FORMAT + 1, ..Report::new(Machine::default()) };
        write(&path, &newer.json()).unwrap();
        assert!(Report::read(&path).unwrap_err().contains("has format 2, this program reads 1"));
        assert!(Report::read(&folder.path().join("absent")).unwrap_err().starts_with("cannot read "));
    }
}
