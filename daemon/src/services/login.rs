//! The login endpoint: everything that a source needs from the user, one step after another.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode, Hint, LoginRequest, LoginStep, ProfileName, SourceName};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::config::{ConfigService, Profiles};
use super::error::AgentError;
use super::lock::LockService;
use super::recovery::Recovery;
use super::source_logins::SourceLogins;
use crate::keyring::Keyring;
use crate::sessions::{Freshness, MfaError, SessionError, Sessions};
use rolecall_aws::source::Login;
use rolecall_aws::sso::{SsoSession, SsoStep};
use rolecall_core::clock::Clock;
use rolecall_core::config::SourceConfig;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// How many things one login may need: a login, and a code for each role that needs its own.
const MAX_LOGIN_STEPS: usize = 16;
/// How long the desktop's prompt for the keyring's password is waited for.
const KEYRING_UNLOCK_TIMEOUT: Duration = Duration::from_mins(2);
/// How long GetCallerIdentity may take after a login, which is complete without it.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// Logs in to sources.
pub struct LoginService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) keyring: Keyring,
    pub(crate) source_logins: Arc<SourceLogins>,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) clock: Clock,
    /// Limits the profiles of drafts in memory: a login may take minutes.
    pub(crate) draft_profiles: Semaphore,
}

/// The profiles of the configuration that has the source.
struct LoginProfiles<'a> {
    all: Arc<Profiles>,
    _permit: Option<SemaphorePermit<'a>>,
}

/// One login in progress.
struct LoginAttempt<'a> {
    service: &'a LoginService,
    name: &'a SourceName,
    profiles: LoginProfiles<'a>,
    request: LoginRequest,
    steps: Sender<LoginStep>,
    /// Whether the user had to do something.
    changed: bool,
    /// Whether this attempt used an MFA code.
    used_code: bool,
}

/// The step with which a login ends early.
type LastStep = Box<LoginStep>;

impl LoginService {
    /// Logs in to a source and sends each step that the user has to do. The last step ends the login. A login goes on if its
    /// client leaves: the user may have approved it in the browser. Errors with `login_needed` if the last step is one that the
    /// user has to do.
    pub async fn login(
        &self,
        name: SourceName,
        mut request: LoginRequest,
        steps: Sender<LoginStep>,
    ) -> Result<(), ErrorCode> {
        let last = match self.source(&name, request.draft.take()).await {
            Ok((source, profiles)) => {
                let (service, name, steps) = (self, &name, steps.clone());
                let mut attempt =
                    LoginAttempt { service, name, profiles, request, steps, changed: false, used_code: false };
                let last = attempt.run(&source).await.unwrap_or_else(|last| *last);
                // A failed login may have been complete for a part of the profiles.
                if attempt.changed || matches!(last, LoginStep::Done { .. }) {
                    self.recovery.logged_in();
                }
                last
            }
            Err(AgentError(error)) => LoginStep::Failed { error },
        };
        let result = match &last {
            LoginStep::Done { .. } => Ok(()),
            LoginStep::Failed { error } => Err(error.code),
            _ => Err(ErrorCode::LoginNeeded),
        };
        drop(steps.send(last).await);
        result
    }

    /// Returns a source and the profiles of the active configuration, or of a draft.
    async fn source(
        &self,
        name: &SourceName,
        draft: Option<String>,
    ) -> Result<(SourceConfig, LoginProfiles<'_>), AgentError> {
        self.lock.check_unlocked()?;
        let Some(draft) = draft else {
            return Ok((self.config.source(name)?, LoginProfiles { all: self.config.profiles(), _permit: None }));
        };
        let wanted = name.clone();
        let of_draft = self.config.of_draft(draft, move |config, user| {
            let Some(source) = config.sources.get(&wanted).cloned() else {
                return Err(AgentError::unknown_source(&wanted, config.sources.keys()));
            };
            let of_source = config.profiles.iter().filter(|(_, profile)| profile.source == wanted);
            let profile =
                |(name, _): (&ProfileName, _)| Some((name.clone(), Arc::new(Profile::find(config, name, user)?)));
            Ok((source, Arc::new(of_source.filter_map(profile).collect::<Profiles>())))
        });
        let (source, all) = of_draft.await??;
        let permit = self.draft_profiles.try_acquire_many(u32::try_from(all.len()).unwrap_or(u32::MAX));
        let permit = permit.map_err(|_| {
            let busy = ErrorBody::new(ErrorCode::Throttled, "too many logins for new sources are in progress");
            AgentError(busy.hint("End one of them: Ctrl-C in its terminal."))
        })?;
        Ok((source, LoginProfiles { all, _permit: Some(permit) }))
    }
}

impl LoginAttempt<'_> {
    async fn run(&mut self, source: &SourceConfig) -> Result<LoginStep, LastStep> {
        let service = self.service;
        let (base, waiting) = service.source_logins.chains_to_log_in(&self.profiles.all, self.name, source);
        // Another program may have logged in, and the watch may not have reported it yet.
        service.sessions.aws_files_changed();
        let mut bypasses_cache = false;
        if self.request.renew {
            match service.sessions.sources().aws_profiles().login_of(source).await {
                Some(Login::Sso(session)) => self.sign_in(&session).await?,
                Some(Login::Aws { profile }) => return Ok(aws_login(&profile)),
                Some(Login::Keyring(_)) | None => bypasses_cache = true,
            }
        }
        // A profile that waits for a code may still have a usable session.
        let waiting = waiting.into_iter().map(|chain| (chain, Freshness::Refresh));
        for (chain, freshness) in waiting.chain([(base.clone(), Freshness::Cached)]) {
            self.load(&chain, freshness).await?;
        }
        if bypasses_cache {
            let mfa_chain = service.sessions.mfa_source(&base).unwrap_or_else(|| base.clone());
            self.load(&mfa_chain, Freshness::BypassCache).await?;
        }
        let arn = match service.sessions.peek(&base).session {
            Some(session) => {
                let identified = service.sessions.identify(&base, &session);
                tokio::time::timeout(IDENTIFY_TIMEOUT, identified).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        let source = service.source_logins.source_status(&self.profiles.all, self.name, source);
        Ok(LoginStep::Done { source, arn, changed: self.changed })
    }

    /// Loads a session, with what it needs from the user. An error is the last step.
    async fn load(&mut self, chain: &RoleChain, freshness: Freshness) -> Result<(), LastStep> {
        for _ in 0..MAX_LOGIN_STEPS {
            let needs_login = self.service.sessions.login_failure(chain);
            // A session that is served although its renewal needs the user counts as a failure here.
            let problem = match self.service.sessions.get(chain, freshness).await {
                Ok(served) => served.problem.or(needs_login),
                Err(problem) => Some(problem),
            };
            let Some(problem) = problem else { return Ok(()) };
            self.resolve(chain, &problem).await?;
            self.service.sessions.clear_failures(chain);
        }
        let message = format!("source \"{}\": the login needs more than {MAX_LOGIN_STEPS} steps", self.name);
        let error = ErrorBody::new(ErrorCode::LoginFailed, message);
        Err(Box::new(LoginStep::Failed { error: error.hint(Hint::command("rolecall agent logs")) }))
    }

    /// Resolves a failure with the user's help.
    async fn resolve(&mut self, chain: &RoleChain, problem: &SessionError) -> Result<(), LastStep> {
        let service = self.service;
        match problem {
            SessionError::Mfa(MfaError::Needed { serial, chain: mfa_chain, .. }) => match self.request.code.take() {
                Some(code) => {
                    service.sessions.offer_mfa_code(mfa_chain, code);
                    (self.used_code, self.changed) = (true, true);
                    Ok(())
                }
                None => end(LoginStep::MfaCode { serial: serial.clone(), refused: None }),
            },
            SessionError::Mfa(MfaError::Refused { serial, chain: mfa_chain, .. }) => {
                // The wrong code concerns this login alone: other callers are to learn that a code is needed.
                service.sessions.clear_failures(chain);
                drop(service.sessions.get(mfa_chain, Freshness::Refresh).await);
                let refused = self.used_code.then(|| problem.body(self.name));
                end(LoginStep::MfaCode { serial: serial.clone(), refused })
            }
            SessionError::Source(error) => match error.login() {
                Some(Login::Sso(session)) => self.sign_in(&session).await,
                Some(Login::Aws { profile }) => end(aws_login(&profile)),
                Some(Login::Keyring(name)) => match service.keyring.unlock(Some(&name), KEYRING_UNLOCK_TIMEOUT).await {
                    Ok(()) => {
                        self.changed = true;
                        service.recovery.sources_changed();
                        Ok(())
                    }
                    Err(error) => end(LoginStep::Failed { error: error.body(Some(&name)) }),
                },
                None => self.fail(problem),
            },
            _ => self.fail(problem),
        }
    }

    fn fail(&self, problem: &SessionError) -> Result<(), LastStep> {
        end(LoginStep::Failed { error: problem.body(self.name) })
    }

    /// Logs in to IAM Identity Center.
    async fn sign_in(&mut self, session: &SsoSession) -> Result<(), LastStep> {
        let service = self.service;
        let mut login = service.sessions.sources().aws_profiles().sso().login(session, self.request.flow, true);
        while let Some(step) = login.next().await {
            match step {
                SsoStep::Open { url, code, expires, joined } => {
                    let step = LoginStep::Browser { url, code, expires: service.clock.stamp(expires), joined };
                    drop(self.steps.send(step).await);
                }
                SsoStep::Done => {
                    self.changed = true;
                    // Sessions from before a restart may depend on this login too.
                    service.source_logins.resolve_sources().await;
                    service.recovery.sources_changed();
                    return Ok(());
                }
                SsoStep::Failed(error) => return self.sign_in_failed(&error.to_string()),
            }
        }
        self.sign_in_failed("the login was cancelled")
    }

    fn sign_in_failed(&self, error: &str) -> Result<(), LastStep> {
        let error = ErrorBody::new(ErrorCode::LoginFailed, format!("source \"{}\": {error}", self.name));
        end(LoginStep::Failed { error: error.hint(Hint::command(format!("rolecall login {}", self.name))) })
    }
}

fn end(last: LoginStep) -> Result<(), LastStep> {
    Err(Box::new(last))
}

/// Returns the step for a source of `aws login`: the AWS CLI logs in, and Rolecall reads its result.
fn aws_login(profile: &str) -> LoginStep {
    LoginStep::Command { argv: ["aws", "login", "--profile", profile].map(str::to_owned).to_vec() }
}
