//! A login, and how whoever waits for it hears of it: one flow of a session, however many wait.

use std::time::SystemTime;

use rolecall_protocol::LoginFlow;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Wire;
use super::in_flight::{Login, Running};
use super::token::{self, Token};
use super::{Sso, SsoError, SsoSession, browser, device};

/// What a person has to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) url: String,
    pub(super) code: Option<String>,
    pub(super) expires: SystemTime,
}

/// How far a login has come.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// Nobody has to do anything yet.
    Begun,
    /// A person has to open this.
    Open(Page),
    /// It is over.
    Ended(Result<(), SsoError>),
}

/// A login as one of those sees it who wait for it. Dropping it leaves the login as it is.
#[derive(Debug)]
pub struct SsoLogin {
    progress: watch::Receiver<Progress>,
    joined: bool,
    is_shown: bool,
    is_over: bool,
}

/// A step of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SsoStep {
    /// A person has to open this address, and to confirm there.
    Open {
        /// The address, with everything in it. Safe to give to a browser.
        url: String,
        /// What the page shows; there is none where the browser comes back to this machine.
        code: Option<String>,
        /// Until when, in AWS's time.
        expires: SystemTime,
        /// Whether this was begun before.
        joined: bool,
    },
    /// The last: there is a good token.
    Done,
    /// The last: there is none.
    Failed(SsoError),
}

impl Progress {
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

impl SsoLogin {
    /// The next step; `None` after the last.
    pub async fn next(&mut self) -> Option<SsoStep> {
        while !self.is_over {
            let progress = self.progress.borrow_and_update().clone();
            match progress {
                Progress::Ended(outcome) => {
                    self.is_over = true;
                    return Some(outcome.map_or_else(SsoStep::Failed, |()| SsoStep::Done));
                }
                Progress::Open(Page { url, code, expires }) if !self.is_shown => {
                    self.is_shown = true;
                    return Some(SsoStep::Open { url, code, expires, joined: self.joined });
                }
                Progress::Begun | Progress::Open(_) => {}
            }
            if self.progress.changed().await.is_err() {
                self.is_over = true;
                return Some(SsoStep::Failed(SsoError::login_needed("the login was dropped")));
            }
        }
        None
    }
}

impl Sso {
    /// Begins a login, or joins the one that is under way for that session the same way. One that goes the other way ends,
    /// and those who wait for it are told: it may be one that nobody can finish, such as a page that comes back to a machine
    /// where nobody sits. The flow is a task of its own: it survives whoever leaves, until its own end. Without `renew`, a
    /// token that is good still, or can be renewed, is [`SsoStep::Done`] at once.
    pub fn login(&self, session: &SsoSession, flow: LoginFlow, renew: bool) -> SsoLogin {
        let mut slots = self.slots();
        let ticket = slots.ticket();
        let slot = slots.of(&self.path(session));
        if let Some(login) = slot.login.as_ref().filter(|login| login.is_under_way()) {
            if login.flow == flow {
                let progress = login.running.outcome.clone();
                return SsoLogin { progress, joined: true, is_shown: false, is_over: false };
            }
            login.replaced.cancel();
        }
        let (tell, progress) = watch::channel(Progress::Begun);
        let (sso, owned, replaced) = (self.clone(), session.clone(), CancellationToken::new());
        let is_replaced = replaced.clone();
        let task = tokio::spawn(async move {
            let show = |page: Page| drop(tell.send_replace(Progress::Open(page)));
            let login = Box::pin(sso.log_in(&owned, flow, renew, ticket, show));
            let outcome = is_replaced.run_until_cancelled(login).await;
            let outcome = outcome.unwrap_or_else(|| Err(SsoError::login_needed("another was begun in its place")));
            if let Err(error) = &outcome {
                tracing::info!(%error, "a login to IAM Identity Center has failed");
            }
            tell.send_replace(Progress::Ended(outcome));
        });
        let running = Running { ticket, outcome: progress.clone(), task: task.abort_handle() };
        slot.login = Some(Login { flow, replaced, running });
        SsoLogin { progress, joined: false, is_shown: false, is_over: false }
    }

    async fn log_in(
        &self,
        session: &SsoSession,
        flow: LoginFlow,
        renew: bool,
        ticket: u64,
        show: impl Fn(Page),
    ) -> Result<(), SsoError> {
        if !renew && self.token(session).await.is_ok() {
            return Ok(());
        }
        // Before a person is asked: what they approve has to be kept.
        token::prepare(&self.path(session))?;
        let (aws, wire) = (self.aws(), Wire::new(self.aws(), session));
        let (client, granted) = match flow {
            LoginFlow::Device => device::run(aws, &wire, show).await?,
            LoginFlow::Browser => browser::run(aws, session, &wire, show).await?,
        };
        // What the session forbids to renew, it has no refresh token for; AWS may give one all the same.
        let token = Token::new(session, client, granted, self.local_now());
        if self.keep_login(session, ticket, token)? {
            tracing::info!(start_url = session.start_url, "logged in to IAM Identity Center");
            Ok(())
        } else {
            Err(SsoError::login_needed("somebody logged out meanwhile"))
        }
    }
}
