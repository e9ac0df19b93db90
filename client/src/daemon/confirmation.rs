//! Waits while the user is asked to confirm the use of a profile.
//!
//! The daemon answers each call within its usual time. While the question is open, the client sends the call again.

use std::time::Duration;

use rolecall_protocol::{ErrorCode, ProfileName};

use super::{CALL_TIMEOUT, CallError};
use crate::clock::Deadline;
use crate::output;

/// How long the client waits for the answer: the daemon's question ends after 30 s.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(40);

/// Makes a call until the user has answered. The first call has to end by `deadline`, as without a question.
pub(crate) fn call<T>(
    name: &ProfileName,
    make_call: impl Fn(Deadline) -> Result<T, CallError>,
    deadline: Deadline,
) -> Result<T, CallError> {
    let limit = Deadline::after(CONFIRM_TIMEOUT);
    let mut result = make_call(deadline);
    let mut has_noted = false;
    while let Err(CallError::Rejected(body)) = &result
        && body.code == ErrorCode::ConfirmationPending
        && limit.remaining().is_some()
    {
        if !std::mem::replace(&mut has_noted, true) {
            output::print_note(&format!("{name}: waiting for your answer to a question on your desktop"));
        }
        result = make_call(Deadline::after(CALL_TIMEOUT));
    }
    result
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rolecall_protocol::ErrorBody;

    use super::*;

    fn rejected(code: ErrorCode) -> Result<u8, CallError> {
        Err(CallError::Rejected(ErrorBody::new(code, "no")))
    }

    #[test]
    fn call_is_repeated_until_the_user_has_answered() {
        let (name, calls) = ("prod".parse().unwrap(), Cell::new(0));
        let answered = |last: fn() -> Result<u8, CallError>| {
            calls.set(0);
            let call_token = |_| {
                calls.set(calls.get() + 1);
                if calls.get() < 3 { rejected(ErrorCode::ConfirmationPending) } else { last() }
            };
            call(&name, call_token, Deadline::after(CALL_TIMEOUT))
        };
        assert!(matches!(answered(|| Ok(7)), Ok(7)));
        assert_eq!(calls.get(), 3);
        let denied = answered(|| rejected(ErrorCode::ConfirmationDenied));
        assert!(matches!(denied, Err(CallError::Rejected(body)) if body.code == ErrorCode::ConfirmationDenied));
        assert_eq!(calls.get(), 3);
    }
}
