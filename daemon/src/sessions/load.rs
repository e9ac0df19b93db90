//! The flights: how a session is got, be it a source's, one for an MFA code, or a role's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{MfaSerial, Secret};

use super::mfa::{self, MfaError};
use super::provenance::Lineage;
use super::{Freshness, SessionError, Sessions};
use rolecall_aws::client::Aws;
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::source::ResolvedSource;
use rolecall_aws::sts::{self, AssumeRoleInput, MfaCode, StsError, StsOperation};
use rolecall_core::config::Mfa;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::role_chain::RoleStep;
use rolecall_core::role_chain::StsEndpoint;
use rolecall_core::session::Session;

/// How long a source may take: it may have to run a program (E3).
const SOURCE: Duration = Duration::from_secs(40);

/// How many owners a source may have while a role is assumed.
const OWNERS: usize = 3;

/// A call that is made with a code.
enum CodedCall<'a> {
    /// For a session that is good for all roles.
    Session { endpoint: &'a StsEndpoint, keys: &'a Session, serial: &'a MfaSerial, length: Duration },
    /// For a role's.
    Role(AssumeRoleInput<'a>),
}

impl CodedCall<'_> {
    /// Refuses a call that would not be made, before anybody is asked for a code.
    async fn check(&self, aws: &Aws) -> Result<(), StsError> {
        let (endpoint, asked) = match self {
            Self::Session { endpoint, serial, .. } => (*endpoint, StsOperation::GetSessionToken((*serial).clone())),
            Self::Role(wanted) => (wanted.endpoint, StsOperation::AssumeRole(wanted.step.role.clone())),
        };
        aws.check_breaker(endpoint).await.map_err(|error| StsError { operation: asked, error })
    }

    async fn send(&self, aws: &Aws, code: MfaCode<'_>) -> Result<Session, StsError> {
        match self {
            Self::Session { endpoint, keys, length, .. } => {
                sts::get_session_token(aws, endpoint, keys, code, *length).await
            }
            Self::Role(asked) => sts::assume_role(aws, AssumeRoleInput { code: Some(code), ..*asked }).await,
        }
    }
}

impl Sessions {
    /// Gets a session, whatever is there.
    pub(super) async fn obtain(&self, chain: &RoleChain, freshness: Freshness) -> Result<Session, SessionError> {
        match (chain.steps.last(), &chain.source.mfa) {
            (Some(step), _) => self.obtain_role(chain, step, freshness).await,
            // What a source gives is the same one everywhere.
            (None, _) if *chain != chain.base() => self.copy_of(&chain.base(), chain, freshness).await,
            (None, Some(mfa)) => self.obtain_for_code(chain, mfa, freshness).await,
            (None, None) => self.obtain_source(chain, freshness).await,
        }
    }

    /// A source's own credentials, or what the role that its AWS profile names gets.
    async fn obtain_source(&self, chain: &RoleChain, freshness: Freshness) -> Result<Session, SessionError> {
        let begin = self.now();
        let resolving = self.sources.resolve(&chain.source, &chain.region);
        let resolved = tokio::time::timeout(SOURCE, resolving).await.map_err(|_| SessionError::Overdue)?;
        // What says nothing of a login does not mean that there is none.
        if let Err(error) = &resolved
            && let Some(login) = error.login()
        {
            self.bases.depends_on(chain, Some(login));
        }
        let (session, owner) = match resolved? {
            ResolvedSource::RoleChain(inner) => {
                self.bases.leads_through(chain, Some(inner.clone()));
                return self.copy_of(&inner, chain, freshness).await;
            }
            ResolvedSource::Session { session, login, owner } => {
                self.bases.depends_on(chain, login);
                (session, owner)
            }
        };
        self.bases.leads_through(chain, None);
        if !session.is_usable(self.now()) {
            // It may be the clock that is wrong.
            self.learn_time(chain, &session).await;
        }
        self.bases.asked(chain, begin);
        if self.bases.gives(chain, owner) && self.invalidate_derived(chain) {
            tracing::info!(
                source = chain.source.describe(),
                "It has another owner now, perhaps; what was got before is dropped"
            );
        }
        if session.is_usable(self.now()) { Ok(*session) } else { Err(SessionError::Ended) }
    }

    /// The session of another chain, which is this one's too.
    async fn copy_of(
        &self,
        other: &RoleChain,
        chain: &RoleChain,
        freshness: Freshness,
    ) -> Result<Session, SessionError> {
        let begin = self.now();
        // What a person gave a code for is good still; nobody means that they give another.
        let freshness = if other.needs_interactive_mfa() { Freshness::Cached } else { freshness };
        let session = self.base(other, freshness).await?;
        self.bases.asked(chain, begin);
        Ok(Session::clone(&session))
    }

    /// A session for a code of an MFA device: one code for all roles of the source.
    async fn obtain_for_code(
        &self,
        chain: &RoleChain,
        mfa: &Mfa,
        freshness: Freshness,
    ) -> Result<Session, SessionError> {
        let begin = self.now();
        let keys = self
            .base(
                &chain.without_mfa(),
                if freshness == Freshness::BypassCache { Freshness::BypassCache } else { Freshness::Cached },
            )
            .await?;
        if keys.credentials.session_token().is_some() {
            return Err(MfaError::Temporary.into());
        }
        if freshness == Freshness::Cached
            && !self.bases.is_rejected(chain)
            && let Some(session) = self.peek(chain).session.filter(|session| session.is_fresh(begin))
        {
            // AWS's files were changed, but not those keys: what they were good for is so still.
            self.bases.asked(chain, begin);
            return Ok(Session::clone(&session));
        }
        let region = self.sources.home(&chain.source, &chain.region).await;
        let endpoint = StsEndpoint { source: chain.without_mfa().source.clone(), region, sts: StsAddress::default() };
        let call = CodedCall::Session { endpoint: &endpoint, keys: &keys, serial: &mfa.serial, length: mfa.session };
        let lineage = self.bases.lineage(chain);
        let session = self.with_code(chain, mfa, &call).await?;
        if !self.bases.is_of(chain, &lineage) {
            return Err(MfaError::Needed { serial: mfa.serial.clone(), chain: chain.clone() }.into());
        }
        self.bases.asked(chain, begin);
        Ok(session)
    }

    /// A role's session. Again if its source has another owner meanwhile.
    async fn obtain_role(
        &self,
        chain: &RoleChain,
        step: &RoleStep,
        freshness: Freshness,
    ) -> Result<Session, SessionError> {
        let mut freshness = freshness;
        for _ in 0..OWNERS {
            let (session, lineage) = self.obtain_role_once(chain, step, freshness).await?;
            if self.bases.is_of(chain, &lineage) {
                return Ok(session);
            }
            freshness = Freshness::Cached;
        }
        Err(SessionError::Lost)
    }

    /// The same, with whose credentials it stands on.
    async fn obtain_role_once(
        &self,
        chain: &RoleChain,
        step: &RoleStep,
        freshness: Freshness,
    ) -> Result<(Session, Lineage), SessionError> {
        let is_coded = self.mfa_in_assume_role(chain);
        let before = if is_coded { chain.without_mfa() } else { chain.without_last_step() };
        // Whoever wants a new one, whatever there was, means the source too; but not that a person gives another code.
        let is_new = freshness == Freshness::BypassCache && !before.needs_interactive_mfa();
        let base = self.base(&before, if is_new { Freshness::BypassCache } else { Freshness::Cached }).await?;
        let lineage = self.bases.lineage(chain);
        let is_clamped =
            freshness != Freshness::BypassCache && self.peek(chain).session.is_some_and(|last| last.is_clamped);
        let endpoint = chain.endpoint();
        let name = self.session_name(chain, step).await?;
        let asked = AssumeRoleInput { endpoint: &endpoint, step, name: &name, base: &base, code: None, is_clamped };
        if let Some(mfa) = chain.source.mfa.as_ref().filter(|_| is_coded) {
            return match self.with_code(chain, mfa, &CodedCall::Role(asked)).await {
                Err(SessionError::RoleStep(error)) if error.is_too_long() => {
                    // An hour is what a session that is good for all roles gets too, and that asks for no code each time.
                    tracing::info!(role = %step.role, "AWS grants no longer sessions than one hour; its code is shared");
                    self.bases.lasts_an_hour(chain);
                    Box::pin(self.obtain_role_once(chain, step, freshness)).await
                }
                outcome => Ok((outcome?, lineage)),
            };
        }
        match sts::assume_role(&self.aws, asked).await {
            Err(error) if error.error.kind == AwsErrorKind::CredentialsRejected => {
                // It may have been replaced where it comes from, so it is asked for once more (B8).
                if before.is_base() {
                    self.bases.rejected(&before);
                }
                let newer = self.base(&before, Freshness::BypassCache).await?;
                if newer.has_same_credentials(&base) {
                    return Err(error.into());
                }
                let (lineage, name) = (self.bases.lineage(chain), self.session_name(chain, step).await?);
                Ok((
                    sts::assume_role(&self.aws, AssumeRoleInput { base: &newer, name: &name, ..asked }).await?,
                    lineage,
                ))
            }
            assumed => Ok((assumed?, lineage)),
        }
    }

    /// Makes a call that takes a code: the one that somebody gave, else what the command prints.
    async fn with_code(&self, chain: &RoleChain, mfa: &Mfa, call: &CodedCall<'_>) -> Result<Session, SessionError> {
        call.check(&self.aws).await?;
        let code = match (self.codes.take(chain, &mfa.serial, self.now()), &mfa.process) {
            (Ok(code), _) => return self.call_with(chain, mfa, code, call).await,
            (Err(MfaError::Needed { .. }), Some(command)) => {
                let code = mfa::ask(mfa, command).await?;
                if self.codes.is_used(&mfa.serial, &code, self.now()) {
                    self.ask_later(mfa, command).await?
                } else {
                    code
                }
            }
            (Err(error), _) => return Err(error.into()),
        };
        match (self.call_with(chain, mfa, code, call).await, &mfa.process) {
            // Another program may have used it.
            (Err(SessionError::Code(MfaError::Refused { .. })), Some(command)) => {
                let code = self.ask_later(mfa, command).await?;
                match self.call_with(chain, mfa, code, call).await {
                    Err(SessionError::Code(MfaError::Refused { .. })) => Err(MfaError::CommandRefused.into()),
                    outcome => outcome,
                }
            }
            (outcome, _) => outcome,
        }
    }

    /// The code of the next window.
    async fn ask_later(&self, mfa: &Mfa, command: &str) -> Result<Secret<String>, MfaError> {
        for _ in 0..2 {
            tokio::time::sleep(mfa::next_window(self.now()) + mfa::SETTLE).await;
            let code = mfa::ask(mfa, command).await?;
            if !self.codes.is_used(&mfa.serial, &code, self.now()) {
                return Ok(code);
            }
        }
        Err(MfaError::CommandRefused)
    }

    async fn call_with(
        &self,
        chain: &RoleChain,
        mfa: &Mfa,
        code: Secret<String>,
        call: &CodedCall<'_>,
    ) -> Result<Session, SessionError> {
        let called = call.send(&self.aws, MfaCode { serial: &mfa.serial, code: &code }).await;
        // One that was not sent, after all, is as good as before.
        if !called.as_ref().is_err_and(|error| error.error.is_breaker_open) {
            self.codes.used(&mfa.serial, code, self.now());
        }
        called.map_err(|error| {
            if error.is_code_refused() {
                let said = "it is wrong, of another time, was used before, or the device is not this user's".to_owned();
                MfaError::Refused { serial: mfa.serial.clone(), chain: chain.clone(), said }.into()
            } else {
                error.into()
            }
        })
    }

    pub(super) async fn base(&self, chain: &RoleChain, freshness: Freshness) -> Result<Arc<Session>, SessionError> {
        match Box::pin(self.get(chain, freshness)).await {
            Ok(served) => Ok(served.session),
            Err(problem) => Err(SessionError::clone(&problem)),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.aws.now()
    }
}
