//! Runs a fuzz target on a stable toolchain.
//!
//! A fuzz target is one function `fn(&[u8])` that panics if a property does not hold. [`run`] calls it with each seed of
//! `tests/fuzz/seeds/TARGET` and then with mutations of the seeds. The same number of cases gives the same inputs on every
//! machine. `tests/fuzz` runs the same functions with libFuzzer, which needs a nightly toolchain.
//!
//! | variable | meaning |
//! |---|---|
//! | `ROLECALL_TEST_FUZZ_CASES` | the number of mutations per target, instead of the target's own |
//! | `ROLECALL_TEST_FUZZ_START` | the start of the random sequence, so that a further run tries other inputs |

// A harness panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mutation;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use mutation::Mutator;

/// Attempts to make a failing input shorter.
const MAX_SHRINK_ATTEMPTS: usize = 2_000;

/// Calls `check` with the seeds of a target and with `cases` mutations of them.
///
/// Before each call the input is written to `target/fuzz/TARGET.input`, so that it is known after a stack overflow or a
/// hang, too.
///
/// # Panics
/// If `check` panics. The message names a file with a short failing input.
pub fn run(target: &str, cases: u64, check: impl Fn(&[u8])) {
    let folder = root().join("target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{target}.input"));
    let call = |input: &[u8]| {
        fs::write(&file, input).unwrap();
        panic::catch_unwind(AssertUnwindSafe(|| check(input))).is_ok()
    };
    let seeds = seeds(target);
    let cases = option("ROLECALL_TEST_FUZZ_CASES").unwrap_or(cases);
    let mut mutator = Mutator::new(&seeds, option("ROLECALL_TEST_FUZZ_START").unwrap_or_default());
    let inputs = seeds.iter().cloned().chain((0..cases).map(|_| mutator.input()));
    for (number, input) in inputs.enumerate() {
        if !call(&input) {
            let short = shrink(input, &call);
            fs::write(&file, &short).unwrap();
            panic!(
                "{target}: input {number} fails: {}\nThe input, in its shortest form, is in {}. After the fix, move it to {}.",
                short.escape_ascii(),
                file.display(),
                folder_of(target).display()
            );
        }
    }
    fs::remove_file(&file).unwrap();
}

/// Removes parts of a failing input as long as it fails.
fn shrink(mut input: Vec<u8>, passes: &impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut attempts = 0;
    let mut length = input.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < input.len() && attempts < MAX_SHRINK_ATTEMPTS {
            let mut shorter = input.clone();
            shorter.drain(at..(at + length).min(input.len()));
            attempts += 1;
            if passes(&shorter) { at += length } else { input = shorter }
        }
        length /= 2;
    }
    input
}

/// Returns the seeds of a target, sorted by their file's name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = folder_of(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no seeds", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn folder_of(target: &str) -> PathBuf {
    root().join("tests/fuzz/seeds").join(target)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Returns a number from the environment.
#[expect(clippy::disallowed_methods, reason = "an option of the test")]
fn option(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrink_returns_the_part_that_fails() {
        let passes = |input: &[u8]| !input.windows(6).any(|part| part == b"needle");
        let long = [vec![b'x'; 5000], b"needle".to_vec(), vec![b'y'; 3000]].concat();
        assert_eq!(shrink(long, &passes), b"needle");
    }
}
