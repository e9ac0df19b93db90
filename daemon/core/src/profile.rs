//! A profile ready for use: names and templates resolved, steps in order.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ClusterName, ProfileName, RoleArn, SourceName};

use crate::config::inputs::EndpointVariant;
use crate::config::{Config, NameTemplate, Pin, ProfileConfig};
use crate::role_chain::{MAX_CHAINED_DURATION, RoleChain, RoleStep};

/// Who runs the daemon, for the names of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The login name.
    pub user: String,
    /// The machine's name, without its domain.
    pub host: String,
}

/// What a profile means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// Its cluster.
    pub cluster: ClusterName,
    /// How its session is got.
    pub chain: RoleChain,
    /// The name of its source.
    pub source_name: SourceName,
    /// What the kubeconfig must say.
    pub pin: Option<Arc<Pin>>,
    /// The longest that a session is asked for.
    pub duration: Duration,
    /// For how long after its last use the session is renewed unasked.
    pub keep_warm: Duration,
    /// The endpoint of STS that its tokens name.
    pub variant: EndpointVariant,
}

impl Profile {
    /// The profile of that name, if it is configured.
    #[must_use]
    pub fn find(config: &Config, name: &ProfileName, person: &LocalUser) -> Option<Self> {
        let profile = config.profiles.get(name)?;
        // Validation made sure of the source.
        let source = config.sources.get(&profile.source)?.clone();
        let session = NameTemplate::new(&profile.session_name, &person.user, &person.host, name.as_str());
        Some(Self {
            name: name.clone(),
            cluster: profile.cluster.clone(),
            chain: RoleChain::new(source, profile.region.clone(), steps(profile, &session)),
            source_name: profile.source.clone(),
            pin: profile.pin.clone(),
            duration: profile.duration,
            keep_warm: profile.keep_warm,
            variant: profile.inputs.as_ref().map(|inputs| inputs.variant).unwrap_or_default(),
        })
    }

    /// The longest that a session can be asked for, where that is less than what is configured.
    #[must_use]
    pub fn duration_limit(&self) -> Option<Duration> {
        self.chain.steps.last().map(|step| step.duration).filter(|asked| *asked < self.duration)
    }
}

/// Every step after the first is chained and so limited; those in between last as long as AWS allows them to.
fn steps(profile: &ProfileConfig, session_name: &NameTemplate) -> Vec<RoleStep> {
    let last = profile.roles.len().saturating_sub(1);
    let step = |(index, role): (usize, &RoleArn)| RoleStep {
        role: role.clone(),
        session_name: session_name.clone(),
        external_id: profile.external_id.clone().filter(|_| index == last),
        duration: if last == 0 { profile.duration } else { profile.duration.min(MAX_CHAINED_DURATION) },
        inputs: profile.inputs.as_ref().and_then(|inputs| inputs.of(index)).cloned(),
    };
    profile.roles.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn chained_hops_ask_for_no_more_than_an_hour() {
        let text = r#"
            [sources.work]
            aws_profile = "work"
            [profiles.prod]
            cluster = "prod"
            region = "eu-west-1"
            source = "work"
            role_arn = "arn:aws:iam::111122223333:role/developers"
            external_id = "secret-handshake"
            duration = "8h"
        "#;
        let person = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        let find = |text: &str| {
            let config = Config::parse(Path::new("config.toml"), text).unwrap();
            Profile::find(&config, &"prod".parse().unwrap(), &person).unwrap()
        };
        assert_eq!(find(text).chain.steps[0].duration, Duration::from_hours(8));
        let chained = find(&format!("{text}\nvia = [\"arn:aws:iam::999988887777:role/hub\"]"));
        let lengths: Vec<_> = chained.chain.steps.iter().map(|step| step.duration).collect();
        assert_eq!(lengths, [MAX_CHAINED_DURATION, MAX_CHAINED_DURATION]);
        assert_eq!((find(text).duration_limit(), chained.duration_limit()), (None, Some(MAX_CHAINED_DURATION)));
        assert_eq!(chained.chain.steps[0].external_id, None);
        assert!(chained.chain.steps[1].external_id.is_some());
        assert_ne!(chained.chain, find(text).chain);
    }
}
