//! What IAM Identity Center knows: its people's assignments, clients, logins that wait, tokens.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use crate::random::base64_text;
use crate::secrets;

/// How a person in front of a browser behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Person {
    /// Looks at the page, and does nothing.
    #[default]
    Waits,
    Approves,
    Denies,
}

/// A registered client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) secret: String,
    pub(crate) grants: Vec<String>,
    pub(crate) redirects: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: SystemTime,
}

/// What became of a request for a person's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pending,
    Approved(String),
    Denied,
}

/// A device that waits.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) client: String,
    pub(crate) user_code: String,
    pub(crate) verdict: Verdict,
    pub(crate) expires: SystemTime,
    /// In real time: how fast a client polls has nothing to do with a clock that a test turns.
    pub(crate) polled: Option<Instant>,
}

/// A code that a browser was sent back with.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) client: String,
    pub(crate) redirect: String,
    pub(crate) challenge: String,
    pub(crate) user: String,
    pub(crate) expires: SystemTime,
}

/// A login of a person. Its tokens come and go.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) client: String,
    pub(crate) ends: SystemTime,
    pub(crate) refresh: Option<String>,
}

/// An access token.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) login: usize,
    pub(crate) expires: SystemTime,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Center {
    pub(crate) start_url: String,
    pub(crate) person: Person,
    /// Who sits in front of the browser.
    pub(crate) user: String,
    pub(crate) token_life: Duration,
    pub(crate) login_life: Duration,
    pub(crate) role_life: Duration,
    pub(crate) device_life: Duration,
    pub(crate) interval: Duration,
    /// User, account, role.
    pub(crate) assignments: BTreeSet<(String, String, String)>,
    pub(crate) clients: HashMap<String, Client>,
    pub(crate) devices: HashMap<String, Device>,
    pub(crate) codes: HashMap<String, Code>,
    pub(crate) logins: Vec<Login>,
    pub(crate) access: HashMap<String, Access>,
    pub(crate) secrets: Vec<String>,
}

impl Default for Center {
    /// As AWS has it, but for the pace: five seconds would be long in a test.
    fn default() -> Self {
        Self {
            start_url: "https://d-9067642ac7.awsapps.com/start".to_owned(),
            person: Person::default(),
            user: "dev".to_owned(),
            token_life: Duration::from_hours(1),
            login_life: Duration::from_hours(8),
            role_life: Duration::from_hours(1),
            device_life: Duration::from_mins(10),
            interval: Duration::from_secs(1),
            assignments: BTreeSet::new(),
            clients: HashMap::new(),
            devices: HashMap::new(),
            codes: HashMap::new(),
            logins: Vec::new(),
            access: HashMap::new(),
            secrets: Vec::new(),
        }
    }
}

impl Center {
    /// A new secret, that a leak check can look for.
    pub(crate) fn secret(&mut self, characters: usize) -> String {
        let secret = base64_text(characters);
        secrets::issue("a token, code or client secret of IAM Identity Center", &secret);
        self.secrets.push(secret.clone());
        secret
    }

    /// The person's behaviour as a verdict.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.person {
            Person::Waits => Verdict::Pending,
            Person::Approves => Verdict::Approved(self.user.clone()),
            Person::Denies => Verdict::Denied,
        }
    }

    /// Ends a login and all its tokens.
    pub(crate) fn end(&mut self, login: usize, now: SystemTime) {
        self.access.retain(|_, access| access.login != login);
        self.logins[login].refresh = None;
        self.logins[login].ends = now;
    }
}

/// The ARN of the role that an assignment makes in its account.
pub(crate) fn role_arn(account: &str, role: &str) -> String {
    format!(
        "arn:aws:iam::{account}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_{role}_0123456789abcdef"
    )
}
