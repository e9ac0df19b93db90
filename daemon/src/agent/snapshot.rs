//! What of the agent survives a restart: the sessions, and when each profile was used. It travels in memory alone, see
//! [`crate::harden`] and the module `handover`.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rolecall_protocol::{ProfileName, Secret};
use serde::{Deserialize, Serialize};

use super::Agent;
use crate::sessions::Provenance;
use rolecall_core::clock::time_until;
use rolecall_core::lock::LockTimers;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

/// The shape below. Another version of the program may have another, and then the sessions are got anew.
const FORMAT: u32 = 1;

/// Why a state cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It has another shape.
    #[error("it has format {0}, and this version knows format {FORMAT}")]
    Format(u32),
    /// It is no state at all. What the reader says of it may quote it, so it is not repeated.
    #[error("it cannot be read")]
    Malformed,
}

/// Read first, whatever else there is.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The whole state, as it is written (borrowed) and as it is read (owned, and wiped).
#[derive(Serialize, Deserialize)]
struct State<C, S> {
    format: u32,
    /// AWS's time, and when it was that: the time since boot is the same in the next run.
    time: Option<(SystemTime, Duration)>,
    sessions: Vec<Kept<C, S>>,
    /// Which source's AWS profile leads to which role.
    #[serde(default)]
    through: Vec<(RoleChain, RoleChain)>,
    used: BTreeMap<ProfileName, SystemTime>,
    /// Whether it is locked, and when it is to be.
    #[serde(default)]
    lock: Option<LockTimers>,
}

/// One session.
#[derive(Serialize, Deserialize)]
struct Kept<C, S> {
    chain: C,
    access_key: S,
    secret: S,
    token: Option<S>,
    arn: Option<String>,
    issued: SystemTime,
    expires: SystemTime,
    is_clamped: bool,
    #[serde(default)]
    provenance: Option<Provenance>,
}

impl Agent {
    /// What the next run of the program needs so that nobody notices. Long-lived keys are not part of it: where they
    /// come from is asked again.
    #[must_use]
    pub fn keep(&self) -> Secret<Vec<u8>> {
        let now = self.now();
        let all = self.sessions.export();
        let sessions = all.iter().filter(|(_, session, _)| session.is_usable(now));
        let profiles = self.profiles();
        let state = State {
            format: FORMAT,
            time: self.aws.clock().snapshot(),
            sessions: sessions
                .filter_map(|(chain, session, provenance)| Kept::of(chain, session, provenance.as_ref()))
                .collect(),
            through: self.sessions.upstreams(),
            used: profiles
                .values()
                .filter_map(|profile| Some((profile.name.clone(), self.journal.of(&profile.name).used?)))
                .collect(),
            lock: Some(self.lock.timers()),
        };
        write(&state)
    }

    /// Goes on with what the run before has kept, as far as the configuration still wants it. Call it after
    /// [`Agent::keep_warm`], which is told what is in use.
    pub fn take_over(&self, state: &[u8]) -> Result<(), KeepError> {
        let read = |error: serde_json::Error| {
            drop(error); // it may quote what it did not expect
            KeepError::Malformed
        };
        let Format { format } = serde_json::from_slice(state).map_err(read)?;
        if format != FORMAT {
            return Err(KeepError::Format(format));
        }
        let State { time, sessions, used, through, lock, .. } =
            serde_json::from_slice::<State<RoleChain, Secret<String>>>(state).map_err(read)?;
        if let Some((aws, elapsed)) = time {
            self.aws.clock().resume(aws, elapsed);
        }
        if lock.is_some_and(|lock| self.lock.resume(lock)) {
            self.sessions.close();
        }
        let (now, profiles) = (self.now(), self.profiles());
        for (chain, role) in through {
            self.sessions.set_upstream(&chain, role);
        }
        let wanted = self.sessions.dependencies(profiles.values().map(|profile| &profile.chain));
        let mut taken = 0_usize;
        for kept in sessions.into_iter().filter(|kept| wanted.contains(&kept.chain)) {
            let (chain, session, provenance) = kept.into_session();
            if session.is_usable(now) {
                self.sessions.restore(&chain, session, provenance);
                taken += 1;
            }
        }
        for profile in profiles.values() {
            if let Some(at) = used.get(&profile.name) {
                self.journal.used(&profile.name, *at);
                self.stay_warm(profile, *at, now);
            }
        }
        tracing::info!(sessions = taken, "Took over from the program before");
        Ok(())
    }

    /// Has a profile's session renewed for what is left of its time.
    fn stay_warm(&self, profile: &Profile, used: SystemTime, now: SystemTime) {
        let rest = profile.keep_warm.saturating_sub(time_until(used, now));
        if let Some(renewer) = self.renewer.get().filter(|_| !rest.is_zero()) {
            renewer.used(&profile.chain, rest);
        }
    }
}

impl<'a> Kept<&'a RoleChain, &'a str> {
    /// `None` for what has no end.
    fn of(chain: &'a RoleChain, session: &'a Session, provenance: Option<&Provenance>) -> Option<Self> {
        Some(Self {
            chain,
            access_key: session.credentials.access_key_id(),
            secret: session.credentials.secret_access_key(),
            token: session.credentials.session_token(),
            arn: session.arn.clone(),
            issued: session.issued,
            expires: session.expires()?,
            is_clamped: session.is_clamped,
            provenance: provenance.cloned(),
        })
    }
}

impl Kept<RoleChain, Secret<String>> {
    fn into_session(self) -> (RoleChain, Session, Option<Provenance>) {
        let credentials = Credentials::new(
            self.access_key.expose().clone(),
            self.secret.expose().clone(),
            self.token.as_ref().map(|token| token.expose().clone()),
            Some(self.expires),
            "rolecalld",
        );
        let session = Session { credentials, arn: self.arn, issued: self.issued, is_clamped: self.is_clamped };
        (self.chain, session, self.provenance)
    }
}

/// Into a buffer that is large enough from the start: one that grows leaves copies behind that nobody wipes.
fn write(state: &impl Serialize) -> Secret<Vec<u8>> {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    let counted = serde_json::to_writer(&mut count, state);
    let mut text = Vec::with_capacity(count.0);
    if counted.and_then(|()| serde_json::to_writer(&mut text, state)).is_err() {
        // A time from before 1970 is the one thing that has no place in it.
        text.clear();
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests;
