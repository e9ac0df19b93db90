//! `POST /v1/stop`

use rolecall_protocol::Stopping;

use crate::server::Context;
use crate::server::answer::Answer;

/// The answer itself is among what is finished before the daemon exits.
pub(super) fn answer(context: &Context) -> Answer {
    tracing::info!("StsOperation to stop");
    context.stop.cancel();
    Answer::json(&Stopping { pid: std::process::id() })
}
