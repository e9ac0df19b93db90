//! What survives a restart: the sessions, when each profile was used, and the lock. It stays in memory, see [`crate::harden`]
//! and `handover`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rolecall_protocol::{ProfileName, Secret};
use serde::{Deserialize, Serialize};

use super::approvals::Approvals;
use super::config::ConfigService;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use crate::renew::Renewer;
use crate::sessions::{Provenance, Sessions};
use rolecall_core::clock::Clock;
use rolecall_core::lock::LockTimers;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

/// The format of a snapshot. A version with another format drops the snapshot and loads its sessions again.
const FORMAT: u32 = 1;

/// Which sessions a snapshot has: those that the next program may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotScope {
    /// All. Only root can have replaced the program, or it is the program that runs already.
    AllSessions,
    /// No session of a source, such as one with MFA, from which every role can be assumed. Any process of the user may have replaced
    /// the program.
    NoBaseSessions,
    /// None. Other processes of the user could open the memory of the next program while it starts.
    NoSessions,
}

/// Why a snapshot cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Another format.
    #[error("it has format {0}, and this version knows format {FORMAT}")]
    Format(u32),
    /// Not a snapshot. The parser's error may quote a secret, so it is dropped.
    #[error("it cannot be read")]
    Malformed,
}

/// The field that every format has, parsed first.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A snapshot, borrowed to write it, and owned and wiped to read it.
#[derive(Serialize, Deserialize)]
struct Snapshot<C, S> {
    format: u32,
    /// AWS's time, and the time since boot at that moment, which the next run continues.
    time: Option<(SystemTime, Duration)>,
    sessions: Vec<SavedSession<C, S>>,
    /// The role of an AWS profile that a source uses.
    #[serde(default)]
    through: Vec<(RoleChain, RoleChain)>,
    /// The ids of the access keys that sources gave: version 0.1.0 wrote them in the place of `provenance`.
    #[serde(default, skip_serializing)]
    keys: Vec<(RoleChain, String)>,
    used: BTreeMap<ProfileName, SystemTime>,
    /// When the user ran `rolecall refresh` for each profile.
    #[serde(default)]
    opened: BTreeMap<ProfileName, SystemTime>,
    /// Whether the agent is locked, and its timers.
    #[serde(default)]
    lock: Option<LockTimers>,
}

/// A session in a snapshot.
#[derive(Serialize, Deserialize)]
struct SavedSession<C, S> {
    chain: C,
    access_key: S,
    secret: S,
    token: Option<S>,
    arn: Option<String>,
    issued: SystemTime,
    expires: SystemTime,
    is_clamped: bool,
    /// What it was made from.
    #[serde(default)]
    provenance: Option<Provenance>,
}

/// Takes and restores snapshots.
pub struct SnapshotService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) renewer: Renewer,
    pub(crate) clock: Clock,
    pub(crate) approvals: Arc<Approvals>,
}

impl SnapshotService {
    /// Returns a snapshot for the next run. It has no credentials without an expiry: the next run gets them from their source.
    #[must_use]
    pub fn take(&self, scope: SnapshotScope) -> Secret<Vec<u8>> {
        let now = self.clock.now();
        let all = self.sessions.export();
        let sessions = all.iter().filter(|(chain, session, _)| scope.includes(chain) && session.is_usable(now));
        let profiles = self.config.profiles();
        let last_used = |name: &ProfileName| Some((name.clone(), self.activity.last_used(name)?));
        let opened = |name: &ProfileName| Some((name.clone(), self.approvals.opened_at(name)?));
        let snapshot = Snapshot {
            format: FORMAT,
            time: self.clock.snapshot(),
            sessions: sessions
                .filter_map(|(chain, session, provenance)| SavedSession::of(chain, session, provenance.clone()))
                .collect(),
            through: self.sessions.upstreams(),
            keys: Vec::new(),
            used: profiles.keys().filter_map(last_used).collect(),
            opened: profiles.keys().filter_map(opened).collect(),
            lock: Some(self.lock.timers()),
        };
        write(&snapshot)
    }

    /// Restores what the configuration still uses of a snapshot. Call it after [`Renewer::start`], which learns which profiles
    /// are in use.
    pub fn restore(&self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let malformed = |_: serde_json::Error| SnapshotError::Malformed;
        let Format { format } = serde_json::from_slice(snapshot).map_err(malformed)?;
        if format != FORMAT {
            return Err(SnapshotError::Format(format));
        }
        let Snapshot { time, sessions, used, opened, through, keys, lock, .. } =
            serde_json::from_slice::<Snapshot<RoleChain, Secret<String>>>(snapshot).map_err(malformed)?;
        if let Some((aws, elapsed)) = time {
            self.clock.resume(aws, elapsed);
        }
        if let Some(timers) = lock {
            self.lock.resume(timers);
        }
        for (name, at) in opened {
            self.approvals.open(&name, at);
        }
        for (chain, role) in through {
            self.sessions.set_upstream(&chain, role);
        }
        let restored = self.restore_sessions(sessions, &keys);
        for profile in self.config.profiles().values() {
            if let Some(at) = used.get(&profile.name) {
                self.activity.used(&profile.name, *at);
                self.renewer.resume(profile, *at);
            }
        }
        tracing::info!(sessions = restored, "snapshot restored");
        Ok(())
    }

    fn restore_sessions(
        &self,
        sessions: Vec<SavedSession<RoleChain, Secret<String>>>,
        keys: &[(RoleChain, String)],
    ) -> usize {
        let (now, profiles) = (self.clock.now(), self.config.profiles());
        let wanted = self.sessions.dependencies(profiles.values().map(|profile| &profile.chain));
        let mut restored = 0;
        for saved in sessions.into_iter().filter(|saved| wanted.contains(&saved.chain)) {
            let (chain, session, provenance) = saved.into_session();
            if session.is_usable(now) {
                let provenance = provenance.unwrap_or_else(|| self.sessions.provenance_by_keys(&chain, keys));
                self.sessions.restore(&chain, session, provenance);
                restored += 1;
            }
        }
        restored
    }
}

impl SnapshotScope {
    fn includes(self, chain: &RoleChain) -> bool {
        match self {
            Self::AllSessions => true,
            Self::NoBaseSessions => !chain.is_base(),
            Self::NoSessions => false,
        }
    }
}

impl<'a> SavedSession<&'a RoleChain, &'a str> {
    /// Returns `None` for credentials without an expiry.
    fn of(chain: &'a RoleChain, session: &'a Session, provenance: Provenance) -> Option<Self> {
        Some(Self {
            chain,
            access_key: session.credentials.access_key_id(),
            secret: session.credentials.secret_access_key(),
            token: session.credentials.session_token(),
            arn: session.arn.clone(),
            issued: session.issued,
            expires: session.expires()?,
            is_clamped: session.is_clamped,
            provenance: Some(provenance),
        })
    }
}

impl SavedSession<RoleChain, Secret<String>> {
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

/// Writes into a buffer of the final size: one that grows leaves copies of secrets behind that are not wiped.
fn write(snapshot: &impl Serialize) -> Secret<Vec<u8>> {
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
    let counted = serde_json::to_writer(&mut count, snapshot);
    let mut text = Vec::with_capacity(count.0);
    if counted.and_then(|()| serde_json::to_writer(&mut text, snapshot)).is_err() {
        // Only a time before 1970 cannot be written.
        text.clear();
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests;
