//! Who there is: users, roles, their keys and sessions, and what they may do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use crate::arn::Arn;
use crate::keys::AccessKey;
use crate::random::{base64_text, iam_id};

/// A role, built up from what is not as usual.
///
/// As in IAM, a new role trusts nobody, and its trust policy allows neither `sts:TagSession` nor
/// `sts:SetSourceIdentity`.
#[derive(Clone, Debug)]
pub struct Role {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) trusted: Vec<String>,
    pub(crate) max_session: Duration,
    pub(crate) external_id: Option<String>,
    pub(crate) may_tag: bool,
    pub(crate) may_set_source_identity: bool,
    pub(crate) token_length: Option<usize>,
    pub(crate) denied: BTreeSet<String>,
}

impl Role {
    /// A role by its ARN, which may have a path, that nobody may assume.
    pub fn new(arn: &str) -> Self {
        let parsed = Arn::parse(arn).unwrap_or_else(|| panic!("{arn} is not an ARN"));
        assert_eq!((parsed.service.as_str(), parsed.kind()), ("iam", "role"), "{arn} is not a role's ARN");
        Self {
            arn: arn.to_owned(),
            id: iam_id("AROA", 17),
            trusted: Vec::new(),
            // IAM's default.
            max_session: Duration::from_hours(1),
            external_id: None,
            may_tag: false,
            may_set_source_identity: false,
            token_length: None,
            denied: BTreeSet::new(),
        }
    }

    /// Trusts a principal too: a user's ARN, a role's ARN, an assumed-role ARN, an account's root, or `*`.
    #[must_use]
    pub fn trusts(mut self, principal: &str) -> Self {
        self.trusted.push(principal.to_owned());
        self
    }

    /// `MaxSessionDuration`: 1 to 12 hours; 1 hour by default.
    #[must_use]
    pub fn max_session_duration(self, max_session: Duration) -> Self {
        Self { max_session, ..self }
    }

    /// The trust policy wants this `sts:ExternalId`.
    #[must_use]
    pub fn external_id(self, id: &str) -> Self {
        Self { external_id: Some(id.to_owned()), ..self }
    }

    /// The trust policy allows `sts:TagSession` too.
    #[must_use]
    pub fn allows_tag_session(self) -> Self {
        Self { may_tag: true, ..self }
    }

    /// The trust policy allows `sts:SetSourceIdentity` too.
    #[must_use]
    pub fn allows_source_identity(self) -> Self {
        Self { may_set_source_identity: true, ..self }
    }

    /// Sessions get tokens of this many characters instead of about 700: past about 2,480 an EKS token is too long.
    #[must_use]
    pub fn session_token_length(self, characters: usize) -> Self {
        Self { token_length: Some(characters), ..self }
    }

    /// The role's own policy denies an action: `eks:DescribeCluster`, `sts:AssumeRole`. Everything else is allowed.
    #[must_use]
    pub fn denies(mut self, action: &str) -> Self {
        self.denied.insert(action.to_owned());
        self
    }
}

#[derive(Clone, Debug)]
struct User {
    id: String,
    denied: BTreeSet<String>,
}

/// Who a key belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// The user's ARN, or the assumed-role ARN.
    pub(crate) arn: String,
    /// `AIDA…`, or `AROA…:session`.
    pub(crate) user_id: String,
    /// The ARN of the role, with its path, if this is a role's session.
    pub(crate) role_arn: Option<String>,
    pub(crate) source_identity: Option<String>,
}

impl Principal {
    pub(crate) fn account(&self) -> String {
        Arn::parse(&self.arn).expect("the table holds ARNs").account
    }

    /// The identity whose policies count: the user or the role.
    fn identity(&self) -> &str {
        self.role_arn.as_deref().unwrap_or(&self.arn)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) principal: Principal,
    /// When it was made, as the table counts.
    number: usize,
    /// STS does not know it for this many more calls.
    unknown_for: usize,
}

/// What a new session is to be.
pub(crate) struct NewSession<'a> {
    pub(crate) role: &'a Role,
    pub(crate) name: &'a str,
    pub(crate) expires: SystemTime,
    pub(crate) source_identity: Option<String>,
    /// Session tags and policies travel inside the token, in characters.
    pub(crate) packed: usize,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    credentials: HashMap<String, Credential>,
    secrets: Vec<String>,
    /// For how many calls STS does not know a key that IAM makes.
    spread: usize,
}

/// A real token without tags or policies has about this many characters.
const TOKEN_LENGTH: usize = 700;
/// They all begin like this: a version, and the words `origin_ec`.
const TOKEN_START: &str = "IQoJb3JpZ2luX2Vj";

impl Identities {
    /// A key for this user, who is made if there is none of that ARN yet.
    pub(crate) fn add_user_key(&mut self, arn: &str) -> AccessKey {
        let parsed = Arn::parse(arn).unwrap_or_else(|| panic!("{arn} is not an ARN"));
        assert_eq!((parsed.service.as_str(), parsed.kind()), ("iam", "user"), "{arn} is not a user's ARN");
        let user = self
            .users
            .entry(arn.to_owned())
            .or_insert_with(|| User { id: iam_id("AIDA", 17), denied: BTreeSet::new() });
        let principal =
            Principal { arn: arn.to_owned(), user_id: user.id.clone(), role_arn: None, source_identity: None };
        self.issue("AKIA", principal, None, None)
    }

    /// Credentials of a role's session.
    pub(crate) fn add_session(&mut self, new: &NewSession<'_>) -> AccessKey {
        let role = Arn::parse(&new.role.arn).expect("a role has an ARN");
        let principal = Principal {
            arn: role.assumed(new.name),
            user_id: format!("{}:{}", new.role.id, new.name),
            role_arn: Some(new.role.arn.clone()),
            source_identity: new.source_identity.clone(),
        };
        let length = new.role.token_length.unwrap_or(TOKEN_LENGTH + new.packed);
        let token = format!("{TOKEN_START}{}", base64_text(length.saturating_sub(TOKEN_START.len())));
        self.issue("ASIA", principal, Some(token), Some(new.expires))
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
        self.secrets.push(key.secret.clone());
        self.secrets.extend(token.clone());
        let (number, secret) = (self.secrets.len(), key.secret.clone());
        let credential = Credential { secret, session_token: token, expires, principal, number, unknown_for: 0 };
        self.credentials.insert(key.id.clone(), credential);
        key
    }

    /// Puts a role in the table, in place of one of that ARN, whose id it keeps.
    pub(crate) fn put_role(&mut self, mut role: Role) {
        if let Some(known) = self.roles.get(&role.arn) {
            role.id.clone_from(&known.id);
        }
        self.roles.insert(role.arn.clone(), role);
    }

    pub(crate) fn role(&self, arn: &str) -> Option<&Role> {
        self.roles.get(arn)
    }

    pub(crate) fn remove_role(&mut self, arn: &str) {
        self.roles.remove(arn);
    }

    pub(crate) fn credential(&self, key_id: &str) -> Option<&Credential> {
        self.credentials.get(key_id)
    }

    /// What IAM makes is not known to STS for that many calls.
    pub(crate) fn spread_slowly(&mut self, calls: usize) {
        self.spread = calls;
    }

    /// As IAM makes a key for a user who is there.
    pub(crate) fn create_key(&mut self, user_arn: &str) -> AccessKey {
        let key = self.add_user_key(user_arn);
        let spread = self.spread;
        self.credentials.get_mut(&key.id).expect("it was put there just now").unknown_for = spread;
        key
    }

    /// Whether STS does not know the key yet; counts the calls that asked.
    pub(crate) fn is_yet_unknown(&mut self, key_id: &str) -> bool {
        let Some(credential) = self.credentials.get_mut(key_id) else { return false };
        let is_unknown = credential.unknown_for > 0;
        credential.unknown_for = credential.unknown_for.saturating_sub(1);
        is_unknown
    }

    /// The ids of a user's keys, oldest first.
    pub(crate) fn keys_of(&self, user_arn: &str) -> Vec<String> {
        let is_own = |known: &Credential| known.principal.role_arn.is_none() && known.principal.arn == user_arn;
        let mut own: Vec<_> = self.credentials.iter().filter(|(_, known)| is_own(known)).collect();
        own.sort_by_key(|(_, known)| known.number);
        own.into_iter().map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn remove_key(&mut self, key_id: &str) {
        self.credentials.remove(key_id);
    }

    /// Ends every session of a role, as IAM's "revoke active sessions" does.
    pub(crate) fn end_sessions(&mut self, role_arn: &str, now: SystemTime) {
        for credential in self.credentials.values_mut() {
            if credential.principal.role_arn.as_deref() == Some(role_arn) {
                credential.expires = Some(now);
            }
        }
    }

    /// Allows or denies an action to a user or role.
    pub(crate) fn permit(&mut self, arn: &str, action: &str, allowed: bool) {
        let denied = match (self.users.get_mut(arn), self.roles.get_mut(arn)) {
            (Some(user), _) => &mut user.denied,
            (None, Some(role)) => &mut role.denied,
            (None, None) => panic!("there is no user or role {arn}"),
        };
        if allowed {
            denied.remove(action);
        } else {
            denied.insert(action.to_owned());
        }
    }

    /// Whether the principal's own policies allow the action.
    pub(crate) fn may(&self, principal: &Principal, action: &str) -> bool {
        let identity = principal.identity();
        let denied = self
            .users
            .get(identity)
            .map(|user| &user.denied)
            .or_else(|| self.roles.get(identity).map(|role| &role.denied));
        denied.is_some_and(|denied| !denied.contains(action))
    }

    /// Whether the role's trust policy names the principal.
    pub(crate) fn trusts(role: &Role, principal: &Principal) -> bool {
        let root = Arn::parse(&principal.arn).expect("the table holds ARNs").root();
        let names = ["*", &principal.arn, principal.identity(), &root];
        role.trusted.iter().any(|trusted| names.contains(&trusted.as_str()))
    }

    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}
