//! The stream of the daemon's events.

use rolecall_protocol::{Endpoint, ErrorCode, Event, EventKind};

use super::call::{Daemon, MAX_RESPONSE_BYTES, call_error, check_response};
use super::error::CallError;
use super::http::{self, LineStream};
use super::instance_lock;
use crate::clock::{Deadline, long_backoff};

impl Daemon {
    /// Opens the stream of events and reads the first one, so that no later event is missed. Each line is an [`Event`].
    /// The deadline is for the first event only.
    ///
    /// As in [`Daemon::call`], if the daemon has too many callers, the call is repeated until the deadline.
    pub(crate) fn events(&self, deadline: Deadline) -> Result<LineStream, CallError> {
        let mut attempt = 0;
        loop {
            match self.try_events(deadline) {
                Err(CallError::Rejected(said)) if said.code == ErrorCode::Unavailable => {
                    if !deadline.sleep(long_backoff(attempt)) {
                        return Err(CallError::Rejected(said));
                    }
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn try_events(&self, deadline: Deadline) -> Result<LineStream, CallError> {
        let (stream, _) = self.connect(deadline)?;
        let request = http::request_lines(&Endpoint::Events, b"");
        let (answer, mut lines) = http::open_stream(stream, &request, MAX_RESPONSE_BYTES, deadline)
            .map_err(|error| call_error(error, deadline))?;
        let is_not_there = answer.status() == 404;
        match check_response(answer) {
            Err(CallError::Rejected(said)) if is_not_there && said.code == ErrorCode::BadRequest => {
                return Err(CallError::EventsUnsupported);
            }
            result => result?,
        };
        let first = lines.next(deadline).map_err(|error| call_error(error, deadline))?;
        let first = first.ok_or(CallError::NoResponse(deadline.limit()))?;
        match serde_json::from_slice::<Event>(&first) {
            Ok(Event { event: EventKind::Hello, .. }) => Ok(lines),
            _ => Err(CallError::InvalidResponse("its events do not begin as they should".to_owned())),
        }
    }

    /// Whether a daemon holds the lock beside the socket. Also false if the system does not list locks, so only a
    /// change from true to false has a meaning.
    ///
    /// Does not connect: with socket activation, a connection would start the daemon.
    pub(crate) fn holds_instance_lock(&self) -> bool {
        instance_lock::is_held(&self.socket.with_extension("lock"))
    }
}
