//! Sizes of the programs, as they are on disk.

use std::fs;

use crate::Context;
use crate::report::{Report, Row};

#[allow(clippy::cast_precision_loss)] // programs have fewer than 2^52 bytes
pub(crate) fn measure(context: &Context, report: &mut Report) {
    let megabytes = |path| fs::metadata(path).expect("the program exists").len() as f64 / 1e6;
    report.add(Row::new("size", "size of rolecalld", megabytes(&context.programs.daemon), "MB").at_most(12.0));
    report.add(Row::new("size", "size of rolecall", megabytes(&context.programs.client), "MB").lower_is_better());
}
