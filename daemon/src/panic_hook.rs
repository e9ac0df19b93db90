//! Writes panics into the log: the place, and the message if it is a literal of the source. A message with values could have a
//! secret (M3).

use std::any::Any;
use std::io::Write;
use std::panic::{self, PanicHookInfo};

/// Replaces the hook of the standard library, which prints every message on standard error. The log has to be started before
/// the first panic; without a log, the line goes to standard error.
pub fn install() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let message = literal(info.payload());
        if tracing::dispatcher::has_been_set() {
            tracing::error!(place, message, "panic: a bug in rolecalld");
        } else {
            drop(writeln!(std::io::stderr().lock(), "rolecalld: panic: a bug in rolecalld at {place}: {message}"));
        }
    }));
}

/// Returns the message of a panic if it is a literal.
fn literal(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(the message has values and is not logged)")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 55.
    #[test]
    fn panic_message_with_values_is_not_logged() {
        let payload_of = |panics: fn(&str)| panic::catch_unwind(|| panics("AKIASECRET")).unwrap_err();
        assert_eq!(literal(payload_of(|_| panic!("a literal")).as_ref()), "a literal");
        let values = payload_of(|secret| panic!("the key {secret}"));
        assert_eq!(literal(values.as_ref()), "(the message has values and is not logged)");
        let other = payload_of(|secret| panic::panic_any(secret.to_owned()));
        assert_eq!(literal(other.as_ref()), "(the message has values and is not logged)");
    }
}
