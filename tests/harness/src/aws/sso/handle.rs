//! What a test can do to IAM Identity Center, and the person in front of a browser.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::super::role::Role;
use super::super::state::SharedAws;
use super::records::{Person, Verdict, role_arn};

/// A page that takes longer is a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than this is a loop.
const MAX_REDIRECTS: usize = 4;

/// A handle on the IAM Identity Center of an embedded AWS; clones are the same one.
#[derive(Clone, Debug)]
pub struct Sso {
    shared: Arc<SharedAws>,
    addr: SocketAddr,
}

impl Sso {
    pub(crate) fn new(shared: Arc<SharedAws>, addr: SocketAddr) -> Self {
        Self { shared, addr }
    }

    /// `sso_start_url`
    pub fn start_url(&self) -> String {
        self.shared.state().sso.start_url.clone()
    }

    /// Assigns a permission set to a user in an account, which makes a role there: returns its ARN, for access entries and
    /// trust policies. The user who sits in front of the browser is `dev`, unless [`Sso::sit_down`] says otherwise.
    pub fn assign(&self, user: &str, account: &str, role: &str) -> String {
        let arn = role_arn(account, role);
        let mut state = self.shared.state();
        if state.identities.role(&arn).is_none() {
            state.identities.put_role(Role::new(&arn));
        }
        state.sso.assignments.insert((user.to_owned(), account.to_owned(), role.to_owned()));
        arn
    }

    /// Takes an assignment back.
    pub fn unassign(&self, user: &str, account: &str, role: &str) {
        let assignment = (user.to_owned(), account.to_owned(), role.to_owned());
        self.shared.state().sso.assignments.remove(&assignment);
    }

    /// What credentials of an assigned role say who they are, as GetCallerIdentity does.
    pub fn session_arn(user: &str, account: &str, role: &str) -> String {
        format!("arn:aws:sts::{account}:assumed-role/AWSReservedSSO_{role}_0123456789abcdef/{user}")
    }

    /// Another person sits down in front of the browser.
    pub fn sit_down(&self, user: &str) {
        user.clone_into(&mut self.shared.state().sso.user);
    }

    /// The person approves the device that shows this code. Panics if there is none.
    pub fn approve(&self, user_code: &str) {
        let user = self.shared.state().sso.user.clone();
        self.judge(user_code, Verdict::Approved(user));
    }

    /// The person refuses the device that shows this code. Panics if there is none.
    pub fn deny(&self, user_code: &str) {
        self.judge(user_code, Verdict::Denied);
    }

    fn judge(&self, user_code: &str, verdict: Verdict) {
        let mut state = self.shared.state();
        let device = state.sso.devices.values_mut().find(|device| device.user_code == user_code);
        device.unwrap_or_else(|| panic!("no device shows {user_code}")).verdict = verdict;
    }

    /// From now on the person approves whatever is shown to them; a device is approved before they have opened its page.
    pub fn approve_all(&self) {
        self.behave(Person::Approves);
    }

    /// From now on the person refuses whatever is shown to them.
    pub fn deny_all(&self) {
        self.behave(Person::Denies);
    }

    /// From now on the person does nothing by themselves, as at first.
    pub fn wait_for_person(&self) {
        self.behave(Person::Waits);
    }

    fn behave(&self, person: Person) {
        self.shared.state().sso.person = person;
    }

    /// The codes of the devices that nobody has approved or refused.
    pub fn waiting(&self) -> Vec<String> {
        let state = self.shared.state();
        let waiting = state.sso.devices.values().filter(|device| device.verdict == Verdict::Pending);
        waiting.map(|device| device.user_code.clone()).collect()
    }

    /// Opens an address as a browser does, follows where it leads, and returns the last answer, head and all. Everything has
    /// to be plain HTTP on loopback.
    pub fn browse(url: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let answer = get(&url);
            let head = answer.split("\r\n\r\n").next().unwrap_or_default();
            match head.lines().find_map(|line| line.strip_prefix("location: ")) {
                Some(next) => next.clone_into(&mut url),
                None => return answer,
            }
        }
        panic!("{url} leads in circles");
    }

    /// How long an access token lasts: an hour at first.
    pub fn token_life(&self, life: Duration) {
        self.shared.state().sso.token_life = life;
    }

    /// How long a login lasts, however often it is renewed: eight hours at first.
    pub fn login_life(&self, life: Duration) {
        self.shared.state().sso.login_life = life;
    }

    /// How long credentials of a role last: an hour at first.
    pub fn role_life(&self, life: Duration) {
        self.shared.state().sso.role_life = life;
    }

    /// How long a device code lasts: ten minutes at first.
    pub fn device_life(&self, life: Duration) {
        self.shared.state().sso.device_life = life;
    }

    /// How long a device has to pause between polls, in real time: a second at first.
    pub fn interval(&self, interval: Duration) {
        self.shared.state().sso.interval = interval;
    }

    /// An administrator ends every login: no token is taken any more, of either kind.
    pub fn revoke_all(&self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        for login in 0..state.sso.logins.len() {
            state.sso.end(login, now);
        }
    }

    /// No refresh token is taken any more; access tokens are, until their end.
    pub fn revoke_refresh(&self) {
        for login in &mut self.shared.state().sso.logins {
            login.refresh = None;
        }
    }

    /// No access token is taken any more; refresh tokens are.
    pub fn revoke_access(&self) {
        self.shared.state().sso.access.clear();
    }

    /// Every token and client secret ever issued here, for leak checks.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().sso.secrets.clone()
    }

    /// A code that a browser was sent back with, and that nobody has redeemed.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Option<String> {
        self.shared.state().sso.codes.keys().next().cloned()
    }

    /// What `~/.aws/config` has to say for an AWS profile with such a role: an `[sso-session]`, or with `None` the legacy
    /// keys, and `services` that lead here. The session's section is left out if `with_session` is false.
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
        let (own, section) = match session {
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
            "{section}[profile {profile}]\n{own}sso_account_id = {account}\nsso_role_name = {role}\nregion = sa-east-1\n\
             services = {profile}-embedded\n\n[services {profile}-embedded]\n{services}"
        )
    }
}

fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not plain HTTP"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).unwrap_or_else(|error| panic!("{url}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{url}: {error}"));
    answer
}
