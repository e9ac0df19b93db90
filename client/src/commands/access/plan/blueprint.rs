//! What has to exist for the wanted access, before it is written in a format.

use rolecall_protocol::{GivenPrincipal, PrincipalKind, ProfileDetails, RoleArn};

use super::super::account::Account;
use super::super::principals::Principals;
use crate::cli::{self, AccessPlanned, Story, Via};
use crate::error::{CliError, Exit};

/// The longest name of an IAM role or group, in characters.
const MAX_NAME: usize = 64;
/// The policy for whom none was asked for.
const DEFAULT_POLICY: &str = "AmazonEKSViewPolicy";
/// The policy that allows everything.
const ADMIN_POLICY: &str = "AmazonEKSClusterAdminPolicy";
/// The group in Kubernetes that may do everything. Access entries may not name it.
const MASTERS: &str = "system:masters";

/// Everything that has to exist.
#[derive(Debug)]
pub(super) struct Blueprint {
    pub(super) profile: String,
    pub(super) cluster: String,
    pub(super) region: String,
    pub(super) account: Account,
    pub(super) via: Via,
    /// Who enters the cluster.
    pub(super) accesses: Vec<Access>,
    /// What Kubernetes needs beside the access policies.
    pub(super) bindings: Vec<Binding>,
}

/// A principal and what it gets.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) principal: Principal,
    /// The access policies. None through aws-auth.
    pub(super) policies: Vec<String>,
    /// The namespaces of the policies; empty for the whole cluster.
    pub(super) namespaces: Vec<String>,
    /// The groups in Kubernetes.
    pub(super) groups: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Principal {
    /// An IAM user that exists: its path and name.
    User(String),
    /// A role to create.
    Role(Role),
}

/// A role, and the IAM group whose users may assume it.
#[derive(Debug)]
pub(super) struct Role {
    /// `/`, or for example `/team/`.
    pub(super) path: String,
    pub(super) name: String,
    pub(super) group: String,
    /// The users of the group, as far as they are known.
    pub(super) users: Vec<String>,
    /// The ARN that the trust policy names.
    pub(super) trusted: String,
    /// The actions of STS that the profile needs.
    pub(super) actions: Vec<&'static str>,
    /// Whether the role may be assumed with MFA alone.
    pub(super) needs_mfa: bool,
}

/// A ClusterRole, which exists unless it has rules, bound to a group.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) cluster_role: String,
    /// The verbs and resources of a ClusterRole to create.
    pub(super) rules: Vec<(&'static [&'static str], &'static str)>,
    pub(super) group: String,
    pub(super) namespaces: Vec<String>,
}

/// What developers may do: list pods and read logs.
const DEVELOPER_RULES: [(&[&str], &str); 2] = [(&["get", "list", "watch"], "pods"), (&["get"], "pods/log")];

impl Blueprint {
    /// Fills in the profile's cluster, region, account, role and user.
    pub(super) fn new(wanted: &AccessPlanned, details: &ProfileDetails) -> Result<Self, CliError> {
        let account = account(wanted, details)?;
        check_words(&wanted.namespace, "-*", "--namespace")?;
        check_words(wanted.policy.as_slice(), "-:/", "--policy")?;
        let mut blueprint = Self {
            profile: wanted.profile.to_string(),
            cluster: details.status.cluster.to_string(),
            region: details.status.region.to_string(),
            account,
            via: wanted.via,
            accesses: Vec::new(),
            bindings: Vec::new(),
        };
        let is_role = details.status.role_arn.is_some() || wanted.role.is_some();
        match wanted.story.unwrap_or(if is_role { Story::Role } else { Story::User }) {
            Story::User => blueprint.add_users(wanted, details, false)?,
            Story::Users => blueprint.add_users(wanted, details, true)?,
            Story::Role => blueprint.add_role(wanted, details)?,
            Story::Teams => blueprint.add_teams(wanted, details)?,
        }
        Ok(blueprint)
    }

    /// The ARN of an access policy.
    pub(super) fn policy_arn(&self, policy: &str) -> String {
        if policy.starts_with("arn:") {
            return policy.to_owned();
        }
        format!("arn:{}:eks::aws:cluster-access-policy/{policy}", self.account.partition)
    }

    /// The ARN of the cluster.
    pub(super) fn cluster_arn(&self) -> String {
        let Account { partition, id } = &self.account;
        format!("arn:{partition}:eks:{}:{id}:cluster/{}", self.region, self.cluster)
    }

    /// The ARN of a principal.
    pub(super) fn arn(&self, principal: &Principal) -> String {
        match principal {
            Principal::User(user) => format!("{}user/{user}", self.account.iam_prefix()),
            Principal::Role(role) => self.role_arn(role),
        }
    }

    /// The ARN of a role.
    pub(super) fn role_arn(&self, role: &Role) -> String {
        format!("{}role{}{}", self.account.iam_prefix(), role.path, role.name)
    }

    /// The roles to create.
    pub(super) fn roles(&self) -> impl Iterator<Item = &Role> {
        self.accesses.iter().filter_map(|access| match &access.principal {
            Principal::Role(role) => Some(role),
            Principal::User(_) => None,
        })
    }

    /// The users who enter directly.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.accesses.iter().filter_map(|access| match &access.principal {
            Principal::Role(_) => None,
            Principal::User(user) => Some(user.as_str()),
        })
    }

    fn add_users(&mut self, wanted: &AccessPlanned, details: &ProfileDetails, are_many: bool) -> Result<(), CliError> {
        let mut users = given_users(wanted, &self.account)?;
        if users.is_empty() && !are_many {
            users.extend(own_user(details));
        }
        if users.is_empty() {
            let hint = if are_many { "Give them with --from FILE or --user" } else { "Give it with --user NAME" };
            return Err(CliError::new(Exit::Usage, "it is not known which IAM user gets access", hint));
        }
        for user in users {
            self.add(wanted, Principal::User(user))?;
        }
        Ok(())
    }

    fn add_role(&mut self, wanted: &AccessPlanned, details: &ProfileDetails) -> Result<(), CliError> {
        let (path, name) = match (&wanted.role, &details.status.role_arn) {
            (Some(role), _) => self.role_of(role)?,
            (None, Some(arn)) => split_path(arn.as_str()),
            (None, None) => ("/".to_owned(), self.team_name("users")),
        };
        let role = self.role(path, name, given_users(wanted, &self.account)?, details);
        self.add(wanted, Principal::Role(role))
    }

    /// Adds a principal with the wanted policy, or through aws-auth with the ClusterRole that corresponds to it.
    fn add(&mut self, wanted: &AccessPlanned, principal: Principal) -> Result<(), CliError> {
        let policy = wanted.policy.as_deref().unwrap_or(DEFAULT_POLICY);
        let namespaces = wanted.namespace.clone();
        if self.via == Via::AccessEntries {
            self.accesses.push(Access { principal, policies: vec![policy.to_owned()], namespaces, groups: Vec::new() });
            return Ok(());
        }
        let cluster_role = cluster_role_of(policy)?;
        let group = if policy == ADMIN_POLICY { MASTERS.to_owned() } else { format!("eks-{cluster_role}") };
        if group != MASTERS && self.bindings.is_empty() {
            check_no_wildcard(&namespaces)?;
            let (cluster_role, group) = (cluster_role.to_owned(), group.clone());
            self.bindings.push(Binding { cluster_role, rules: Vec::new(), group, namespaces });
        }
        self.accesses.push(Access { principal, policies: Vec::new(), namespaces: Vec::new(), groups: vec![group] });
        Ok(())
    }

    fn add_teams(&mut self, wanted: &AccessPlanned, details: &ProfileDetails) -> Result<(), CliError> {
        if wanted.policy.is_some() || wanted.role.is_some() {
            return Err(CliError::new(
                Exit::Usage,
                "--as teams has its own roles and policies",
                "Omit --role and --policy",
            ));
        }
        check_no_wildcard(&wanted.namespace)?;
        let users = given_users(wanted, &self.account)?;
        let developers = self.role("/".to_owned(), self.team_name("developers"), users, details);
        let admins = self.role("/".to_owned(), self.team_name("admins"), Vec::new(), details);
        let (policies, groups) = match self.via {
            Via::AccessEntries => (vec![ADMIN_POLICY.to_owned()], Vec::new()),
            Via::AwsAuth => (Vec::new(), vec![MASTERS.to_owned()]),
        };
        self.bindings.push(Binding {
            cluster_role: "developers".to_owned(),
            rules: DEVELOPER_RULES.to_vec(),
            group: "developers".to_owned(),
            namespaces: wanted.namespace.clone(),
        });
        self.accesses.push(Access {
            principal: Principal::Role(developers),
            policies: Vec::new(),
            namespaces: Vec::new(),
            groups: vec!["developers".to_owned()],
        });
        self.accesses.push(Access { principal: Principal::Role(admins), policies, namespaces: Vec::new(), groups });
        Ok(())
    }

    /// A role that the profile's way of assuming it fits.
    fn role(&self, path: String, name: String, users: Vec<String>, details: &ProfileDetails) -> Role {
        let via = details.role_chain.iter().rev().nth(1);
        let trusted = via.map_or_else(|| format!("{}root", self.account.iam_prefix()), ToString::to_string);
        let mut actions = vec!["sts:AssumeRole"];
        if !details.inputs.tags.is_empty() {
            actions.push("sts:TagSession");
        }
        if details.inputs.source_identity.is_some() {
            actions.push("sts:SetSourceIdentity");
        }
        Role { path, group: name.clone(), name, users, trusted, actions, needs_mfa: details.mfa.is_some() }
    }

    /// The path and the name of a role that the user named. Its ARN has to be of this account.
    fn role_of(&self, role: &str) -> Result<(String, String), CliError> {
        let arn = if role.starts_with("arn:") {
            role.to_owned()
        } else {
            format!("{}role/{role}", self.account.iam_prefix())
        };
        let invalid = |why: String| CliError::new(Exit::Usage, format!("--role: {why}"), "Give a name or an ARN");
        let arn: RoleArn = arn.parse().map_err(|error: rolecall_protocol::InvalidName| invalid(error.to_string()))?;
        if arn.account() != self.account.id {
            return Err(invalid(format!("{arn} is not in the account {} of the cluster", self.account.id)));
        }
        Ok(split_path(arn.as_str()))
    }

    /// A name for a role and its group: the cluster's name, and who it is for.
    fn team_name(&self, team: &str) -> String {
        let room = MAX_NAME - team.len() - 1;
        let cluster: String = self.cluster.chars().take(room).collect();
        format!("{cluster}-{team}")
    }
}

/// The path and the name in the ARN of a role.
fn split_path(arn: &str) -> (String, String) {
    let resource = arn.split_once(":role").map_or("/", |(_, resource)| resource);
    let (path, name) = resource.rsplit_once('/').unwrap_or(("", resource));
    (format!("{path}/"), name.to_owned())
}

/// The IAM user whose keys sign for a profile without a role, if a session was made.
fn own_user(details: &ProfileDetails) -> Option<String> {
    let arn = details.status.session.as_ref()?.arn.as_deref()?;
    arn.split_once(":user/").map(|(_, user)| user.to_owned())
}

/// The users of `--user` and `--from`.
fn given_users(wanted: &AccessPlanned, account: &Account) -> Result<Vec<String>, CliError> {
    if wanted.user.is_empty() && wanted.from.is_none() {
        return Ok(Vec::new());
    }
    let mut users = Vec::new();
    let named = cli::Principals { user: Some(wanted.user.clone()), ..cli::Principals::default() };
    let listed = cli::Principals { user: Some(Vec::new()), from: wanted.from.clone(), ..cli::Principals::default() };
    let read = |options: cli::Principals, is_given: bool| is_given.then(|| Principals::read(&options));
    let lists = [read(named, !wanted.user.is_empty()), read(listed, wanted.from.is_some())];
    for list in lists.into_iter().flatten() {
        for given in list?.given {
            let user = user_name(&given, account)?;
            if !users.contains(&user) {
                users.push(user);
            }
        }
    }
    Ok(users)
}

/// The path and name of a user of this account.
fn user_name(given: &GivenPrincipal, account: &Account) -> Result<String, CliError> {
    let prefix = format!("{}user/", account.iam_prefix());
    let name = given.name.strip_prefix(&prefix).unwrap_or(&given.name);
    let is_user = matches!(given.kind, PrincipalKind::User | PrincipalKind::Unknown);
    let is_name = |part: &str| {
        (1..=MAX_NAME).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
    };
    if is_user && name.split('/').all(is_name) {
        return Ok(name.to_owned());
    }
    Err(CliError::new(
        Exit::Usage,
        format!("\"{}\" is not an IAM user of account {}", given.name, account.id),
        "Give the names of IAM users",
    ))
}

/// Errors unless each word has only letters, digits and these characters.
fn check_words(words: &[String], more: &str, option: &str) -> Result<(), CliError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    match words.iter().find(|word| word.is_empty() || !word.chars().all(is_allowed)) {
        None => Ok(()),
        Some(word) => {
            Err(CliError::new(Exit::Usage, format!("{option}: \"{word}\" is not a valid name"), "Correct it"))
        }
    }
}

fn check_no_wildcard(namespaces: &[String]) -> Result<(), CliError> {
    if namespaces.iter().any(|namespace| namespace.contains('*')) {
        let message = "a role binding in Kubernetes has no wildcard in its namespace";
        return Err(CliError::new(Exit::Usage, message, "Name each namespace"));
    }
    Ok(())
}

/// The ClusterRole of Kubernetes with about the rights of an access policy.
fn cluster_role_of(policy: &str) -> Result<&'static str, CliError> {
    match policy {
        "AmazonEKSViewPolicy" => Ok("view"),
        "AmazonEKSEditPolicy" => Ok("edit"),
        "AmazonEKSAdminPolicy" => Ok("admin"),
        ADMIN_POLICY => Ok("cluster-admin"),
        other => Err(CliError::new(
            Exit::Usage,
            format!("aws-auth has no access policies, and no ClusterRole corresponds to {other}"),
            "Use AmazonEKSViewPolicy, AmazonEKSEditPolicy, AmazonEKSAdminPolicy or AmazonEKSClusterAdminPolicy",
        )),
    }
}

/// The account of the profile's role or session, or that of `--account`.
fn account(wanted: &AccessPlanned, details: &ProfileDetails) -> Result<Account, CliError> {
    let profile = &wanted.profile;
    match (Account::of(details), &wanted.account) {
        (Some(own), Some(id)) if own.id != *id => Err(CliError::new(
            Exit::Usage,
            format!("--account: {profile} has its role or session in the account {}", own.id),
            "Omit --account, or name a profile of that account",
        )),
        (Some(own), _) => Ok(own),
        (None, Some(id)) => Ok(Account::in_region(id, details.status.region.as_str())),
        (None, None) => Err(CliError::failed(
            format!("{profile}: the account of its cluster is not known, since it has no role"),
            format!("Name it: rolecall access plan {profile} --account ID"),
        )),
    }
}
