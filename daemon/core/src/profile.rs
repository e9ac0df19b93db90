//! A profile with its names and templates resolved and its role chain in order.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ClusterName, EntryKey, ProfileName, RoleArn, SourceName};

use crate::config::inputs::EndpointVariant;
use crate::config::{Config, NameTemplate, Pin, PinMode, ProfileConfig};
use crate::constraints::Constraints;
use crate::role_chain::{MAX_CHAINED_DURATION, RoleChain, RoleStep};

/// The user and the machine, for session names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The login name.
    pub user: String,
    /// The host name without its domain.
    pub host: String,
}

/// A profile of the configuration, resolved for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name of the profile.
    pub name: ProfileName,
    /// The EKS cluster.
    pub cluster: ClusterName,
    /// The roles from the source to the session.
    pub chain: RoleChain,
    /// The name of the source.
    pub source_name: SourceName,
    /// The cluster that the kubeconfig has to name.
    pub pin: Option<Arc<Pin>>,
    /// Which kubeconfigs get a token.
    pub pin_mode: PinMode,
    /// The key of the profile's kubeconfig entries.
    pub entry_key: Option<EntryKey>,
    /// Whether the client asks before it opens a shell or runs a program with the profile.
    pub protected: bool,
    /// Whether the profile gives tokens only, and no AWS credentials.
    pub tokens_only: bool,
    /// The configured session duration.
    pub duration: Duration,
    /// How long after its last use the session is renewed in the background.
    pub keep_warm: Duration,
    /// The STS endpoint in the profile's tokens.
    pub variant: EndpointVariant,
    /// The constraints, if there are any.
    pub constraints: Option<Arc<Constraints>>,
}

impl Profile {
    /// Returns the profile with this name, or `None` if it is not configured.
    #[must_use]
    pub fn find(config: &Config, name: &ProfileName, user: &LocalUser) -> Option<Self> {
        let profile = config.profiles.get(name)?;
        // Validation has checked that the source exists.
        let source = config.sources.get(&profile.source)?.clone();
        let session = NameTemplate::new(&profile.session_name, &user.user, &user.host, name.as_str());
        Some(Self {
            name: name.clone(),
            cluster: profile.cluster.clone(),
            chain: RoleChain::new(source, profile.region.clone(), steps(profile, &session)),
            source_name: profile.source.clone(),
            pin: profile.pin.clone(),
            pin_mode: profile.pin_mode,
            entry_key: profile.entry_key.clone(),
            protected: profile.protected,
            tokens_only: profile.tokens_only,
            duration: profile.duration,
            keep_warm: profile.keep_warm,
            constraints: profile.constraints.clone(),
            variant: profile.inputs.as_ref().map(|inputs| inputs.variant).unwrap_or_default(),
        })
    }

    /// Returns the session duration that the last step requests, if it is shorter than the configured one.
    #[must_use]
    pub fn duration_limit(&self) -> Option<Duration> {
        self.chain.steps.last().map(|step| step.duration).filter(|requested| *requested < self.duration)
    }
}

/// STS limits the sessions of chained roles to 1 h, so every step of a longer chain requests at most that.
fn steps(profile: &ProfileConfig, session_name: &NameTemplate) -> Vec<RoleStep> {
    let last = profile.roles.len().saturating_sub(1);
    let step = |(index, role): (usize, &RoleArn)| RoleStep {
        role: role.clone(),
        session_name: session_name.clone(),
        external_id: profile.external_id.clone().filter(|_| index == last),
        duration: if last == 0 { profile.duration } else { profile.duration.min(MAX_CHAINED_DURATION) },
        inputs: profile.inputs.as_ref().and_then(|inputs| inputs.step(index)).cloned(),
    };
    profile.roles.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn chained_steps_request_at_most_an_hour() {
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
        let user = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        let find = |text: &str| {
            let config = Config::parse(Path::new("config.toml"), text).unwrap();
            Profile::find(&config, &"prod".parse().unwrap(), &user).unwrap()
        };
        assert_eq!(find(text).chain.steps[0].duration, Duration::from_hours(8));
        let chained = find(&format!("{text}\nvia = [\"arn:aws:iam::999988887777:role/hub\"]"));
        let durations: Vec<_> = chained.chain.steps.iter().map(|step| step.duration).collect();
        assert_eq!(durations, [MAX_CHAINED_DURATION, MAX_CHAINED_DURATION]);
        assert_eq!((find(text).duration_limit(), chained.duration_limit()), (None, Some(MAX_CHAINED_DURATION)));
        assert_eq!(chained.chain.steps[0].external_id, None);
        assert!(chained.chain.steps[1].external_id.is_some());
        assert_ne!(chained.chain, find(text).chain);
    }
}
