//! A login with the user: one flow at a time for each session, however many callers wait for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rolecall_core::single_flight::{Cache, InFlight};
use rolecall_protocol::LoginFlow;
use tokio::sync::watch;

use super::client::{SsoClient, VerificationPage};
use super::error::SsoError;
use super::refresh::Refresher;
use super::session::SsoSession;
use super::store::{TokenStore, WritePermit};
use super::token::{self, SsoToken};
use super::{browser, device};
use crate::client::Aws;

/// The logins that are under way.
pub(super) struct Logins {
    aws: Aws,
    store: Arc<TokenStore>,
    refresher: Refresher,
    in_flight: Arc<Cache<PathBuf, (), SsoError>>,
    active: Mutex<HashMap<PathBuf, ActiveLogin>>,
}

#[derive(Clone)]
struct ActiveLogin {
    flow: LoginFlow,
    page: watch::Receiver<Option<VerificationPage>>,
    outcome: InFlight<(), SsoError>,
}

/// One run of a login flow.
struct LoginTask {
    aws: Aws,
    store: Arc<TokenStore>,
    refresher: Refresher,
    session: SsoSession,
    flow: LoginFlow,
    renew: bool,
    permit: WritePermit,
    page: watch::Sender<Option<VerificationPage>>,
}

/// The steps of a login, for one of the callers that wait for it. The login continues if this is dropped.
#[derive(Debug)]
pub struct SsoLogin {
    page: watch::Receiver<Option<VerificationPage>>,
    /// `None` after the last step.
    outcome: Option<InFlight<(), SsoError>>,
    joined: bool,
    is_shown: bool,
}

/// A step of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SsoStep {
    /// The user has to open this address and confirm the login there.
    Open {
        /// The address, with every parameter. Safe to give to a browser.
        url: String,
        /// The code that the page shows; `None` if the browser is redirected to this machine.
        code: Option<String>,
        /// When the page expires, in AWS's time.
        expires: SystemTime,
        /// Whether another caller started this login.
        joined: bool,
    },
    /// The last step: the token is valid.
    Done,
    /// The last step: there is no token.
    Failed(SsoError),
}

impl Logins {
    pub(super) fn new(aws: Aws, store: Arc<TokenStore>, refresher: Refresher) -> Self {
        let in_flight = Cache::new(aws.clock().clone(), |_| {});
        Self { aws, store, refresher, in_flight, active: Mutex::default() }
    }

    /// Starts a login, or joins the one under way for the session if it uses the same flow. A login with the other flow is
    /// cancelled: it may be one that the user cannot finish, such as a redirect to a machine without a browser.
    pub(super) fn start(&self, session: &SsoSession, flow: LoginFlow, renew: bool) -> SsoLogin {
        let path = self.store.path(session);
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.retain(|path, _| self.in_flight.is_loading(path));
        if let Some(login) = active.get(&path).filter(|login| login.flow == flow) {
            return SsoLogin::new(login.clone(), true);
        }
        let permit = self.store.begin_login(session);
        self.in_flight.retain(|other| *other != path);
        let (send, page) = watch::channel(None);
        let task = LoginTask {
            aws: self.aws.clone(),
            store: Arc::clone(&self.store),
            refresher: self.refresher.clone(),
            session: session.clone(),
            flow,
            renew,
            permit,
            page: send,
        };
        let outcome = self.in_flight.get_or_start(&path, || task.run());
        let login = ActiveLogin { flow, page, outcome };
        active.insert(path, login.clone());
        SsoLogin::new(login, false)
    }

    /// Forgets the login under way for a session, after the store has cancelled it.
    pub(super) fn forget(&self, session: &SsoSession) {
        let path = self.store.path(session);
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
        self.in_flight.retain(|other| *other != path);
    }
}

impl LoginTask {
    async fn run(self) -> Result<(), SsoError> {
        let outcome = self.permit.run_until_cancelled(Box::pin(self.log_in())).await;
        let outcome = outcome.unwrap_or_else(|| Err(SsoError::cancelled()));
        if let Err(error) = &outcome {
            tracing::info!(start_url = self.session.start_url, %error, "IAM Identity Center login failed");
        }
        outcome
    }

    async fn log_in(&self) -> Result<(), SsoError> {
        if !self.renew && self.refresher.valid_token(&self.session).await.is_ok() {
            return Ok(());
        }
        // Before the user approves anything: the token has to be saved.
        token::ensure_writable(&self.store.path(&self.session))?;
        let client = SsoClient::new(&self.aws, &self.session);
        let show = |page| drop(self.page.send_replace(Some(page)));
        let (registered, granted) = match self.flow {
            LoginFlow::Device => device::run(&self.aws, &client, show).await?,
            LoginFlow::Browser => browser::run(&self.aws, &self.session, &client, show).await?,
        };
        let token = SsoToken::new(&self.session, registered, granted, self.store.local_now());
        self.store.save_login(&self.session, &self.permit, token)?;
        self.refresher.forget(&self.session);
        tracing::info!(start_url = self.session.start_url, "IAM Identity Center login succeeded");
        Ok(())
    }
}

impl SsoLogin {
    fn new(login: ActiveLogin, joined: bool) -> Self {
        Self { page: login.page, outcome: Some(login.outcome), joined, is_shown: false }
    }

    /// The next step; `None` after the last.
    pub async fn next(&mut self) -> Option<SsoStep> {
        let outcome = self.outcome.clone()?;
        let (page, joined) = (&mut self.page, self.joined);
        let next_page = async { page.wait_for(Option::is_some).await.ok().and_then(|page| page.clone()) };
        tokio::select! {
            biased;
            outcome = outcome.wait() => {
                self.outcome = None;
                Some(outcome.map_or_else(|failure| SsoStep::Failed(failure.into()), |_| SsoStep::Done))
            }
            Some(VerificationPage { url, code, expires }) = next_page, if !self.is_shown => {
                self.is_shown = true;
                Some(SsoStep::Open { url, code, expires, joined })
            }
        }
    }
}
