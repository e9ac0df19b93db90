//! Keeps the file that `rolecall prompt` reads: which profiles have a session, and until when.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{PromptProfile, PromptState, location};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;

/// How long further events are collected after one.
const DEBOUNCE_TIME: Duration = Duration::from_millis(200);

/// Writes the file beside the socket now and after each change of a session, until `stop`; then removes it. Without a
/// client that uses a session, nothing wakes up.
pub async fn follow(agent: Arc<Agent>, socket: &Path, stop: CancellationToken) {
    let path = location::prompt_state(socket);
    let mut events = agent.events.events();
    let mut written = None;
    loop {
        let state = state_of(&agent);
        if written.as_ref() != Some(&state) {
            match write(&path, &state) {
                Ok(()) => written = Some(state),
                // The prompt then shows no time.
                Err(error) => tracing::debug!(path = %path.display(), %error, "prompt state not written"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            is_open = events.next_change() => if !is_open { break },
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(DEBOUNCE_TIME) => {}
        }
    }
    // Usually it exists. A file that stays has the id of a process that has ended.
    let _ = fs::remove_file(&path);
}

fn state_of(agent: &Agent) -> PromptState {
    let profiles = agent.status.used_profiles().into_iter().map(|profile| {
        let expires = profile.session.and_then(|session| session.expires);
        (profile.name, PromptProfile { state: profile.state, expires })
    });
    PromptState { pid: std::process::id(), locked: agent.lock.status().locked, profiles: profiles.collect() }
}

/// Replaces the file. The folder of the socket is the user's alone.
fn write(path: &Path, state: &PromptState) -> io::Result<()> {
    let temporary = path.with_extension("state-new");
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
    options.open(&temporary)?.write_all(&serde_json::to_vec(state)?)?;
    fs::rename(&temporary, path)
}
