//! How a session is loaded: from a source, with an MFA code, or by assuming a role.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{MfaSerial, Secret};

use super::error::DenialReason;
use super::mfa::{self, MfaError};
use super::provenance::{CachedSession, Provenance};
use super::{Freshness, Served, SessionError, Sessions};
use rolecall_aws::client::Aws;
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::source::ResolvedSource;
use rolecall_aws::sts::{self, AssumeRoleInput, MfaCode, StsError, StsOperation};
use rolecall_core::config::Mfa;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::role_chain::{RoleChain, RoleStep, StsEndpoint};
use rolecall_core::session::Session;

/// How long a source may take: it may run a program (E3).
const SOURCE_TIMEOUT: Duration = Duration::from_secs(40);

/// How often a role is assumed in one load. More than once only if its source changes the principal meanwhile.
const MAX_ASSUME_ATTEMPTS: usize = 3;

/// A call to STS that sends an MFA code.
enum MfaCall<'a> {
    /// GetSessionToken: a session from which every role of the source is assumed.
    SessionToken { endpoint: &'a StsEndpoint, base: &'a Session, serial: &'a MfaSerial, duration: Duration },
    /// AssumeRole.
    AssumeRole(AssumeRoleInput<'a>),
}

impl MfaCall<'_> {
    /// Errors while the circuit breaker is open, so that no MFA code is asked for a call that is not made.
    async fn check(&self, aws: &Aws) -> Result<(), StsError> {
        let (endpoint, operation) = match self {
            Self::SessionToken { endpoint, serial, .. } => {
                (*endpoint, StsOperation::GetSessionToken((*serial).clone()))
            }
            Self::AssumeRole(assume) => (assume.endpoint, StsOperation::AssumeRole(assume.step.role.clone())),
        };
        aws.check_breaker(endpoint).await.map_err(|error| StsError { operation, error })
    }

    async fn send(&self, aws: &Aws, code: MfaCode<'_>) -> Result<Session, StsError> {
        match self {
            Self::SessionToken { endpoint, base, duration, .. } => {
                sts::get_session_token(aws, endpoint, base, code, *duration).await
            }
            Self::AssumeRole(assume) => sts::assume_role(aws, AssumeRoleInput { code: Some(code), ..*assume }).await,
        }
    }
}

impl Sessions {
    /// Loads the session of a chain, whatever the cache has.
    pub(super) async fn load(&self, chain: &RoleChain, freshness: Freshness) -> Result<CachedSession, SessionError> {
        match (chain.steps.last(), &chain.source.mfa) {
            (Some(step), _) => self.load_role(chain, step, freshness).await,
            // A source gives the same credentials in every region of a partition.
            (None, _) if *chain != chain.base() => self.load_copy(&chain.base(), freshness).await,
            (None, Some(mfa)) => self.load_mfa_session(chain, mfa, freshness).await,
            (None, None) => self.load_source(chain, freshness).await,
        }
    }

    /// Loads a source's own credentials or, where its AWS profile names a role, the session of that role.
    async fn load_source(&self, chain: &RoleChain, freshness: Freshness) -> Result<CachedSession, SessionError> {
        let load_started_at = self.now();
        let resolving = self.sources.resolve(&chain.source, &chain.region);
        let resolved = tokio::time::timeout(SOURCE_TIMEOUT, resolving).await.map_err(|_| SessionError::Overdue)?;
        // An error without a login says nothing of whether the source needs one.
        if let Err(error) = &resolved
            && let Some(login) = error.login()
        {
            self.states.set_login(chain, Some(login));
        }
        let (session, principal) = match resolved? {
            ResolvedSource::RoleChain(upstream) => {
                self.states.set_upstream(chain, Some(upstream.clone()));
                return self.load_copy(&upstream, freshness).await;
            }
            ResolvedSource::Session { session, login, principal } => {
                self.states.set_login(chain, login);
                (session, principal)
            }
        };
        self.states.set_upstream(chain, None);
        if !session.is_usable(self.now()) {
            // The clock may be wrong rather than the session expired.
            self.learn_time(chain, &session).await;
        }
        if !session.is_usable(self.now()) {
            return Err(SessionError::Ended);
        }
        let provenance = Provenance { source: chain.clone(), principal };
        Ok(CachedSession { session: Arc::new(*session), provenance, load_started_at })
    }

    /// Loads the session of another chain that is this one's too.
    async fn load_copy(&self, other: &RoleChain, freshness: Freshness) -> Result<CachedSession, SessionError> {
        let load_started_at = self.now();
        // A refresh does not ask the user for another MFA code while the session of the last one is usable.
        let freshness = if other.needs_interactive_mfa() { Freshness::Cached } else { freshness };
        let Served { session, provenance, .. } = self.dependency(other, freshness).await?;
        Ok(CachedSession { session, provenance, load_started_at })
    }

    /// Gets a session for an MFA code (GetSessionToken), from which every role of the source is assumed.
    async fn load_mfa_session(
        &self,
        chain: &RoleChain,
        mfa: &Mfa,
        freshness: Freshness,
    ) -> Result<CachedSession, SessionError> {
        let load_started_at = self.now();
        let is_bypass = freshness == Freshness::BypassCache;
        let base_freshness = if is_bypass { Freshness::BypassCache } else { Freshness::Cached };
        let base = self.dependency(&chain.without_mfa(), base_freshness).await?;
        if base.session.credentials.session_token().is_some() {
            return Err(MfaError::Temporary.into());
        }
        if freshness == Freshness::Cached
            && let Some(cached) = self.cached(chain).filter(|cached| cached.session.is_fresh(load_started_at))
        {
            // AWS's files changed, but the access key did not: its session stays usable.
            let (session, provenance) = (Arc::clone(&cached.session), cached.provenance.clone());
            return Ok(CachedSession { session, provenance, load_started_at });
        }
        let region = self.sources.home(&chain.source, &chain.region).await;
        let endpoint = StsEndpoint { source: chain.without_mfa().source.clone(), region, sts: StsAddress::default() };
        let (serial, duration) = (&mfa.serial, mfa.session);
        let call = MfaCall::SessionToken { endpoint: &endpoint, base: &base.session, serial, duration };
        let session = self.call_with_code(chain, mfa, &call).await?;
        let loaded = CachedSession { session: Arc::new(session), provenance: base.provenance, load_started_at };
        if !self.is_current(chain, &loaded) {
            return Err(MfaError::Needed { serial: serial.clone(), chain: chain.clone() }.into());
        }
        Ok(loaded)
    }

    /// Assumes the last role of a chain; again if its source changed the principal meanwhile.
    async fn load_role(
        &self,
        chain: &RoleChain,
        step: &RoleStep,
        freshness: Freshness,
    ) -> Result<CachedSession, SessionError> {
        let mut freshness = freshness;
        for _ in 0..MAX_ASSUME_ATTEMPTS {
            let loaded = match self.assume(chain, step, freshness).await {
                Err(SessionError::Sts(error)) if error.error.kind == AwsErrorKind::Denied => {
                    return Err(self.explain_denial(chain, step, error).await);
                }
                outcome => outcome?,
            };
            if self.is_current(chain, &loaded) {
                return Ok(loaded);
            }
            freshness = Freshness::Cached;
        }
        Err(SessionError::Lost)
    }

    /// Adds to a denial what the configuration says about its reason.
    async fn explain_denial(&self, chain: &RoleChain, step: &RoleStep, error: StsError) -> SessionError {
        let below = chain.without_last_step();
        let upstream = if below.is_base() { self.states.upstream(&below) } else { Some(below) };
        if upstream.is_some_and(|upstream| upstream.steps.last().is_some_and(|last| last.role == step.role)) {
            return SessionError::Denied { error, reason: DenialReason::IsThisRole };
        }
        match self.sources.aws_profiles().unused_mfa(chain).await {
            Some(advice) => SessionError::Denied { error, reason: DenialReason::UnusedMfa(advice) },
            None => error.into(),
        }
    }

    async fn assume(
        &self,
        chain: &RoleChain,
        step: &RoleStep,
        freshness: Freshness,
    ) -> Result<CachedSession, SessionError> {
        let load_started_at = self.now();
        let sends_code = self.mfa_in_assume_role(chain);
        let below = if sends_code { chain.without_mfa() } else { chain.without_last_step() };
        // Bypassing the cache includes the source, unless that asks the user for another MFA code.
        let is_bypass = freshness == Freshness::BypassCache;
        let below_freshness =
            if is_bypass && !below.needs_interactive_mfa() { Freshness::BypassCache } else { Freshness::Cached };
        let base = self.dependency(&below, below_freshness).await?;
        let loaded = |session: Session, base: &Served| CachedSession {
            session: Arc::new(session),
            provenance: base.provenance.clone(),
            load_started_at,
        };
        let is_clamped = !is_bypass && self.cached(chain).is_some_and(|last| last.session.is_clamped);
        let endpoint = chain.endpoint();
        let name = self.session_name(chain, step).await?;
        let assume =
            AssumeRoleInput { endpoint: &endpoint, step, name: &name, base: &base.session, code: None, is_clamped };
        if let Some(mfa) = chain.source.mfa.as_ref().filter(|_| sends_code) {
            return match self.call_with_code(chain, mfa, &MfaCall::AssumeRole(assume)).await {
                Err(SessionError::Sts(error)) if error.is_too_long() => {
                    // A session that all roles share gets an hour as well, and needs one code for all of them.
                    tracing::info!(role = %step.role, "role granted for one hour at most; MFA code is shared");
                    self.states.set_one_hour(chain);
                    Box::pin(self.assume(chain, step, freshness)).await
                }
                outcome => Ok(loaded(outcome?, &base)),
            };
        }
        match sts::assume_role(&self.aws, assume).await {
            Err(error) if error.error.kind == AwsErrorKind::CredentialsRejected => {
                // The credentials may have been replaced where they come from, so the source is loaded once more (B8).
                self.reject(&below, &base.session);
                let newer = self.dependency(&below, Freshness::BypassCache).await?;
                if newer.session.has_same_credentials(&base.session) {
                    return Err(error.into());
                }
                let name = self.session_name(chain, step).await?;
                let assume = AssumeRoleInput { base: &newer.session, name: &name, ..assume };
                Ok(loaded(sts::assume_role(&self.aws, assume).await?, &newer))
            }
            outcome => Ok(loaded(outcome?, &base)),
        }
    }

    /// Drops the credentials of a source that AWS rejects, unless the source has given others meanwhile.
    fn reject(&self, source: &RoleChain, rejected: &Session) {
        if source.is_base() {
            self.cache.invalidate(|chain, cached| chain == source && cached.session.has_same_credentials(rejected));
        }
    }

    /// Makes a call with the MFA code that the user gave, else with one that the configured command prints.
    async fn call_with_code(&self, chain: &RoleChain, mfa: &Mfa, call: &MfaCall<'_>) -> Result<Session, SessionError> {
        call.check(&self.aws).await?;
        let code = match (self.mfa_codes.take(chain, &mfa.serial, self.now()), &mfa.process) {
            (Ok(code), _) => return self.send_code(chain, mfa, code, call).await,
            (Err(MfaError::Needed { .. }), Some(command)) => {
                let code = mfa::run_command(mfa, command, &self.aws.program_environment()).await?;
                if self.mfa_codes.is_used(&mfa.serial, &code, self.now()) {
                    self.next_code(mfa, command).await?
                } else {
                    code
                }
            }
            (Err(error), _) => return Err(error.into()),
        };
        match (self.send_code(chain, mfa, code, call).await, &mfa.process) {
            // Another program may have used that code.
            (Err(SessionError::Mfa(MfaError::Refused { .. })), Some(command)) => {
                let code = self.next_code(mfa, command).await?;
                match self.send_code(chain, mfa, code, call).await {
                    Err(SessionError::Mfa(MfaError::Refused { .. })) => Err(MfaError::CommandRefused.into()),
                    outcome => outcome,
                }
            }
            (outcome, _) => outcome,
        }
    }

    /// Waits for the device's next code and runs the command for it.
    async fn next_code(&self, mfa: &Mfa, command: &str) -> Result<Secret<String>, MfaError> {
        for _ in 0..2 {
            tokio::time::sleep(mfa::until_next_code(self.now()) + mfa::NEXT_CODE_MARGIN).await;
            let code = mfa::run_command(mfa, command, &self.aws.program_environment()).await?;
            if !self.mfa_codes.is_used(&mfa.serial, &code, self.now()) {
                return Ok(code);
            }
        }
        Err(MfaError::CommandRefused)
    }

    async fn send_code(
        &self,
        chain: &RoleChain,
        mfa: &Mfa,
        code: Secret<String>,
        call: &MfaCall<'_>,
    ) -> Result<Session, SessionError> {
        let sent = call.send(&self.aws, MfaCode { serial: &mfa.serial, code: &code }).await;
        // The circuit breaker may have refused the call: then AWS has not seen the code.
        if !sent.as_ref().is_err_and(|error| error.error.is_breaker_open) {
            self.mfa_codes.record_used(&mfa.serial, code, self.now());
        }
        sent.map_err(|error| {
            if error.is_code_refused() {
                let said = "it is wrong, expired or already used, or the device belongs to another user".to_owned();
                MfaError::Refused { serial: mfa.serial.clone(), chain: chain.clone(), said }.into()
            } else {
                error.into()
            }
        })
    }

    /// Returns a session from which another is made.
    pub(super) async fn dependency(&self, chain: &RoleChain, freshness: Freshness) -> Result<Served, SessionError> {
        Box::pin(self.get(chain, freshness)).await.map_err(|error| SessionError::clone(&error))
    }

    pub(super) fn now(&self) -> SystemTime {
        self.aws.now()
    }
}
