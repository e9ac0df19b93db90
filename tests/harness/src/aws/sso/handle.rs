//! The handle of IAM Identity Center, and the user in front of the browser.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::super::role::Role;
use super::super::state::SharedAws;
use super::records::{Decision, UserResponse, role_arn};

/// Read timeout of a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// More redirects are a loop.
const MAX_REDIRECTS: usize = 4;

/// A handle of the IAM Identity Center of an embedded AWS; clones refer to the same one.
#[derive(Clone, Debug)]
pub struct Sso {
    shared: Arc<SharedAws>,
    addr: SocketAddr,
}

impl Sso {
    pub(crate) fn new(shared: Arc<SharedAws>, addr: SocketAddr) -> Self {
        Self { shared, addr }
    }

    /// Returns `sso_start_url`.
    pub fn start_url(&self) -> String {
        self.shared.state().sso.start_url.clone()
    }

    /// Assigns a permission set to a user in an account, and creates its role there. Returns the ARN of the role, for
    /// access entries and trust policies. The user in front of the browser is `dev`; see [`Sso::set_browser_user`].
    pub fn assign(&self, user: &str, account: &str, role: &str) -> String {
        let arn = role_arn(account, role);
        let mut state = self.shared.state();
        if state.identities.role(&arn).is_none() {
            state.identities.put_role(Role::new(&arn));
        }
        state.sso.assignments.insert((user.to_owned(), account.to_owned(), role.to_owned()));
        arn
    }

    /// Returns the ARN that GetCallerIdentity reports for an assigned role.
    pub fn session_arn(user: &str, account: &str, role: &str) -> String {
        format!("arn:aws:sts::{account}:assumed-role/AWSReservedSSO_{role}_0123456789abcdef/{user}")
    }

    /// Sets the user in front of the browser.
    pub fn set_browser_user(&self, user: &str) {
        user.clone_into(&mut self.shared.state().sso.user);
    }

    /// Approves the device with this code. Panics if there is none.
    pub fn approve(&self, user_code: &str) {
        let user = self.shared.state().sso.user.clone();
        self.decide(user_code, Decision::Approved(user));
    }

    /// Denies the device with this code. Panics if there is none.
    pub fn deny(&self, user_code: &str) {
        self.decide(user_code, Decision::Denied);
    }

    fn decide(&self, user_code: &str, decision: Decision) {
        let mut state = self.shared.state();
        let device = state.sso.devices.values_mut().find(|device| device.user_code == user_code);
        device.unwrap_or_else(|| panic!("no device shows {user_code}")).decision = decision;
    }

    /// Approves every later request; a device is approved before its page is opened.
    pub fn approve_all(&self) {
        self.set_user_response(UserResponse::Approve);
    }

    /// Denies every later request.
    pub fn deny_all(&self) {
        self.set_user_response(UserResponse::Deny);
    }

    /// Leaves later requests pending, as at first.
    pub fn leave_pending(&self) {
        self.set_user_response(UserResponse::Pending);
    }

    fn set_user_response(&self, response: UserResponse) {
        self.shared.state().sso.user_response = response;
    }

    /// Returns the codes of the devices without a decision.
    pub fn pending_user_codes(&self) -> Vec<String> {
        let state = self.shared.state();
        let pending = state.sso.devices.values().filter(|device| device.decision == Decision::Pending);
        pending.map(|device| device.user_code.clone()).collect()
    }

    /// Opens a URL as a browser does, follows redirects, and returns the last response with its head. Supports plain
    /// HTTP on loopback only.
    pub fn browse(url: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let response = get(&url);
            let head = response.split("\r\n\r\n").next().unwrap_or_default();
            match head.lines().find_map(|line| line.strip_prefix("location: ")) {
                Some(next) => next.clone_into(&mut url),
                None => return response,
            }
        }
        panic!("{url}: too many redirects");
    }

    /// Sets the lifetime of access tokens: an hour at first.
    pub fn token_life(&self, life: Duration) {
        self.shared.state().sso.token_life = life;
    }

    /// Sets the lifetime of a login, including renewals: eight hours at first.
    pub fn login_life(&self, life: Duration) {
        self.shared.state().sso.login_life = life;
    }

    /// Sets the lifetime of role credentials: an hour at first.
    pub fn role_life(&self, life: Duration) {
        self.shared.state().sso.role_life = life;
    }

    /// Sets the lifetime of device codes: ten minutes at first.
    pub fn device_life(&self, life: Duration) {
        self.shared.state().sso.device_life = life;
    }

    /// Sets the minimum real time between polls of a device: a second at first.
    pub fn interval(&self, interval: Duration) {
        self.shared.state().sso.interval = interval;
    }

    /// Ends every login, as an administrator can: all access and refresh tokens become invalid.
    pub fn revoke_all(&self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        for login in 0..state.sso.logins.len() {
            state.sso.end(login, now);
        }
    }

    /// Invalidates all refresh tokens. Access tokens stay valid until they expire.
    pub fn revoke_refresh(&self) {
        for login in &mut self.shared.state().sso.logins {
            login.refresh = None;
        }
    }

    /// Invalidates all access tokens. Refresh tokens stay valid.
    pub fn revoke_access(&self) {
        self.shared.state().sso.access.clear();
    }

    /// Returns every token and client secret issued so far, for leak checks.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().sso.secrets.clone()
    }

    /// Returns an authorization code that is not redeemed yet.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Option<String> {
        self.shared.state().sso.codes.keys().next().cloned()
    }

    /// Returns the text in `~/.aws/config` of an AWS profile with such a role: it refers to an `[sso-session]`, or,
    /// with `None`, has the legacy keys, and its `services` have the endpoint of this AWS. `with_session` adds the
    /// section of the session.
    pub(crate) fn config(
        &self,
        profile: &str,
        session: Option<&str>,
        account: &str,
        role: &str,
        with_session: bool,
    ) -> String {
        let (start_url, endpoint) = (self.start_url(), format!("http://{}", self.addr));
        let keys = format!("sso_start_url = {start_url}\nsso_region = eu-west-1\n");
        let (settings, section) = match session {
            None => (keys, String::new()),
            Some(session) => {
                let section =
                    format!("[sso-session {session}]\n{keys}sso_registration_scopes = sso:account:access\n\n");
                (format!("sso_session = {session}\n"), if with_session { section } else { String::new() })
            }
        };
        let at = |service: &str| format!("{service} =\n  endpoint_url = {endpoint}\n");
        let services = ["sts", "eks", "sso", "sso_oidc"].map(at).concat();
        format!(
            "{section}[profile {profile}]\n{settings}sso_account_id = {account}\nsso_role_name = {role}\nregion = sa-east-1\n\
             services = {profile}-embedded\n\n[services {profile}-embedded]\n{services}"
        )
    }
}

fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not plain HTTP"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).unwrap_or_else(|error| panic!("{url}: {error}"));
    stream.set_read_timeout(Some(PAGE_TIMEOUT)).expect("a socket has timeouts");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap_or_else(|error| panic!("{url}: {error}"));
    response
}
