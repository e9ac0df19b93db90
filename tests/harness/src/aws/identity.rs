//! The table of users, roles, access keys and sessions.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::denied_by::DeniedBy;
use super::mfa::Devices;
use super::principal::{Principal, SessionTags};
use super::role::Role;
use super::signin::records::Logins;
use super::web_identity::WebIdentities;
use crate::arn::Arn;
use crate::aws::access_key::AccessKey;
use crate::random::{base64_text, iam_id};
use crate::secrets;

#[derive(Clone, Debug)]
struct User {
    id: String,
    denied: BTreeMap<String, Option<DeniedBy>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) principal: Principal,
    /// Order of creation.
    number: usize,
    /// STS rejects the key for this many more calls.
    unknown_calls: usize,
}

/// Parameters of a new session.
pub(crate) struct NewSession<'a> {
    pub(crate) role: &'a Role,
    pub(crate) name: &'a str,
    pub(crate) expires: SystemTime,
    pub(crate) source_identity: Option<String>,
    /// Size of the session tags and policies in the token, in characters.
    pub(crate) packed: usize,
}

/// All identities.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    credentials: HashMap<String, Credential>,
    pub(crate) devices: Devices,
    pub(crate) web: WebIdentities,
    pub(crate) logins: Logins,
    secrets: Vec<String>,
    /// For how many calls STS rejects a key that IAM creates.
    new_key_delay: usize,
}

/// Length of a real session token without tags or policies.
const DEFAULT_TOKEN_LENGTH: usize = 700;
/// Prefix of every session token: a version, and the text `origin_ec`.
const TOKEN_PREFIX: &str = "IQoJb3JpZ2luX2Vj";

impl Identities {
    /// Creates an access key for this user, and the user if it does not exist.
    pub(crate) fn add_user_key(&mut self, arn: &str) -> AccessKey {
        let parsed = Arn::parse(arn).unwrap_or_else(|| panic!("{arn} is not an ARN"));
        assert_eq!((parsed.service.as_str(), parsed.kind()), ("iam", "user"), "{arn} is not a user's ARN");
        let user = self
            .users
            .entry(arn.to_owned())
            .or_insert_with(|| User { id: iam_id("AIDA", 17), denied: BTreeMap::new() });
        let principal = Principal::user(arn, &user.id);
        self.issue("AKIA", principal, None, None)
    }

    /// Issues a session of a user, as GetSessionToken does. `mfa_since` is the time of the MFA code.
    pub(crate) fn add_user_session(
        &mut self,
        user: &Principal,
        expires: SystemTime,
        mfa_since: Option<SystemTime>,
    ) -> AccessKey {
        let principal = Principal { temporary: true, mfa_since, ..user.clone() };
        self.issue("ASIA", principal, Some(session_token(DEFAULT_TOKEN_LENGTH)), Some(expires))
    }

    /// Issues a session of a role without tags.
    pub(crate) fn add_session(&mut self, new: &NewSession<'_>) -> AccessKey {
        self.add_tagged_session(new, SessionTags::default())
    }

    /// Issues a session of a role.
    pub(crate) fn add_tagged_session(&mut self, new: &NewSession<'_>, tags: SessionTags) -> AccessKey {
        let role = Arn::parse(&new.role.arn).expect("a role has an ARN");
        let principal = Principal {
            arn: role.assumed(new.name),
            user_id: format!("{}:{}", new.role.id, new.name),
            role_arn: Some(new.role.arn.clone()),
            source_identity: new.source_identity.clone(),
            temporary: true,
            mfa_since: None,
            tags,
        };
        let length = new.role.token_length.unwrap_or(DEFAULT_TOKEN_LENGTH + new.packed);
        self.issue("ASIA", principal, Some(session_token(length)), Some(new.expires))
    }

    fn issue(
        &mut self,
        prefix: &str,
        principal: Principal,
        token: Option<String>,
        expires: Option<SystemTime>,
    ) -> AccessKey {
        let key = AccessKey {
            id: iam_id(prefix, 16),
            secret: base64_text(40),
            arn: principal.arn.clone(),
            session_token: token.clone(),
        };
        self.add_secret("a secret access key", &key.secret);
        if let Some(token) = &token {
            self.add_secret("a session token", token);
        }
        let (number, secret) = (self.secrets.len(), key.secret.clone());
        let credential = Credential { secret, session_token: token, expires, principal, number, unknown_calls: 0 };
        self.credentials.insert(key.id.clone(), credential);
        key
    }

    /// Adds a role, or replaces the one of that ARN and keeps its id.
    pub(crate) fn put_role(&mut self, mut role: Role) {
        if let Some(known) = self.roles.get(&role.arn) {
            role.id.clone_from(&known.id);
        }
        self.roles.insert(role.arn.clone(), role);
    }

    pub(crate) fn role(&self, arn: &str) -> Option<&Role> {
        self.roles.get(arn)
    }

    /// Returns the role of this name in an account, whatever its path.
    pub(crate) fn role_named(&self, account: &str, name: &str) -> Option<&Role> {
        self.roles.values().find(|role| is_named(&role.arn, account, name))
    }

    /// Returns the ARNs of an account's roles.
    pub(crate) fn role_arns(&self, account: &str) -> Vec<String> {
        let is_own = |arn: &&String| Arn::parse(arn).is_some_and(|arn| arn.account == account);
        self.roles.keys().filter(is_own).cloned().collect()
    }

    /// Returns the user of this name in an account, whatever its path.
    pub(crate) fn user_named(&self, account: &str, name: &str) -> Option<Principal> {
        self.users.keys().find(|arn| is_named(arn, account, name)).and_then(|arn| self.user(arn))
    }

    pub(crate) fn remove_role(&mut self, arn: &str) {
        self.roles.remove(arn);
    }

    pub(crate) fn credential(&self, key_id: &str) -> Option<&Credential> {
        self.credentials.get(key_id)
    }

    /// Makes later keys of IAM unknown to STS for this many calls.
    pub(crate) fn delay_new_keys(&mut self, calls: usize) {
        self.new_key_delay = calls;
    }

    /// Creates an access key as IAM does, for an existing user.
    pub(crate) fn create_key(&mut self, user_arn: &str) -> AccessKey {
        let key = self.add_user_key(user_arn);
        let delay = self.new_key_delay;
        self.credentials.get_mut(&key.id).expect("the key was just created").unknown_calls = delay;
        key
    }

    /// Returns whether STS does not know the key yet, and counts the call.
    pub(crate) fn is_unknown_to_sts(&mut self, key_id: &str) -> bool {
        let Some(credential) = self.credentials.get_mut(key_id) else { return false };
        let is_unknown = credential.unknown_calls > 0;
        credential.unknown_calls = credential.unknown_calls.saturating_sub(1);
        is_unknown
    }

    /// Returns the ids of a user's access keys, oldest first.
    pub(crate) fn access_key_ids(&self, user_arn: &str) -> Vec<String> {
        let is_own = |known: &Credential| known.principal.role_arn.is_none() && known.principal.arn == user_arn;
        let mut own: Vec<_> = self.credentials.iter().filter(|(_, known)| is_own(known)).collect();
        own.sort_by_key(|(_, known)| known.number);
        own.into_iter().map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn remove_key(&mut self, key_id: &str) {
        self.credentials.remove(key_id);
    }

    /// Expires every session of a role or user, as "revoke active sessions" in IAM does.
    pub(crate) fn expire_sessions(&mut self, arn: &str, now: SystemTime) {
        for credential in self.credentials.values_mut() {
            if credential.principal.temporary && credential.principal.identity() == arn {
                credential.expires = Some(now);
            }
        }
    }

    /// Allows an action of a user or role.
    pub(crate) fn allow(&mut self, arn: &str, action: &str) {
        self.denied_actions(arn).remove(action);
    }

    /// Denies an action of a user or role; AWS names the policy, if there is one.
    pub(crate) fn deny(&mut self, arn: &str, action: &str, by: Option<DeniedBy>) {
        self.denied_actions(arn).insert(action.to_owned(), by);
    }

    fn denied_actions(&mut self, arn: &str) -> &mut BTreeMap<String, Option<DeniedBy>> {
        match (self.users.get_mut(arn), self.roles.get_mut(arn)) {
            (Some(user), _) => &mut user.denied,
            (None, Some(role)) => &mut role.denied,
            (None, None) => panic!("there is no user or role {arn}"),
        }
    }

    /// Returns whether the principal's own policies allow the action.
    pub(crate) fn may(&self, principal: &Principal, action: &str) -> bool {
        self.denied_of(principal).is_some_and(|denied| !denied.contains_key(action))
    }

    /// Returns the policy that denies an action to a principal.
    pub(crate) fn denied_by(&self, principal: &Principal, action: &str) -> Option<DeniedBy> {
        self.denied_of(principal)?.get(action).copied().flatten()
    }

    fn denied_of(&self, principal: &Principal) -> Option<&BTreeMap<String, Option<DeniedBy>>> {
        let identity = principal.identity();
        let of_user = self.users.get(identity).map(|user| &user.denied);
        of_user.or_else(|| self.roles.get(identity).map(|role| &role.denied))
    }

    /// Returns a user as the principal of its access keys.
    pub(crate) fn user(&self, arn: &str) -> Option<Principal> {
        self.users.get(arn).map(|user| Principal::user(arn, &user.id))
    }

    /// Issues credentials of a login with `aws login`: a session of the user or of the role. Returns `None` if there
    /// is no user or role of that ARN.
    pub(crate) fn add_console_session(&mut self, principal_arn: &str, expires: SystemTime) -> Option<AccessKey> {
        if let Some(user) = self.user(principal_arn) {
            return Some(self.add_user_session(&user, expires, None));
        }
        let role = self.role(principal_arn).cloned()?;
        let new = NewSession { role: &role, name: "console", expires, source_identity: None, packed: 0 };
        Some(self.add_session(&new))
    }

    /// Creates a refresh token of `aws login`.
    pub(crate) fn new_refresh_token(&mut self) -> String {
        let token = base64_text(200);
        self.add_secret("the refresh token of a login", &token);
        token
    }

    /// Registers a secret, for leak checks.
    pub(crate) fn add_secret(&mut self, kind: &'static str, secret: &str) {
        secrets::register(kind, secret);
        self.secrets.push(secret.to_owned());
    }

    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

/// Returns whether an ARN has this account and this name; IAM ignores the case of names.
fn is_named(arn: &str, account: &str, name: &str) -> bool {
    Arn::parse(arn).is_some_and(|arn| arn.account == account && arn.name().eq_ignore_ascii_case(name))
}

fn session_token(characters: usize) -> String {
    format!("{TOKEN_PREFIX}{}", base64_text(characters.saturating_sub(TOKEN_PREFIX.len())))
}
