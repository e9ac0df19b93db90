//! Adds the profile to the draft of the configuration, and checks whether it may replace an existing one.

use rolecall_protocol::{ClusterName, ProfileDetails, RoleArn, SourceName, similar_names};

use super::inputs;
use crate::cli::Add;
use crate::config_file::sources::SourceEntry;
use crate::config_file::{ConfigFile, ProfileEntry};
use crate::error::{CliError, Exit};
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::Server;

/// The AWS profile of a new source if the command names none, as in AWS's own tools.
const DEFAULT_AWS_PROFILE: &str = "default";

/// Adds the profile, and its source if that is new, to the draft. The pin is not known yet, except with --no-verify,
/// which keeps the old one.
pub(super) fn plan(wanted: &Add, draft: &mut ConfigFile) -> Result<ProfileEntry, CliError> {
    let cluster = match &wanted.cluster {
        Some(cluster) => cluster.clone(),
        None => wanted.name.as_str().parse().map_err(|error| {
            CliError::new(
                Exit::Usage,
                format!("{} cannot be the cluster's name too: {error}", wanted.name),
                "Name the cluster with --cluster",
            )
        })?,
    };
    let old = draft.profile(wanted.name.as_str());
    let (server, ca_sha256) = match old {
        Some(old) if wanted.no_verify && wanted.server.is_none() => kept_pin(wanted, &cluster, old)?,
        _ => (None, None),
    };
    let profile = ProfileEntry {
        cluster,
        region: wanted.region.clone(),
        source: source(wanted, draft)?,
        role_arn: wanted.role_arn.clone(),
        via: wanted.via.clone(),
        external_id: wanted.external_id.clone(),
        session_name: wanted.session_name.clone(),
        duration: wanted.duration.clone(),
        inputs: inputs::of(&wanted.inputs)?,
        server,
        ca_sha256,
    };
    draft.set_profile(wanted.name.as_str(), &profile)?;
    Ok(profile)
}

/// Adds the pin of an API server to a profile.
pub(super) fn with_pin(mut profile: ProfileEntry, server: Option<&Server>) -> ProfileEntry {
    if let Some(server) = server {
        profile.server = Some(server.url.clone());
        profile.ca_sha256 = Some(server.ca_sha256.clone());
    }
    profile
}

/// Returns the pin of the old profile if its cluster is the same, so that a change of the role with --no-verify keeps
/// the pin. Errors if a pinned profile gets another cluster.
fn kept_pin(
    wanted: &Add,
    cluster: &ClusterName,
    old: ProfileEntry,
) -> Result<(Option<String>, Option<String>), CliError> {
    let is_pinned = old.server.is_some() || old.ca_sha256.is_some();
    match () {
        () if old.cluster == *cluster && old.region == wanted.region => Ok((old.server, old.ca_sha256)),
        // Without --replace, `check_existing` refuses and lists the differences.
        () if !is_pinned || !wanted.replace => Ok((None, None)),
        () => Err(CliError::failed(
            format!(
                "{}: the API server of {} in {} is pinned, and no API server is given for {cluster} in {}",
                wanted.name, old.cluster, old.region, wanted.region
            ),
            "Give --server and --certificate-authority, or omit --no-verify",
        )),
    }
}

/// Returns the named source, or the source of the AWS profile or access key, which is added if it is missing.
fn source(wanted: &Add, draft: &mut ConfigFile) -> Result<SourceName, CliError> {
    let Some(source) = &wanted.source else {
        return ensure_source(wanted, draft);
    };
    let known = draft.source_names();
    if known.iter().any(|known| known == source.as_str()) {
        return Ok(source.clone());
    }
    let alike = similar_names(source.as_str(), known.iter().map(String::as_str));
    Err(CliError::failed(
        format!("there is no source \"{source}\" in the configuration"),
        match alike.as_slice() {
            [] => "Name an AWS profile instead, with --aws-profile".to_owned(),
            alike => format!("Did you mean {}? An AWS profile is named with --aws-profile", alike.join(" or ")),
        },
    ))
}

/// Returns the source of the AWS profile or access key, which is added if it is missing. An existing source keeps its
/// MFA device, because other profiles use it too.
fn ensure_source(wanted: &Add, draft: &mut ConfigFile) -> Result<SourceName, CliError> {
    let entry = match &wanted.keyring {
        Some(keys) => SourceEntry::Keyring(keys),
        None => SourceEntry::AwsProfile(wanted.aws_profile.as_deref().unwrap_or(DEFAULT_AWS_PROFILE)),
    };
    let serial = wanted.mfa_serial.as_ref();
    let source = draft.ensure_source(entry, serial)?;
    match (serial, draft.mfa_serial(&source)) {
        (Some(serial), Some(existing)) if existing != serial.as_str() => Err(CliError::failed(
            format!("the source \"{source}\" exists with another MFA device: {existing}"),
            "Omit --mfa-serial, or change mfa of that source in the configuration",
        )),
        (Some(serial), None) => Err(CliError::failed(
            format!("the source \"{source}\" exists without an MFA device"),
            format!(
                "Omit --mfa-serial, or write this under [sources.{source}] of the configuration: mfa = {{ serial = \"{serial}\" }}"
            ),
        )),
        _ => Ok(source),
    }
}

/// Checks that the profile is new, equal to the existing one, or replaced with --replace.
pub(super) fn check_existing(wanted: &Add, before: &ConfigFile, profile: &ProfileEntry) -> Result<(), CliError> {
    let name = wanted.name.as_str();
    if let Some(path) = before.included_from(name).filter(|_| !wanted.replace) {
        return Err(CliError::failed(
            format!(
                "the profile {name} comes from {}, and a profile of your own would override it",
                display_path(&path)
            ),
            "Choose another name, or override it with --replace",
        ));
    }
    if wanted.replace || !before.profile_names().iter().any(|known| known == name) {
        return Ok(());
    }
    let Some(existing) = before.profile(name) else {
        return Err(CliError::failed(
            format!("the profile {name} exists, and it is malformed"),
            "Fix it in the configuration, or overwrite it with --replace",
        ));
    };
    let differences = differences(&existing, profile);
    if differences.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(
        format!("the profile {name} exists, and it differs: {}", differences.join("; ")),
        "Choose another name, or change it with --replace",
    ))
}

/// The keys in which two profiles differ, with both values. A pin that only one of them has is not a difference.
fn differences(old: &ProfileEntry, new: &ProfileEntry) -> Vec<String> {
    let list = |arns: &[RoleArn]| {
        (!arns.is_empty()).then(|| arns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    let mut keys = vec![
        ("cluster", Some(old.cluster.to_string()), Some(new.cluster.to_string())),
        ("region", Some(old.region.to_string()), Some(new.region.to_string())),
        ("source", Some(old.source.to_string()), Some(new.source.to_string())),
        ("role_arn", old.role_arn.as_ref().map(ToString::to_string), new.role_arn.as_ref().map(ToString::to_string)),
        ("via", list(&old.via), list(&new.via)),
        (
            "external_id",
            old.external_id.as_ref().map(ToString::to_string),
            new.external_id.as_ref().map(ToString::to_string),
        ),
        ("session_name", old.session_name.clone(), new.session_name.clone()),
        ("duration", old.duration.clone(), new.duration.clone()),
    ];
    let inputs = old.inputs.display_values().into_iter().zip(new.inputs.display_values());
    keys.extend(inputs.map(|((key, old), (_, new))| (key, old, new)));
    let pins = [("server", &old.server, &new.server), ("ca_sha256", &old.ca_sha256, &new.ca_sha256)];
    let pins = pins.into_iter().filter(|(_, old, new)| old.is_some() && new.is_some());
    keys.extend(pins.map(|(key, old, new)| (key, old.clone(), new.clone())));
    let unset = || "(not set)".to_owned();
    keys.into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(key, old, new)| {
            format!("{key} is {} and would be {}", old.unwrap_or_else(unset), new.unwrap_or_else(unset))
        })
        .collect()
}

/// Whether the daemon uses this profile.
pub(super) fn is_in_force(profile: &ProfileEntry, known: &ProfileDetails) -> bool {
    let status = &known.status;
    status.cluster == profile.cluster
        && status.region == profile.region
        && status.source == profile.source
        && status.role_arn == profile.role_arn
        && inputs::are_in_force(&profile.inputs, &known.inputs)
        && known.server == profile.server
        && known.ca_sha256 == profile.ca_sha256
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ARN: &str = "arn:aws:iam::111122223333:role/developers";

    fn empty() -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        let config = ConfigFile::load(&folder.path().join("config.toml")).unwrap();
        (folder, config)
    }

    #[test]
    fn plan_new_profile_adds_its_source() {
        let (_folder, mut config) = empty();
        let line = format!("rolecall add prod --region eu-west-1 --role-arn {ARN} --aws-profile work");
        let profile = plan(&Add::of(&line), &mut config).unwrap();
        assert_eq!((profile.cluster.as_str(), profile.source.as_str()), ("prod", "work"));
        let text = config.text();
        assert!(text.contains("[sources.work]") && text.contains("aws_profile = \"work\""), "{text}");
        // A second profile shares the source.
        plan(&Add::of("rolecall add a --region eu-west-1 --source work"), &mut config).unwrap();
        assert_eq!(config.source_names(), ["work"]);
        let error = plan(&Add::of("rolecall add a --region eu-west-1 --source wrk"), &mut config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no source \"wrk\" in the configuration. Did you mean work? An AWS profile is named with --aws-profile"
        );
    }

    #[test]
    fn plan_mfa_device_only_in_new_source() {
        let (_folder, mut config) = empty();
        let serial = "arn:aws:iam::111122223333:mfa/dev";
        let with = |options: &str, config: &mut ConfigFile| {
            let line = format!("rolecall add prod --region eu-west-1 {options}");
            plan(&Add::of(&line), config).map(|profile| profile.source.to_string())
        };
        assert_eq!(with(&format!("--keyring keys --mfa-serial {serial}"), &mut config).unwrap(), "keys");
        assert_eq!(with(&format!("--keyring keys --mfa-serial {serial}"), &mut config).unwrap(), "keys");
        assert_eq!(with("--keyring keys", &mut config).unwrap(), "keys");
        let error = with("--keyring keys --mfa-serial arn:aws:iam::111122223333:mfa/other", &mut config).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the source \"keys\" exists with another MFA device: {serial}. Omit --mfa-serial, or change mfa of that \
                 source in the configuration"
            )
        );
        with("--aws-profile work", &mut config).unwrap();
        let error = with(&format!("--aws-profile work --mfa-serial {serial}"), &mut config).unwrap_err();
        assert!(error.to_string().ends_with(&format!("configuration: mfa = {{ serial = \"{serial}\" }}")), "{error}");
    }

    #[test]
    fn plan_invalid_cluster_name_is_asked_for() {
        let (_folder, mut config) = empty();
        let error = plan(&Add::of("rolecall add prod.eu --region eu-west-1"), &mut config).unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().ends_with("--cluster"), "{error}");
    }

    #[test]
    fn check_existing_lists_differences() {
        let (_folder, mut before) = empty();
        let first = Add::of(&format!("rolecall add prod --region eu-west-1 --role-arn {ARN}"));
        let mut profile = plan(&first, &mut before).unwrap();
        assert_eq!(check_existing(&first, &before, &profile), Ok(()));
        // A profile without a pin does not differ.
        profile.server = Some("https://a".to_owned());
        assert_eq!(check_existing(&first, &before, &profile), Ok(()));

        let line = "rolecall add prod --region eu-west-2 --aws-profile work";
        let other = Add::of(line);
        let profile = plan(&other, &mut before.clone()).unwrap();
        let error = check_existing(&other, &before, &profile).unwrap_err().to_string();
        for part in [
            "region is eu-west-1 and would be eu-west-2",
            "source is default and would be work",
            "developers and would be (not set)",
            "--replace",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(check_existing(&Add::of(&format!("{line} --replace")), &before, &profile), Ok(()));
    }

    #[test]
    fn check_existing_malformed_needs_replace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[profiles.prod]\ncluster = 7\n").unwrap();
        let before = ConfigFile::load(Path::new(&path)).unwrap();
        let add = Add::of("rolecall add prod --region eu-west-1");
        let profile = plan(&add, &mut before.clone()).unwrap();
        assert!(check_existing(&add, &before, &profile).unwrap_err().to_string().contains("malformed"));
    }

    #[test]
    fn plan_keeps_the_pin_of_its_cluster() {
        let (_folder, mut config) = empty();
        let mut pinned = plan(&Add::of("rolecall add prod --region eu-west-1"), &mut config).unwrap();
        pinned.server = Some("https://a".to_owned());
        pinned.ca_sha256 = Some("ab".to_owned());
        config.set_profile("prod", &pinned).unwrap();
        let again = |options: &str| {
            let line = format!("rolecall add prod --role-arn {ARN} --no-verify {options}");
            plan(&Add::of(&line), &mut config.clone()).map(|profile| profile.server)
        };
        assert_eq!(again("--region eu-west-1 --replace").unwrap().as_deref(), Some("https://a"));
        assert_eq!(again("--region eu-west-1").unwrap().as_deref(), Some("https://a"));
        for moved in ["--region eu-west-2", "--region eu-west-1 --cluster other"] {
            let error = again(&format!("{moved} --replace")).unwrap_err().to_string();
            assert!(error.ends_with("Give --server and --certificate-authority, or omit --no-verify"), "{error}");
            // Without --replace the differences are listed.
            assert_eq!(again(moved).unwrap(), None);
            assert_eq!(
                again(&format!("{moved} --replace --server https://b --certificate-authority x")).unwrap(),
                None
            );
        }
        pinned.server = None;
        pinned.ca_sha256 = None;
        config.set_profile("prod", &pinned).unwrap();
        assert_eq!(
            plan(&Add::of("rolecall add prod --region eu-west-2 --no-verify --replace"), &mut config).unwrap().server,
            None
        );
    }
}
