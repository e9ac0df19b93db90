//! Gives memory back to the system after work that needs much of it for a short time: the start, a call to AWS, a change of the
//! configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::harden;

/// How long after such work the memory is released. Further work within this time shares the release.
const RELEASE_DELAY: Duration = Duration::from_secs(2);

/// Releases memory after each change of a session or the configuration, until `stop`. An idle daemon does not wake up for it.
pub async fn follow(agent: Arc<Agent>, stop: CancellationToken) {
    let mut events = agent.events.events();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RELEASE_DELAY) => harden::release_memory(),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            is_open = events.next_change() => if !is_open { return },
        }
    }
}
