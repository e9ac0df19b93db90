//! Logging in: whatever a source's credentials need of a person, one thing after the other.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode, LoginRequest, LoginStep, SourceName};
use tokio::sync::mpsc::Sender;

use super::{Agent, AgentError, Profiles, resolve};
use crate::sessions::{Freshness, MfaError, SessionError};
use rolecall_aws::source::Login;
use rolecall_aws::sso::SsoSession;
use rolecall_aws::sso::SsoStep;
use rolecall_core::config::SourceConfig;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// Things that one login may need: a sign-in, and a code for each role that takes its own.
const THINGS: usize = 16;
/// How long the desktop's question for the keyring's password is waited for.
const UNLOCK: Duration = Duration::from_mins(2);
/// How long AWS may take to say whose the credentials are: nobody needs to know to be logged in.
const IDENTIFY: Duration = Duration::from_secs(5);

/// One login under way.
struct Attempt<'a> {
    agent: &'a Agent,
    name: &'a SourceName,
    /// Those that may use it.
    profiles: Arc<Profiles>,
    request: LoginRequest,
    tell: Sender<LoginStep>,
    /// Whether somebody had to do something.
    changed: bool,
    /// Whether a code was given in this attempt.
    gave_code: bool,
}

/// What became of a thing that was needed.
enum Mended {
    /// It is there: go on.
    Yes,
    /// This is the last step.
    Ends(Box<LoginStep>),
}

impl Mended {
    fn ends(last: LoginStep) -> Self {
        Self::Ends(Box::new(last))
    }
}

impl Agent {
    /// Gets what a source needs of a person, and tells what they have to do. The last step ends it.
    pub async fn login(self: Arc<Self>, name: SourceName, mut request: LoginRequest, tell: Sender<LoginStep>) {
        let configured = match self.check_unlocked() {
            Ok(()) => self.configured(&name, request.draft.take()).await,
            Err(locked) => Err(locked),
        };
        let last = match configured {
            Ok((source, profiles)) => {
                let (agent, name, tell) = (&*self, &name, tell.clone());
                let mut attempt = Attempt { agent, name, profiles, request, tell, changed: false, gave_code: false };
                let last = attempt.run(&source).await;
                // What others wait for may be there, whether or not this went well to its end.
                if attempt.changed || matches!(last, LoginStep::Done { .. }) {
                    agent.logged_in();
                }
                last
            }
            Err(AgentError(error)) => LoginStep::Failed { error },
        };
        // Whoever asked may have left; what was got stays.
        drop(tell.send(last).await);
    }

    /// The source of that name and the profiles that may use it, of the configuration in force or of one that may become it.
    async fn configured(
        &self,
        name: &SourceName,
        draft: Option<String>,
    ) -> Result<(SourceConfig, Arc<Profiles>), AgentError> {
        self.check_unlocked()?;
        let Some(draft) = draft else { return Ok((self.source(name)?, self.profiles())) };
        let made = resolve(&self.candidate(draft).await?, &self.person);
        let source = made.sources.get(name).cloned();
        let unknown = || AgentError::unknown_source(name, made.sources.keys().map(SourceName::as_str));
        Ok((source.ok_or_else(unknown)?, made.profiles))
    }

    /// The source of that name.
    pub(super) fn source(&self, name: &SourceName) -> Result<SourceConfig, AgentError> {
        let find = || self.config.current().made.sources.get(name).cloned();
        if let Some(source) = find() {
            return Ok(source);
        }
        // It may have been added this very moment, before the watch told us.
        self.reload();
        find().ok_or_else(|| {
            let made = Arc::clone(&self.config.current().made);
            AgentError::unknown_source(name, made.sources.keys().map(SourceName::as_str))
        })
    }

    /// The chain of a source alone, where its profiles have it.
    pub(super) fn base_of(profiles: &Profiles, name: &SourceName, source: &SourceConfig) -> RoleChain {
        let used = profiles.values().find(|profile| profile.source_name == *name);
        used.map_or_else(|| RoleChain::from_source(source.clone()), |profile| profile.chain.base())
    }

    /// The chain of a source alone, and those of profiles that take a code of their own and wait for one.
    fn wanting(&self, profiles: &Profiles, name: &SourceName, source: &SourceConfig) -> (RoleChain, Vec<RoleChain>) {
        let of_source: Vec<_> = profiles.values().filter(|profile| profile.source_name == *name).collect();
        let base = Self::base_of(profiles, name, source);
        let waits = |profile: &Profile| {
            let known = self.sessions.peek(&profile.chain);
            let is_there = known.session.is_some_and(|session| session.is_usable(self.now()));
            let was_refused =
                known.last_failure.is_some_and(|last_failure| matches!(*last_failure.error, SessionError::Mfa(_)));
            was_refused || !is_there && self.journal.of(&profile.name).used.is_some()
        };
        let coded = of_source.iter().filter(|profile| self.sessions.mfa_in_assume_role(&profile.chain));
        let waiting = coded.clone().filter(|profile| waits(profile)).map(|profile| profile.chain.clone()).collect();
        // Where every role takes a code of its own, there is no session of the source to log in to.
        let all_coded = !of_source.is_empty() && coded.count() == of_source.len();
        (if all_coded { base.without_mfa() } else { base }, waiting)
    }
}

impl Attempt<'_> {
    async fn run(&mut self, source: &SourceConfig) -> LoginStep {
        let (base, waiting) = self.agent.wanting(&self.profiles, self.name, source);
        // Another program may have logged in this very moment, before the watch told us.
        self.agent.sessions.aws_files_changed();
        let mut is_renewed = false;
        if self.request.renew {
            match self.agent.sessions.sources().aws_profiles().login_of(source).await {
                Some(Login::Sso(session)) => {
                    if let Mended::Ends(last) = self.sign_in(&session).await {
                        return *last;
                    }
                }
                Some(Login::Aws { profile }) => return command(&profile),
                Some(Login::Keyring(_)) | None => is_renewed = true,
            }
        }
        // Their sessions may be good for a while still.
        let waiting = waiting.into_iter().map(|chain| (chain, Freshness::Refresh));
        for (chain, freshness) in waiting.chain([(base.clone(), Freshness::Cached)]) {
            if let Err(last) = self.get(&chain, freshness).await {
                return *last;
            }
        }
        if is_renewed {
            let coded = self.agent.sessions.mfa_source(&base).unwrap_or_else(|| base.clone());
            if let Err(last) = self.get(&coded, Freshness::BypassCache).await {
                return *last;
            }
        }
        let session = self.agent.sessions.peek(&base).session;
        let arn = match &session {
            Some(session) => tokio::time::timeout(IDENTIFY, self.agent.sessions.identify(&base, session)).await.ok(),
            None => None,
        };
        let source = self.agent.status_of_source(&self.profiles, self.name, source);
        LoginStep::Done { source, arn: arn.and_then(Result::ok), changed: self.changed }
    }

    /// Gets a session, with whatever it needs of a person. An error is the last step.
    async fn get(&mut self, chain: &RoleChain, freshness: Freshness) -> Result<(), Box<LoginStep>> {
        for _ in 0..THINGS {
            let wanted = self.agent.sessions.login_failure(chain);
            // Served on for a while, but a newer one needs a person: that is whom we have.
            let problem = match self.agent.sessions.get(chain, freshness).await {
                Ok(served) => served.problem.or(wanted),
                Err(problem) => Some(problem),
            };
            let Some(problem) = problem else { return Ok(()) };
            match self.mend(chain, &problem).await {
                Mended::Yes => self.agent.sessions.clear_failures(chain),
                Mended::Ends(last) => return Err(last),
            }
        }
        let error = ErrorBody::new(ErrorCode::LoginFailed, format!("source \"{}\": it asks for ever more", self.name));
        Err(Box::new(LoginStep::Failed { error: error.hint("See rolecall agent logs.") }))
    }

    async fn mend(&mut self, chain: &RoleChain, problem: &SessionError) -> Mended {
        match problem {
            SessionError::Mfa(MfaError::Needed { serial, chain: what_for, .. }) => match self.request.code.take() {
                Some(code) => {
                    self.agent.sessions.offer_mfa_code(what_for, code);
                    (self.gave_code, self.changed) = (true, true);
                    Mended::Yes
                }
                None => Mended::ends(LoginStep::MfaCode { serial: serial.clone(), refused: None }),
            },
            SessionError::Mfa(MfaError::Refused { serial, chain: what_for, .. }) => {
                // It is one person's; others are to hear that a code is needed.
                self.agent.sessions.clear_failures(chain);
                drop(self.agent.sessions.get(what_for, Freshness::Refresh).await);
                let refused = self.gave_code.then(|| problem.body(self.name));
                Mended::ends(LoginStep::MfaCode { serial: serial.clone(), refused })
            }
            SessionError::Source(error) => match error.login() {
                Some(Login::Sso(session)) => self.sign_in(&session).await,
                Some(Login::Aws { profile }) => Mended::ends(command(&profile)),
                Some(Login::Keyring(name)) => match self.agent.keyring.unlock(Some(&name), UNLOCK).await {
                    Ok(()) => {
                        self.changed = true;
                        self.agent.sources_changed();
                        Mended::Yes
                    }
                    Err(error) => Mended::ends(LoginStep::Failed { error: error.body(Some(&name)) }),
                },
                None => self.fail(problem),
            },
            _ => self.fail(problem),
        }
    }

    fn fail(&self, problem: &SessionError) -> Mended {
        Mended::ends(LoginStep::Failed { error: problem.body(self.name) })
    }

    /// Signs in to IAM Identity Center.
    async fn sign_in(&mut self, session: &SsoSession) -> Mended {
        let clock = self.agent.aws.clock();
        let mut login = self.agent.sessions.sources().aws_profiles().sso().login(session, self.request.flow, true);
        while let Some(step) = login.next().await {
            match step {
                SsoStep::Open { url, code, expires, joined } => {
                    let step = LoginStep::Browser { url, code, expires: clock.stamp(expires), joined };
                    drop(self.tell.send(step).await);
                }
                SsoStep::Done => {
                    self.changed = true;
                    // Also of what the program before this one has got.
                    self.agent.study().await;
                    self.agent.sources_changed();
                    return Mended::Yes;
                }
                SsoStep::Failed(error) => {
                    let message = format!("source \"{}\": {error}", self.name);
                    let error = ErrorBody::new(ErrorCode::LoginFailed, message);
                    let hint = format!("Try again: rolecall login {}", self.name);
                    return Mended::ends(LoginStep::Failed { error: error.hint(hint) });
                }
            }
        }
        let error = ErrorBody::new(ErrorCode::LoginFailed, format!("source \"{}\": the login was given up", self.name));
        Mended::ends(LoginStep::Failed { error: error.hint(format!("Try again: rolecall login {}", self.name)) })
    }
}

/// Signing in for the AWS CLI is the AWS CLI's to do; what it gets is found where it leaves it.
fn command(profile: &str) -> LoginStep {
    LoginStep::Command { argv: ["aws", "login", "--profile", profile].map(str::to_owned).to_vec() }
}
