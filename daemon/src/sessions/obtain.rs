//! The flights: how a session is got, be it a source's, one for an MFA code, or a role's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::Secret;

use super::codes::{self, CodeError};
use super::{SessionError, Sessions, Want};
use crate::aws::Aws;
use crate::aws::AwsErrorKind;
use crate::config::Mfa;
use crate::config::inputs::StsAddress;
use crate::hop::{self, Assume, Code, HopError};
use crate::profile::Chain;
use crate::profile::Endpoint;
use crate::profile::Hop;
use crate::session::Session;
use crate::source::Resolved;

/// How long a source may take: it may have to run a program (E3).
const SOURCE: Duration = Duration::from_secs(40);

/// A call that is made with a code.
enum CodedCall<'a> {
    /// For a session that is good for all roles.
    Session { endpoint: &'a Endpoint, keys: &'a Session, length: Duration },
    /// For a role's.
    Role(Assume<'a>),
}

impl CodedCall<'_> {
    async fn send(&self, aws: &Aws, code: Code<'_>) -> Result<Session, HopError> {
        match self {
            Self::Session { endpoint, keys, length } => hop::session_token(aws, endpoint, keys, code, *length).await,
            Self::Role(asked) => hop::assume(aws, Assume { code: Some(code), ..*asked }).await,
        }
    }
}

impl Sessions {
    /// Gets a session, whatever is there.
    pub(super) async fn obtain(&self, chain: &Chain, want: Want) -> Result<Session, SessionError> {
        match (chain.hops.last(), &chain.source.mfa) {
            (Some(hop), _) => self.obtain_role(chain, hop, want).await,
            // What a source gives is the same one everywhere.
            (None, _) if *chain != chain.base() => self.copy_of(&chain.base(), chain, want).await,
            (None, Some(mfa)) => self.obtain_for_code(chain, mfa, want).await,
            (None, None) => self.obtain_source(chain, want).await,
        }
    }

    /// A source's own credentials, or what the role that its AWS profile names gets.
    async fn obtain_source(&self, chain: &Chain, want: Want) -> Result<Session, SessionError> {
        let begin = self.now();
        let resolving = self.sources.resolve(&chain.source, &chain.region);
        let resolved = tokio::time::timeout(SOURCE, resolving).await.map_err(|_| SessionError::Overdue)?;
        if let Err(error) = &resolved {
            self.bases.depends_on(chain, error.login());
        }
        let session = match resolved? {
            Resolved::Through(inner) => {
                self.bases.leads_through(chain, Some(inner.clone()));
                return self.copy_of(&inner, chain, want).await;
            }
            Resolved::Session(session, login) => {
                self.bases.depends_on(chain, login);
                session
            }
        };
        self.bases.leads_through(chain, None);
        if !session.is_usable(self.now()) {
            // It may be the clock that is wrong.
            self.learn_time(chain, &session).await;
        }
        self.bases.asked(chain, begin);
        if session.is_usable(self.now()) { Ok(*session) } else { Err(SessionError::Ended) }
    }

    /// The session of another chain, which is this one's too.
    async fn copy_of(&self, other: &Chain, chain: &Chain, want: Want) -> Result<Session, SessionError> {
        let begin = self.now();
        let want = if want == Want::New && other.needs_person() { Want::Fresh } else { want };
        let session = self.base(other, want).await?;
        self.bases.asked(chain, begin);
        Ok(Session::clone(&session))
    }

    /// A session for a code of an MFA device: one code for all roles of the source.
    async fn obtain_for_code(&self, chain: &Chain, mfa: &Mfa, want: Want) -> Result<Session, SessionError> {
        let begin = self.now();
        let keys = self.base(&chain.keys(), if want == Want::New { Want::New } else { Want::Fresh }).await?;
        if keys.credentials.session_token().is_some() {
            return Err(CodeError::Temporary.into());
        }
        let key = keys.credentials.access_key_id();
        let is_other = self.bases.was_got_with_others(chain, key);
        if want == Want::Fresh
            && let Some(session) = self.look(chain).session.filter(|session| session.is_fresh(begin))
            && !is_other
        {
            // AWS's files were changed, but not those keys: what they were good for is so still.
            self.bases.asked(chain, begin);
            return Ok(Session::clone(&session));
        }
        let region = self.sources.home(&chain.source, &chain.region).await;
        let endpoint = Endpoint { source: chain.keys().source.clone(), region, sts: StsAddress::default() };
        let call = CodedCall::Session { endpoint: &endpoint, keys: &keys, length: mfa.session };
        let session = self.with_code(chain, mfa, &call).await.map_err(|error| match error {
            SessionError::Code(CodeError::Needed { serial, chain, .. }) => {
                CodeError::Needed { serial, chain, is_other }.into()
            }
            error => error,
        })?;
        self.bases.was_got_with(chain, key);
        self.bases.asked(chain, begin);
        Ok(session)
    }

    /// A role's session.
    async fn obtain_role(&self, chain: &Chain, hop: &Hop, want: Want) -> Result<Session, SessionError> {
        let before = chain.without_last();
        // Whoever wants a new one, whatever there was, means the source too; but not that a person gives another code.
        let is_new = want == Want::New && !before.needs_person();
        let base = self.base(&before, if is_new { Want::New } else { Want::Fresh }).await?;
        let is_clamped = want != Want::New && self.look(chain).session.is_some_and(|last| last.is_clamped);
        let endpoint = chain.endpoint();
        let name = self.session_name(chain, hop).await?;
        let asked = Assume { endpoint: &endpoint, hop, name: &name, base: &base, code: None, is_clamped };
        if let Some(mfa) = chain.source.mfa.as_ref().filter(|_| chain.takes_code()) {
            return self.with_code(chain, mfa, &CodedCall::Role(asked)).await;
        }
        match hop::assume(&self.aws, asked).await {
            Err(error) if error.error.kind == AwsErrorKind::BaseRejected => {
                // It may have been replaced where it comes from, so it is asked for once more (B8).
                let newer = self.base(&before, Want::New).await?;
                if newer.signs_as(&base) {
                    return Err(error.into());
                }
                Ok(hop::assume(&self.aws, Assume { base: &newer, ..asked }).await?)
            }
            assumed => Ok(assumed?),
        }
    }

    /// Makes a call that takes a code: the one that somebody gave, else what the command prints.
    async fn with_code(&self, chain: &Chain, mfa: &Mfa, call: &CodedCall<'_>) -> Result<Session, SessionError> {
        let code = match (self.codes.take(chain, &mfa.serial, self.now()), &mfa.process) {
            (Ok(code), _) => return self.call_with(chain, mfa, code, call).await,
            (Err(CodeError::Needed { .. }), Some(command)) => {
                let code = codes::ask(mfa, command).await?;
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
            (Err(SessionError::Code(CodeError::Refused { .. })), Some(command)) => {
                let code = self.ask_later(mfa, command).await?;
                self.call_with(chain, mfa, code, call).await
            }
            (outcome, _) => outcome,
        }
    }

    /// The code of the next window.
    async fn ask_later(&self, mfa: &Mfa, command: &str) -> Result<Secret<String>, CodeError> {
        tokio::time::sleep(codes::next_window(self.now())).await;
        codes::ask(mfa, command).await
    }

    async fn call_with(
        &self,
        chain: &Chain,
        mfa: &Mfa,
        code: Secret<String>,
        call: &CodedCall<'_>,
    ) -> Result<Session, SessionError> {
        let called = call.send(&self.aws, Code { serial: &mfa.serial, code: &code }).await;
        self.codes.used(&mfa.serial, code, self.now());
        called.map_err(|error| {
            if error.is_code_refused() {
                let said = "it is wrong, of another time, or was used before".to_owned();
                CodeError::Refused { serial: mfa.serial.clone(), chain: chain.clone(), said }.into()
            } else {
                error.into()
            }
        })
    }

    pub(super) async fn base(&self, chain: &Chain, want: Want) -> Result<Arc<Session>, SessionError> {
        match Box::pin(self.get(chain, want)).await {
            Ok(served) => Ok(served.session),
            Err(problem) => Err(SessionError::clone(&problem)),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.aws.now()
    }
}
