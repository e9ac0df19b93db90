//! The questions of `rolecall add` without a name, on a terminal. Nothing is written before the last answer.

use std::time::Duration;

use rolecall_protocol::{
    ClusterAccess, ClusterName, DescribedCluster, DiscoverRequest, DiscoverStep, DiscoveredCluster, ProfileName,
    Region, RoleArn, SourceName, location, sanitize_for_terminal,
};

use crate::aws_profiles;
use crate::cli::{Add, AddArgs, AddOptions};
use crate::clock::Deadline;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::terminal::pick::{Choice, pick};
use crate::terminal::prompt;
use crate::terminal::tty::{Tty, TypedLine};

/// How long the user may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// How long the search for clusters may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How often that is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The AWS profile that AWS's own tools use if none is named.
const DEFAULT_AWS_PROFILE: &str = "default";

/// Returns the command with every required value: those of the command line, of the AWS profile, or of the user's answers. Errors
/// if a value is missing and there is no terminal.
pub(super) fn complete(args: &AddArgs, context: &Context) -> Result<Add, CliError> {
    let mut options = args.options.clone();
    if let Some(name) = &args.name {
        let region = args.region.clone().or_else(|| region_of(&options));
        let region = region.map_or_else(|| Err(no_region(&options)), Ok)?;
        return Ok(Add { name: name.clone(), region, options });
    }
    let Some(tty) = Tty::open().filter(Tty::is_available) else {
        return Err(CliError::new(
            Exit::Usage,
            "the name of the profile is missing, and there is no terminal to ask on",
            "Name it: rolecall add NAME --region REGION; see rolecall add --help",
        ));
    };
    let questions = Questions { tty, context };
    questions.credentials(&mut options)?;
    let region = match &args.region {
        Some(region) => region.clone(),
        None => questions.region(&options)?,
    };
    let found = match &options.cluster {
        Some(_) => None,
        None => questions.cluster(&mut options, &region)?,
    };
    if options.role_arn.is_none() {
        options.role_arn = questions.role(found.as_ref())?;
    }
    let name = questions.name(&options)?;
    Ok(Add { name, region, options })
}

/// The region of the AWS profile that the command names, or that a new source would have.
fn region_of(options: &AddOptions) -> Option<Region> {
    let names_other_source = options.source.is_some() || options.keyring.is_some();
    let profile = options.aws_profile.as_deref().or((!names_other_source).then_some(DEFAULT_AWS_PROFILE));
    aws_profiles::region(profile?)
}

/// The configured source of an AWS profile, or else the AWS profile itself.
fn sources_of(profile: &str) -> (Vec<SourceName>, Vec<String>) {
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    let known = config.and_then(|config| config.sources_with_aws_profile(profile).first()?.parse().ok());
    known.map_or_else(|| (Vec::new(), vec![profile.to_owned()]), |source| (vec![source], Vec::new()))
}

fn no_region(options: &AddOptions) -> CliError {
    let profile = options.aws_profile.as_deref().unwrap_or(DEFAULT_AWS_PROFILE);
    let profile = sanitize_for_terminal(profile);
    CliError::new(
        Exit::Usage,
        format!("the region is missing, and the AWS profile {profile} has none"),
        "Name the region of the cluster: --region REGION",
    )
}

/// Asks on a terminal.
struct Questions<'a> {
    tty: Tty,
    context: &'a Context,
}

impl Questions<'_> {
    /// Asks for the AWS profile, unless the command names other credentials or there is only one.
    fn credentials(&self, options: &mut AddOptions) -> Result<(), CliError> {
        if options.aws_profile.is_some() || options.source.is_some() || options.keyring.is_some() {
            return Ok(());
        }
        let names = aws_profiles::names();
        options.aws_profile = match names.as_slice() {
            [] => {
                return Err(CliError::failed(
                    "there are no AWS profiles",
                    "Create one: aws configure sso, or aws configure; or store an access key: rolecall keys put",
                )
                .nothing_written());
            }
            [only] => {
                output::print_note(&format!("AWS profile {only}: it is the only one"));
                Some(only.clone())
            }
            names => {
                let choice = |name: &String| Choice {
                    name: name.clone(),
                    detail: aws_profiles::region(name).map(|region| region.to_string()).unwrap_or_default(),
                    is_current: name == DEFAULT_AWS_PROFILE,
                    ..Choice::default()
                };
                let choices: Vec<Choice> = names.iter().map(choice).collect();
                let index = pick("AWS profile", &choices, &self.context.environment)?;
                names.get(index).cloned()
            }
        };
        Ok(())
    }

    fn region(&self, options: &AddOptions) -> Result<Region, CliError> {
        let default = region_of(options);
        let shown = default.as_ref().map(|region| format!(" [{region}]")).unwrap_or_default();
        self.ask_until_valid(&format!("Region of the cluster{shown}: "), |answer| match (answer, &default) {
            ("", Some(default)) => Ok(default.clone()),
            ("", None) => Err("a region is needed, such as eu-west-1".to_owned()),
            (answer, _) => answer.parse::<Region>().map_err(|error| error.to_string()),
        })
    }

    /// Asks for the cluster, among those that the credentials see. Returns the chosen one; `None` if the user typed its name.
    fn cluster(&self, options: &mut AddOptions, region: &Region) -> Result<Option<DiscoveredCluster>, CliError> {
        let found = match self.search(options, region) {
            Ok(found) => found,
            Err(error) => {
                output::print_note(&format!("the clusters of {region} cannot be listed: {error}"));
                Vec::new()
            }
        };
        if found.is_empty() {
            let name = self.ask_until_valid("Name of the cluster: ", |answer| {
                answer.parse::<ClusterName>().map_err(|error| error.to_string())
            })?;
            options.cluster = Some(name);
            return Ok(None);
        }
        let detail = |cluster: &DiscoveredCluster| match &cluster.described {
            DescribedCluster::Cluster(found) => format!("Kubernetes {}", found.version.as_deref().unwrap_or("unknown")),
            DescribedCluster::ClusterProblem(problem) => problem.message.clone(),
        };
        let choice = |cluster: &DiscoveredCluster| Choice {
            name: cluster.name.to_string(),
            detail: detail(cluster),
            ..Choice::default()
        };
        let choices: Vec<Choice> = found.iter().map(choice).collect();
        let index = pick("Cluster", &choices, &self.context.environment)?;
        let chosen = found.into_iter().nth(index);
        options.cluster = chosen.as_ref().map(|cluster| cluster.name.clone());
        Ok(chosen)
    }

    fn search(&self, options: &AddOptions, region: &Region) -> Result<Vec<DiscoveredCluster>, CliError> {
        let (sources, aws_profiles) = match (&options.source, &options.aws_profile) {
            (Some(source), _) => (vec![source.clone()], Vec::new()),
            (None, Some(profile)) => sources_of(profile),
            // The key of a new source is in the keyring, which the search does not look into.
            (None, None) => return Ok(Vec::new()),
        };
        let request =
            DiscoverRequest { sources, aws_profiles, regions: vec![region.clone()], ..DiscoverRequest::default() };
        let deadline = Deadline::after(SEARCH_TIMEOUT);
        let mut steps = self.context.daemon()?.discover(&request)?;
        let mut found = Vec::new();
        while deadline.remaining().is_some() {
            match steps.next(POLL_INTERVAL)? {
                Some(DiscoverStep::Found { cluster }) => found.push(*cluster),
                Some(DiscoverStep::Skipped { error, .. } | DiscoverStep::Failed { error }) => return Err(error.into()),
                Some(DiscoverStep::Done) => break,
                _ => {}
            }
        }
        found.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        Ok(found)
    }

    /// Asks for the role. The empty answer means the credentials themselves.
    fn role(&self, found: Option<&DiscoveredCluster>) -> Result<Option<RoleArn>, CliError> {
        if let Some(ClusterAccess::NotMapped) = found.and_then(|found| found.access.as_ref()) {
            output::print_note("the cluster does not map these credentials; a role that it maps is needed");
        }
        self.ask_until_valid("Role to assume (ARN; empty for none): ", |answer| match answer {
            "" => Ok(None),
            answer => answer.parse::<RoleArn>().map(Some).map_err(|error| error.to_string()),
        })
    }

    fn name(&self, options: &AddOptions) -> Result<ProfileName, CliError> {
        let cluster = options.cluster.as_ref().map(ToString::to_string).unwrap_or_default();
        let default = self.free_name(&cluster);
        let shown = default.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
        self.ask_until_valid(&format!("Name of the profile and its context{shown}: "), |answer| {
            match (answer, &default) {
                ("", Some(default)) => Ok(default.clone()),
                (answer, _) => answer.parse::<ProfileName>().map_err(|error| error.to_string()),
            }
        })
    }

    /// The name of the cluster, with a number if a profile has it.
    fn free_name(&self, cluster: &str) -> Option<ProfileName> {
        let path = self.context.config_path().ok();
        let taken = path.and_then(|path| ConfigFile::load(&path).ok()).map(|config| config.all_profile_names());
        let taken = taken.unwrap_or_default();
        let names = std::iter::once(cluster.to_owned()).chain((2..100).map(|number| format!("{cluster}-{number}")));
        names.filter(|name| !taken.contains(name)).find_map(|name| name.parse().ok())
    }

    /// Asks until the answer is valid. Errors if the user ends the input.
    fn ask_until_valid<T>(&self, question: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, CliError> {
        loop {
            match prompt::ask(&self.tty, question, Some(Deadline::after(ANSWER_TIMEOUT))) {
                TypedLine::Line(answer) => match parse(answer.trim()) {
                    Ok(value) => return Ok(value),
                    Err(problem) => output::print_note(&problem),
                },
                _ => {
                    return Err(CliError::failed("there was no answer", "Run the command again").nothing_written());
                }
            }
        }
    }
}
