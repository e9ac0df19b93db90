//! The chain of causes of an error.

use std::error::Error;
use std::io;

use rolecall_protocol::sanitize_for_terminal;

/// Iterates over an error and its causes, outermost first. The source of an `io::Error` leaves out the error in it.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    })
}

/// The message of the last cause. The outer errors of the SDK have little information.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    sanitize_for_terminal(&causes(error).last().map(ToString::to_string).unwrap_or_default())
}
