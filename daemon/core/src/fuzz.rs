//! The fuzz target of this crate: a function that panics if a property does not hold for an input. `tests/fuzz` runs it with
//! libFuzzer, and the test below runs it on the seeds and on mutations.

// A property that does not hold is a panic.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::path::Path;

use crate::config::Config;

/// A word that stands for a secret in the seeds.
const SECRET: &str = "c4n4ry/+";

/// A configuration. Reading it section by section gives the same result as reading it as a whole. An error is one line and
/// quotes nothing of the text.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let path = Path::new("config.toml");
    let by_section = Config::parse_by_section(path, text);
    match (Config::parse_whole(path, text), by_section) {
        (Ok((whole, _)), Ok((by_section, _))) => assert_eq!(whole, by_section),
        (Err(error), Ok(_)) => panic!("read by section, but: {error}"),
        (whole, Err(by_section)) => {
            for error in whole.err().into_iter().chain([by_section]) {
                let shown = error.to_string();
                assert!(!shown.chars().any(char::is_control), "{shown:?}");
                assert!(!shown.contains(SECRET), "{shown}");
                assert!(shown.len() < 1024, "{shown}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// Fault matrix row 90.
    #[test]
    fn configuration_of_any_bytes() {
        rolecall_mutator::run("configuration", 1_000, super::configuration);
    }
}
