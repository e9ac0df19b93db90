//! What becomes of each context: the plan that the user confirms.

use std::collections::{HashMap, HashSet};

use rolecall_protocol::{ProfileName, similar_names};

use super::aws_profiles::AwsProfiles;
use super::names::profile_name;
use super::recognize::{Recognized, recognize};
use super::target::{Target, target};
use crate::config_file::{ConfigFile, ProfileEntry};
use crate::error::{CliError, Exit};
use crate::kubeconfig::{ExecCommand, FoundContext, FoundUser};

/// Why a user is not converted whose text another entry uses.
const SHARED_TEXT: &str = "another entry uses the text of its user through a YAML anchor or merge key";

/// What becomes of all contexts.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rows: Vec<Row>,
    pub(super) users: Vec<PlannedUser>,
    pub(super) profiles: Vec<PlannedProfile>,
}

/// A context in the plan.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) context: String,
    /// The cluster and the region; empty if it is not one of EKS.
    pub(super) cluster: String,
    /// What it authenticates with today.
    pub(super) today: String,
    pub(super) becomes: Becomes,
}

/// What becomes of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It uses the profile with this index.
    Profile(usize),
    /// It stays as it is: Rolecall has nothing to do with it, or it runs `rolecall token`.
    Unchanged,
    /// It gets a token of EKS and stays as it is, for this reason.
    Refused(String),
}

/// A user that is converted.
#[derive(Debug)]
pub(super) struct PlannedUser {
    pub(super) name: String,
    pub(super) exec: ExecCommand,
    /// The contexts that use it.
    pub(super) contexts: Vec<String>,
    /// The index of its profile.
    pub(super) profile: usize,
}

/// A profile that converted users get.
#[derive(Debug)]
pub(super) struct PlannedProfile {
    pub(super) name: ProfileName,
    pub(super) target: Target,
    /// Whether the configuration does not have it yet.
    pub(super) is_new: bool,
}

/// What the user wants to convert.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The contexts; empty for all.
    pub(super) only: &'a [String],
    pub(super) aws_profile: Option<&'a str>,
    /// Users whose text cannot be replaced alone.
    pub(super) shared: &'a [String],
}

/// A user that gets a token of EKS, with its contexts.
struct EksUser<'a> {
    exec: &'a ExecCommand,
    today: String,
    /// The indexes of its contexts.
    contexts: Vec<usize>,
    target: Result<Target, String>,
}

impl Plan {
    /// Plans the conversion of the contexts with this configuration.
    ///
    /// # Errors
    /// If a wanted context does not exist.
    pub(super) fn new(
        contexts: &[FoundContext],
        wanted: Wanted<'_>,
        aws: &AwsProfiles,
        config: &ConfigFile,
    ) -> Result<Self, CliError> {
        check_known(wanted.only, contexts)?;
        let eks_users = eks_users(contexts, wanted.aws_profile, aws);
        let mut plan =
            Self { rows: contexts.iter().map(unchanged_row).collect(), users: Vec::new(), profiles: Vec::new() };
        let names: HashSet<&str> = contexts.iter().map(|context| context.name.as_str()).collect();
        let mut taken: HashSet<String> = config.all_profile_names().into_iter().collect();
        for (name, user) in eks_users {
            let is_wanted = |index: &usize| wanted.only.is_empty() || wanted.only.contains(&contexts[*index].name);
            let is_wanted = user.contexts.iter().any(is_wanted);
            let becomes = match user.target {
                Err(why) => Becomes::Refused(why),
                Ok(_) if wanted.shared.iter().any(|shared| shared == name) => Becomes::Refused(SHARED_TEXT.to_owned()),
                Ok(target) => {
                    for index in &user.contexts {
                        plan.rows[*index].cluster = format!("{} {}", target.cluster, target.region);
                    }
                    if is_wanted {
                        let first = &contexts[user.contexts[0]].name;
                        let profile = plan.profile(first, target, &names, &mut taken, config);
                        let contexts = user.contexts.iter().map(|index| contexts[*index].name.clone()).collect();
                        plan.users.push(PlannedUser {
                            name: name.to_owned(),
                            exec: user.exec.clone(),
                            contexts,
                            profile,
                        });
                        Becomes::Profile(profile)
                    } else {
                        Becomes::Unchanged
                    }
                }
            };
            for index in user.contexts {
                plan.rows[index].today.clone_from(&user.today);
                plan.rows[index].becomes = becomes.clone();
            }
        }
        Ok(plan)
    }

    /// Returns the number of contexts that are converted.
    pub(super) fn count(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.becomes, Becomes::Profile(_))).count()
    }

    /// Returns the index of the profile for a target: an existing one that is equal, or a new one.
    fn profile(
        &mut self,
        context: &str,
        target: Target,
        contexts: &HashSet<&str>,
        taken: &mut HashSet<String>,
        config: &ConfigFile,
    ) -> usize {
        if let Some(index) = self.profiles.iter().position(|planned| planned.target == target) {
            return index;
        }
        let existing = equal_profile(context, &target, config);
        let is_new = existing.is_none();
        let name = existing.unwrap_or_else(|| {
            // Another context may become a profile of its own name.
            profile_name(context, &target, |name| taken.contains(name) || (contexts.contains(name) && name != context))
        });
        taken.insert(name.to_string());
        self.profiles.push(PlannedProfile { name, target, is_new });
        self.profiles.len() - 1
    }
}

impl Target {
    /// Whether a profile of the configuration is this target, whatever its session duration.
    fn is(&self, name: &str, profile: &ProfileEntry, config: &ConfigFile) -> bool {
        let Self { cluster, region, role_arn, external_id, session_name, aws_profile, inputs, server, route, .. } =
            self;
        profile.cluster == *cluster
            && profile.region == *region
            && profile.role_arn == *role_arn
            && profile.via.is_empty()
            && profile.external_id == *external_id
            && profile.session_name == *session_name
            && profile.inputs == *inputs
            && profile.server.as_ref() == Some(&server.url)
            && profile.ca_sha256.as_ref().is_some_and(|digest| digest.eq_ignore_ascii_case(&server.ca_sha256))
            && config.server_route(name) == *route
            && config.plain_aws_profile(profile.source.as_str()) == Some(aws_profile)
    }
}

/// Returns a profile of the configuration that is equal to a target, preferably one with the name of the context.
fn equal_profile(context: &str, target: &Target, config: &ConfigFile) -> Option<ProfileName> {
    let is_equal = |name: &String| config.profile(name).is_some_and(|profile| target.is(name, &profile, config));
    let mut names: Vec<String> = config.profile_names().into_iter().filter(is_equal).collect();
    names.sort_by_key(|name| name != context);
    names.into_iter().find_map(|name| name.parse().ok())
}

fn check_known(only: &[String], contexts: &[FoundContext]) -> Result<(), CliError> {
    let names = || contexts.iter().map(|context| context.name.as_str());
    let Some(unknown) = only.iter().find(|wanted| !names().any(|name| name == wanted.as_str())) else { return Ok(()) };
    let hint = match similar_names(unknown, names()).as_slice() {
        [] => "See them all with: kubectl config get-contexts".to_owned(),
        alike => format!("Did you mean {}?", alike.join(" or ")),
    };
    Err(CliError::new(Exit::Usage, format!("there is no context \"{unknown}\""), hint))
}

/// Returns the users that get a token of EKS, by name, in the order of their first contexts.
fn eks_users<'a>(
    contexts: &'a [FoundContext],
    default_profile: Option<&str>,
    aws: &AwsProfiles,
) -> Vec<(&'a str, EksUser<'a>)> {
    let mut users: Vec<(&str, EksUser<'_>)> = Vec::new();
    let mut indexes: HashMap<&str, usize> = HashMap::new();
    for (index, context) in contexts.iter().enumerate() {
        let (Some(name), Some(FoundUser::Exec(exec))) = (context.user_name.as_deref(), &context.user) else { continue };
        let (today, target) = match recognize(exec) {
            Recognized::Other => continue,
            Recognized::Refused { today, why } => (today, Err(why)),
            Recognized::Eks(meaning) => {
                let target = target(context, &meaning, default_profile, aws);
                (meaning.today, target)
            }
        };
        let Some(known) = indexes.get(name) else {
            indexes.insert(name, users.len());
            users.push((name, EksUser { exec, today, contexts: vec![index], target }));
            continue;
        };
        let Some((_, known)) = users.get_mut(*known) else { continue };
        known.contexts.push(index);
        if let (Ok(first), Ok(second)) = (&known.target, &target)
            && first != second
        {
            known.target = Err(format!("the user {name} has contexts of different clusters; give each its own user"));
        }
        if known.target.is_ok() && target.is_err() {
            known.target = target;
        }
    }
    users
}

fn unchanged_row(context: &FoundContext) -> Row {
    let today = match &context.user {
        None => "no user",
        Some(FoundUser::Rolecall) => "rolecall token",
        Some(FoundUser::Exec(exec)) => exec.command.rsplit('/').next().unwrap_or_default(),
        Some(FoundUser::Mixed(words) | FoundUser::Other(words)) => words,
    };
    let becomes = match &context.user {
        Some(FoundUser::Mixed(words)) => {
            Becomes::Refused(format!("its user has two credentials: {words}, and a program"))
        }
        _ => Becomes::Unchanged,
    };
    Row { context: context.name.clone(), cluster: String::new(), today: today.to_owned(), becomes }
}
