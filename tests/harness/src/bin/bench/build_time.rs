//! Processor time of clean builds.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Context;
use crate::build::{cargo, install_build, workspace};
use crate::process::children_user_time;
use crate::report::{Report, Row};

const PART: &str = "build";
/// What `cargo demo` builds.
const DEMO: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/build.args"));

pub(crate) fn measure(context: &Context, report: &mut Report) {
    if !context.build {
        return report.missing("user time of clean builds", "run: cargo measure build --build");
    }
    let folder = workspace().join("target/measure-build");
    let minutes = clean_build(&folder, [cargo(&DEMO.split_whitespace().collect::<Vec<_>>())]);
    report.add(Row::new(PART, "clean build of cargo demo, user time", minutes, "min").at_most(5.0));
    let minutes = clean_build(&folder, [install_build(&[])]);
    report.add(Row::new(PART, "clean build of client and daemon as shipped, user time", minutes, "min").at_most(10.0));
}

/// Builds in an empty target folder. Returns the user time of all compilers in minutes.
fn clean_build(folder: &Path, builds: impl IntoIterator<Item = Command>) -> f64 {
    drop(fs::remove_dir_all(folder));
    let before = children_user_time();
    for mut build in builds {
        let status =
            build.env("CARGO_TARGET_DIR", folder).stdout(Stdio::null()).status().expect("cargo can be started");
        assert!(status.success(), "the build failed");
    }
    let took = children_user_time().saturating_sub(before);
    drop(fs::remove_dir_all(folder));
    took.as_secs_f64() / 60.0
}
