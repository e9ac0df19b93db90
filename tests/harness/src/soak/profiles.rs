//! The profiles of a soak: different roles, clusters, regions, sources and role chains.

use std::fmt::Write as _;
use std::time::Duration;

/// The account of the users and most roles.
pub(super) const ACCOUNT: &str = "111122223333";
/// The account of the roles behind a role chain.
const PARTNER: &str = "999988887777";

/// A cluster: name and region. Two clusters share a name.
pub(super) const CLUSTERS: [(&str, &str); 4] =
    [("prod", "eu-west-1"), ("prod", "us-east-2"), ("staging", "eu-west-1"), ("edge", "ap-southeast-2")];

/// A role and how long its sessions last. Short sessions make renewals happen within a short run.
pub(super) struct RoleSpec {
    account: &'static str,
    name: &'static str,
    pub(super) lifetime: Duration,
}

/// Every role. A session of less than a minute would have no valid token, see fault matrix row 84.
pub(super) const ROLES: [RoleSpec; 8] = [
    role(ACCOUNT, "developers", 110),
    role(ACCOUNT, "admins", 150),
    role(ACCOUNT, "auditors", 200),
    role(ACCOUNT, "hub", 130),
    role(PARTNER, "partner", 170),
    role(PARTNER, "inner", 140),
    role(ACCOUNT, "quarter", 900),
    role(ACCOUNT, "hour", 3600),
];

const fn role(account: &'static str, name: &'static str, seconds: u64) -> RoleSpec {
    RoleSpec { account, name, lifetime: Duration::from_secs(seconds) }
}

impl RoleSpec {
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{}", self.account, self.name)
    }
}

/// Returns the ARN of a role.
fn arn(name: &str) -> String {
    ROLES.iter().find(|role| role.name == name).expect("the table has the role").arn()
}

/// A profile of Rolecall.
pub(super) struct ProfileSpec {
    pub(super) name: &'static str,
    /// Index in [`CLUSTERS`].
    pub(super) cluster: usize,
    source: &'static str,
    /// The roles of its chain; the last one signs.
    roles: &'static [&'static str],
}

const fn profile(
    name: &'static str,
    cluster: usize,
    source: &'static str,
    roles: &'static [&'static str],
) -> ProfileSpec {
    ProfileSpec { name, cluster, source, roles }
}

/// Every profile.
pub(super) const PROFILES: [ProfileSpec; 12] = [
    profile("prod-dev", 0, "work", &["developers"]),
    profile("prod-admin", 0, "work", &["admins"]),
    profile("prod-audit", 0, "ops", &["auditors"]),
    profile("prod-hour", 0, "work", &["hour"]),
    profile("prod-us", 1, "work", &["developers"]),
    profile("prod-us-ops", 1, "ops", &["admins"]),
    profile("staging-dev", 2, "work", &["developers"]),
    profile("staging-quarter", 2, "ops", &["quarter"]),
    profile("staging-inner", 2, "work", &["hub", "partner", "inner"]),
    profile("edge-partner", 3, "work", &["hub", "partner"]),
    profile("edge-inner", 3, "ops", &["hub", "inner"]),
    profile("edge-hour", 3, "ops", &["hour"]),
];

impl ProfileSpec {
    /// Returns the ARN of the role that signs its tokens.
    pub(super) fn role_arn(&self) -> String {
        arn(self.roles.last().expect("a profile has a role"))
    }

    /// Returns the Kubernetes user of its role.
    pub(super) fn username(&self) -> String {
        username(&self.role_arn())
    }

    pub(super) fn region(&self) -> &'static str {
        CLUSTERS[self.cluster].1
    }
}

/// Returns the Kubernetes user that an access entry gives to a role, without the name of the session.
pub(super) fn username(role_arn: &str) -> String {
    role_arn.replace([':', '/'], "-")
}

/// Returns the configuration of Rolecall.
pub(super) fn config() -> String {
    let mut text = "[sources.work]\naws_profile = \"work\"\n\n[sources.ops]\naws_profile = \"ops\"\n".to_owned();
    for profile in &PROFILES {
        let (cluster, region) = CLUSTERS[profile.cluster];
        let (role, via) = profile.roles.split_last().expect("a profile has a role");
        let via: Vec<String> = via.iter().map(|name| format!("\"{}\"", arn(name))).collect();
        write!(
            text,
            "\n[profiles.{}]\ncluster = \"{cluster}\"\nregion = \"{region}\"\nsource = \"{}\"\nrole_arn = \"{}\"\n",
            profile.name,
            profile.source,
            arn(role)
        )
        .expect("writing to a String cannot fail");
        if !via.is_empty() {
            writeln!(text, "via = [{}]", via.join(", ")).expect("writing to a String cannot fail");
        }
    }
    text
}
