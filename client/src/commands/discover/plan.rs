//! Which of the found clusters are new, which have a profile, and which profiles' clusters are gone.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rolecall_protocol::{ClusterAccess, DescribedCluster, DiscoveredCluster, DiscoveredIdentity, ProfileName};
use serde::Serialize;

use super::search::{Found, Skipped};
use crate::cli::{Discover, TEMPLATE_PARTS};
use crate::config_file::{ConfigFile, ProfileEntry};

/// The longest part of a name that a suffix leaves room for.
const MAX_STEM: usize = 56;

/// What a search means for the configuration.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    /// Clusters without a profile, sorted by name. A cluster that several identities may enter is there once for each.
    pub(super) new: Vec<NewCluster>,
    /// Clusters with a profile.
    pub(super) known: Vec<KnownCluster>,
    /// Profiles whose cluster does not exist any more.
    pub(super) gone: Vec<String>,
    /// What could not be searched.
    pub(super) skipped: Vec<Skipped>,
}

/// A cluster without a profile.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NewCluster {
    /// The name of the profile that would be added.
    pub(super) profile: String,
    #[serde(flatten)]
    pub(super) found: DiscoveredCluster,
}

/// A cluster with a profile.
#[derive(Debug, Serialize)]
pub(super) struct KnownCluster {
    pub(super) cluster: String,
    pub(super) region: String,
    pub(super) profiles: Vec<String>,
}

/// How well an identity enters a cluster. The first is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Accepted,
    NotKnown,
    Rejected,
}

impl NewCluster {
    /// Whether it is added without a question: the cluster accepts the identity.
    pub(super) fn is_proposed(&self) -> bool {
        entry(&self.found) == Entry::Accepted
    }

    /// Whether it can be added: its API server is known.
    pub(super) const fn can_be_added(&self) -> bool {
        matches!(self.found.described, DescribedCluster::Cluster(_))
    }
}

impl Plan {
    pub(super) fn new(found: &Found, config: &ConfigFile, wanted: &Discover) -> Self {
        let profiles: Vec<(String, ProfileEntry)> = config
            .all_profile_names()
            .into_iter()
            .filter_map(|name| Some((name.clone(), config.profile_in_force(&name)?)))
            .collect();
        let mut known: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let mut new: BTreeMap<(String, String, String), Vec<&DiscoveredCluster>> = BTreeMap::new();
        for cluster in &found.clusters {
            let of_cluster: Vec<&String> =
                profiles.iter().filter(|(_, profile)| is_of(profile, cluster)).map(|(name, _)| name).collect();
            let (name, region) = (cluster.name.to_string(), cluster.region.to_string());
            if !of_cluster.is_empty() {
                known.entry((name, region)).or_default().extend(of_cluster.into_iter().cloned());
            } else if is_wanted(cluster, &wanted.only) {
                let account = cluster.account.clone().unwrap_or_default();
                new.entry((name, region, account)).or_default().push(cluster);
            }
        }
        let mut taken: HashSet<String> = config.all_profile_names().into_iter().collect();
        let mut offered = Vec::new();
        for found in new.values().flat_map(|seen| best(seen)) {
            let profile = profile_name(found, &wanted.name, &taken);
            taken.insert(profile.clone());
            offered.push(NewCluster { profile, found: found.clone() });
        }
        let gone = gone(found, &profiles);
        let known = known
            .into_iter()
            .map(|((cluster, region), profiles)| KnownCluster {
                cluster,
                region,
                profiles: profiles.into_iter().collect(),
            })
            .collect();
        Self { new: offered, known, gone, skipped: found.skipped.clone() }
    }
}

/// Whether a profile is for a cluster. The API server tells clusters of the same name in two accounts apart.
fn is_of(profile: &ProfileEntry, cluster: &DiscoveredCluster) -> bool {
    let is_same_name = profile.cluster == cluster.name && profile.region == cluster.region;
    match (&cluster.described, &profile.server) {
        (DescribedCluster::Cluster(found), Some(server)) if is_same_name && found.server != *server => {
            // A cluster that was created again has another API server, and its role is still of its account.
            let account = profile.role_arn.as_ref().map(|role| role.account().to_owned());
            account.is_some() && account == cluster.account
        }
        _ => is_same_name,
    }
}

/// Returns the profiles whose cluster was looked for and not found. A part that could not be searched says nothing.
fn gone(found: &Found, profiles: &[(String, ProfileEntry)]) -> Vec<String> {
    if !found.skipped.is_empty() {
        return Vec::new();
    }
    // The regions and sources that gave at least one cluster were searched for certain.
    let searched = |profile: &ProfileEntry| {
        found.clusters.iter().any(|cluster| {
            let is_source =
                matches!(&cluster.identity, DiscoveredIdentity::Source { source } if *source == profile.source);
            is_source && cluster.region == profile.region && profile.role_arn.is_none()
        })
    };
    let exists = |profile: &ProfileEntry| found.clusters.iter().any(|cluster| is_of(profile, cluster));
    let gone = profiles.iter().filter(|(_, profile)| searched(profile) && !exists(profile));
    gone.map(|(name, _)| name.clone()).collect()
}

/// Returns which identities of a cluster are offered: all that it accepts, or else the best one.
fn best<'a>(seen: &[&'a DiscoveredCluster]) -> Vec<&'a DiscoveredCluster> {
    let mut sorted = seen.to_vec();
    sorted.sort_by_key(|found| (entry(found), kind(&found.identity)));
    let accepted: Vec<_> = sorted.iter().copied().filter(|found| entry(found) == Entry::Accepted).collect();
    if accepted.is_empty() { sorted.into_iter().take(1).collect() } else { accepted }
}

fn entry(found: &DiscoveredCluster) -> Entry {
    match &found.access {
        Some(ClusterAccess::Mapped { .. }) => Entry::Accepted,
        Some(ClusterAccess::NotMapped) => Entry::Rejected,
        _ => Entry::NotKnown,
    }
}

const fn kind(identity: &DiscoveredIdentity) -> u8 {
    match identity {
        DiscoveredIdentity::Source { .. } => 0,
        DiscoveredIdentity::AwsProfile { .. } => 1,
        _ => 2,
    }
}

fn is_wanted(cluster: &DiscoveredCluster, patterns: &[String]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(cluster.name.as_str(), pattern))
}

/// Whether a name matches a pattern in which `*` stands for any text.
fn matches(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    let rest = middle.iter().try_fold(rest, |rest, part| rest.find(part).map(|at| rest.split_at(at + part.len()).1));
    rest.is_some_and(|rest| rest.len() >= last.len() && rest.ends_with(last))
}

/// Returns the name of a new profile: that of the template, or with the region, the account and a number until it is free.
fn profile_name(found: &DiscoveredCluster, template: &str, taken: &HashSet<String>) -> String {
    let account = found.account.clone().unwrap_or_default();
    let values = [found.name.as_str(), found.region.as_str(), &account, role(&found.identity)];
    let filled =
        TEMPLATE_PARTS.iter().zip(values).fold(template.to_owned(), |text, (part, value)| text.replace(part, value));
    let stem: String =
        filled.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let stem: String = stem.chars().take(MAX_STEM).collect();
    let longer =
        [format!("{stem}-{}", role(&found.identity)), format!("{stem}-{}", found.region), format!("{stem}-{account}")];
    let numbered = (2..10_000).map(|number| format!("{stem}-{number}"));
    let is_free = |name: &String| name.parse::<ProfileName>().is_ok() && !taken.contains(name);
    std::iter::once(stem.clone()).chain(longer).chain(numbered).find(is_free).unwrap_or(stem)
}

/// Returns the name of an identity's role or credentials.
fn role(identity: &DiscoveredIdentity) -> &str {
    match identity {
        DiscoveredIdentity::Source { source } => source.as_str(),
        DiscoveredIdentity::AwsProfile { aws_profile } => aws_profile,
        DiscoveredIdentity::PermissionSet { role_name, .. } => role_name,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{cluster, role_of, source};
    use super::*;

    fn plan(clusters: Vec<DiscoveredCluster>, config: &str, line: &str) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let found = Found { clusters, skipped: Vec::new() };
        Plan::new(&found, &ConfigFile::load(&path).unwrap(), &Discover::of(line))
    }

    fn new(plan: &Plan) -> Vec<(&str, bool)> {
        plan.new.iter().map(|new| (new.profile.as_str(), new.is_proposed())).collect()
    }

    const CONFIG: &str = "[sources.work]\naws_profile = \"work\"\n[profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\n\
        source = \"work\"\nserver = \"https://prod.111122223333.example\"\n";
    const OWN: &str = "111122223333";
    const OTHER: &str = "444455556666";

    #[test]
    fn plan_offers_new_clusters_once_for_each_identity_that_may_enter() {
        let clusters = vec![
            cluster("prod", OWN, &source(), Some("mapped")),
            cluster("prod", OTHER, &role_of("Admin", OTHER), Some("mapped")),
            cluster("lab", OWN, &role_of("Admin", OWN), Some("mapped")),
            cluster("lab", OWN, &role_of("Auditor", OWN), Some("mapped")),
            cluster("lab", OWN, &role_of("Billing", OWN), Some("not_mapped")),
            cluster("edge", OWN, &role_of("Billing", OWN), Some("not_mapped")),
            cluster("edge", OWN, &source(), Some("not_mapped")),
        ];
        let plan = plan(clusters, CONFIG, "rolecall discover");
        assert_eq!(new(&plan), [("edge", false), ("lab", true), ("lab-Auditor", true), ("prod-Admin", true)]);
        assert_eq!(plan.known.len(), 1);
        assert_eq!(plan.known[0].profiles, ["prod"]);
        assert_eq!(plan.new[0].found.identity, serde_json::from_value(source()).unwrap());
        assert!(plan.gone.is_empty());
    }

    #[test]
    fn plan_reports_profiles_whose_cluster_is_gone() {
        let other = || cluster("lab", OWN, &source(), None);
        assert_eq!(plan(vec![other()], CONFIG, "rolecall discover").gone, ["prod"]);
        let with_role = format!("{CONFIG}role_arn = \"arn:aws:iam::111122223333:role/x\"\n");
        assert!(plan(vec![other()], &with_role, "rolecall discover").gone.is_empty(), "the role may see more");
        assert!(plan(vec![], CONFIG, "rolecall discover").gone.is_empty());
    }

    #[test]
    fn plan_follows_template_and_patterns() {
        let clusters = || {
            vec![
                cluster("shop-a", OWN, &role_of("Admin", OWN), Some("mapped")),
                cluster("lab", OWN, &role_of("Admin", OWN), Some("mapped")),
            ]
        };
        let found = plan(clusters(), "", "rolecall discover --name {cluster}.{account}.{role} --only shop-*");
        assert_eq!(new(&found), [("shop-a.111122223333.Admin", true)]);
        assert!(plan(clusters(), "", "rolecall discover --only x*").new.is_empty());
    }

    #[test]
    fn matches_star_stands_for_any_text() {
        for (pattern, expected) in [
            ("prod", false),
            ("prod-*", true),
            ("*-eu", true),
            ("*d-*", true),
            ("*", true),
            ("p*d*u", true),
            ("p*x*u", false),
        ] {
            assert_eq!(matches("prod-eu", pattern), expected, "{pattern}");
        }
        assert!(matches("prod", "prod") && !matches("prod", "prod*prod"));
    }
}
