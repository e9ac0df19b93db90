//! The state of IAM Identity Center: assignments, clients, device codes, logins and tokens.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use crate::random::base64_text;
use crate::secrets;

/// How the user in front of a browser responds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UserResponse {
    /// Leaves the request pending.
    #[default]
    Pending,
    Approve,
    Deny,
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

/// The decision on a request for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Pending,
    Approved(String),
    Denied,
}

/// A device that waits for approval.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) client: String,
    pub(crate) user_code: String,
    pub(crate) decision: Decision,
    pub(crate) expires: SystemTime,
    /// Real time of the last poll: the pace of a client does not depend on the clock of a test.
    pub(crate) polled: Option<Instant>,
}

/// An authorization code.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) client: String,
    pub(crate) redirect: String,
    pub(crate) challenge: String,
    pub(crate) user: String,
    pub(crate) expires: SystemTime,
}

/// A login of a user. Its tokens are replaced.
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

/// The state of IAM Identity Center.
#[derive(Debug)]
pub(crate) struct Center {
    pub(crate) start_url: String,
    pub(crate) user_response: UserResponse,
    /// The user in front of the browser.
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
    /// AWS's values, except the poll interval, which is five seconds in AWS.
    fn default() -> Self {
        Self {
            start_url: "https://d-9067642ac7.awsapps.com/start".to_owned(),
            user_response: UserResponse::default(),
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
    /// Creates a secret and registers it for leak checks.
    pub(crate) fn secret(&mut self, characters: usize) -> String {
        let secret = base64_text(characters);
        secrets::register("a token, code or client secret of IAM Identity Center", &secret);
        self.secrets.push(secret.clone());
        secret
    }

    /// Returns the decision that the user makes.
    pub(crate) fn decision(&self) -> Decision {
        match self.user_response {
            UserResponse::Pending => Decision::Pending,
            UserResponse::Approve => Decision::Approved(self.user.clone()),
            UserResponse::Deny => Decision::Denied,
        }
    }

    /// Ends a login and invalidates its tokens.
    pub(crate) fn end(&mut self, login: usize, now: SystemTime) {
        self.access.retain(|_, access| access.login != login);
        self.logins[login].refresh = None;
        self.logins[login].ends = now;
    }
}

/// Returns the ARN of the role that an assignment creates in its account.
pub(crate) fn role_arn(account: &str, role: &str) -> String {
    format!(
        "arn:aws:iam::{account}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_{role}_0123456789abcdef"
    )
}
