//! What the program of a kubeconfig user means: the cluster, the region and the identity, or why Rolecall cannot replace it.
//!
//! An option or a variable that is not in the tables (`tables.rs`) may change the identity, so its user is not converted. A message
//! never quotes the value of a variable, which may be a secret.

mod options;
mod tables;
mod wrappers;

use self::options::Style;
use self::tables::{Effect, EnvEffect, VariableSpec};
use crate::kubeconfig::ExecCommand;

/// How many programs may run one another.
const MAX_WRAPPERS: usize = 8;

/// What the program of a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recognized {
    /// It gets a token of an EKS cluster.
    Eks(Box<Meaning>),
    /// It gets a token of an EKS cluster in a way that Rolecall cannot replace.
    Refused {
        /// The program, as the plan shows it.
        today: String,
        why: String,
    },
    /// Another program.
    Other,
}

/// What a program that gets a token of an EKS cluster means. Texts are not checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The program, as the plan shows it.
    pub(super) today: String,
    pub(super) cluster: String,
    /// Whether `cluster` is the id of a local cluster, which EKS does not describe by name.
    pub(super) is_cluster_id: bool,
    pub(super) region: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) session_name: Option<String>,
    /// The AWS profile; `None` for the default one.
    pub(super) aws_profile: Option<String>,
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
    /// The tool that gives the AWS profile its credentials, if it is not the AWS CLI.
    pub(super) vault: Option<&'static str>,
}

/// Returns what a program means.
pub(super) fn recognize(exec: &ExecCommand) -> Recognized {
    let mut reading = Reading::default();
    let words = std::iter::once(exec.command.clone()).chain(exec.args.iter().cloned()).collect();
    exec.env.iter().for_each(|(name, value)| reading.variable(name, value));
    let result = match reading.program(words) {
        Ok(false) => return Recognized::Other,
        Ok(true) => reading.meaning(),
        Err(why) => Err(why),
    };
    let today = reading.programs.join(" -- ");
    match result {
        Ok(meaning) => Recognized::Eks(Box::new(Meaning { today, ..meaning })),
        Err(why) => Recognized::Refused { today, why },
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reading {
    meaning: Meaning,
    /// The programs that run one another.
    programs: Vec<String>,
    /// The AWS profile of an option of the AWS CLI, which precedes that of a wrapper, which precedes that of a variable.
    option_profile: Option<String>,
    wrapper_profile: Option<String>,
    variable_profile: Option<String>,
    option_region: Option<String>,
    variable_region: Option<String>,
    variable_role: Option<String>,
    variable_cluster: Option<String>,
    /// Why a variable cannot be replaced. It matters only for programs that get a token of EKS.
    problem: Option<String>,
}

impl Reading {
    /// Reads the words of a command line. Returns whether it gets a token of EKS; an error says why it cannot be replaced.
    fn program(&mut self, mut words: Vec<String>) -> Result<bool, String> {
        for _ in 0..MAX_WRAPPERS {
            let Some((program, rest)) = words.split_first() else { return Ok(false) };
            // A path has no `=` before its first slash, and `NAME=VALUE` has.
            let is_assignment = program.split('/').next().is_some_and(|start| start.contains('='));
            let name = if is_assignment { program } else { base_name(program) };
            match name {
                "aws" => return self.aws_cli(rest),
                name @ ("aws-iam-authenticator" | "heptio-authenticator-aws") => return self.authenticator(name, rest),
                name => match wrappers::read(name, rest, self)? {
                    Some(inner) => words = inner,
                    None => return Ok(false),
                },
            }
        }
        Err("it runs too many programs one after another".to_owned())
    }

    fn aws_cli(&mut self, words: &[String]) -> Result<bool, String> {
        let parsed = match options::parse(words, tables::AWS_CLI, Style::Argparse) {
            Ok(parsed) => parsed,
            // Other commands of the AWS CLI are not for kubectl.
            Err(_) if !words.iter().any(|word| word == "get-token") => return Ok(false),
            Err(why) => {
                self.programs.push("aws eks get-token".to_owned());
                return Err(why);
            }
        };
        let positionals: Vec<&str> = parsed.positionals.iter().map(String::as_str).collect();
        if positionals != ["eks", "get-token"] {
            return Ok(false);
        }
        let role = parsed.options.iter().any(|(effect, _)| *effect == Effect::Role);
        self.programs.push(format!("aws eks get-token{}", if role { " --role-arn …" } else { "" }));
        self.apply(parsed.options)?;
        // Only aws-iam-authenticator reads these variables.
        (self.variable_role, self.variable_cluster) = (None, None);
        Ok(true)
    }

    fn authenticator(&mut self, name: &str, words: &[String]) -> Result<bool, String> {
        self.programs.push(format!("{name} token"));
        let parsed = options::parse(words, tables::AUTHENTICATOR, Style::Pflag)?;
        let positionals: Vec<&str> = parsed.positionals.iter().map(String::as_str).collect();
        if positionals != ["token"] {
            return Ok(false);
        }
        self.apply(parsed.options)?;
        Ok(true)
    }

    fn apply(&mut self, options: Vec<(Effect, String)>) -> Result<(), String> {
        for (effect, value) in options {
            let meaning = &mut self.meaning;
            match effect {
                Effect::Cluster => meaning.cluster = value,
                Effect::ClusterId => (meaning.cluster, meaning.is_cluster_id) = (value, true),
                Effect::Role => meaning.role_arn = Some(value).filter(|role| !role.is_empty()),
                Effect::Region => self.option_region = Some(value),
                Effect::Profile => self.option_profile = Some(value),
                Effect::ExternalId => meaning.external_id = Some(value).filter(|id| !id.is_empty()),
                Effect::SessionName => meaning.session_name = Some(value).filter(|name| !name.is_empty()),
                Effect::ForwardSessionName => meaning.session_name = Some("{source_session}".to_owned()),
                Effect::Ignored | Effect::Command | Effect::IdpAccount => {}
                Effect::Refused(why) => return Err(why.to_owned()),
            }
        }
        Ok(())
    }

    /// Reads a variable of the program.
    fn variable(&mut self, name: &str, value: &str) {
        let known = tables::VARIABLES.iter().find(|spec| spec.matches(name));
        let Some(VariableSpec { effect, .. }) = known else {
            self.problem.get_or_insert(format!("it sets the variable {name}, which Rolecall does not know"));
            return;
        };
        let is_true = value.eq_ignore_ascii_case("true");
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        match effect {
            EnvEffect::Profile => self.variable_profile = text.or(self.variable_profile.take()),
            // AWS_REGION precedes AWS_DEFAULT_REGION.
            EnvEffect::Region if name == "AWS_REGION" => self.variable_region = text.or(self.variable_region.take()),
            EnvEffect::Region => self.variable_region = self.variable_region.take().or(text),
            EnvEffect::Role => self.variable_role = text,
            EnvEffect::Cluster => self.variable_cluster = text,
            EnvEffect::Fips => self.meaning.fips = is_true,
            EnvEffect::DualStack => self.meaning.dual_stack = is_true,
            EnvEffect::Ignored => {}
            EnvEffect::Secret => {
                let hint = "keep it in the keyring instead: rolecall keys put NAME";
                self.problem.get_or_insert(format!("it has an access key in the variable {name}; {hint}"));
            }
            EnvEffect::Refused(why) => {
                self.problem.get_or_insert(format!("it sets {name}, {why}"));
            }
        }
    }

    /// Returns what was read, without the names of the programs.
    fn meaning(&self) -> Result<Meaning, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let mut meaning = self.meaning.clone();
        if meaning.cluster.is_empty() {
            meaning.cluster = self.variable_cluster.clone().ok_or("it names no cluster")?;
        }
        // The AWS CLI prefers its own option to the credentials that a wrapper gives.
        if self.option_profile.is_some() {
            meaning.vault = None;
        }
        meaning.role_arn = meaning.role_arn.or_else(|| self.variable_role.clone());
        meaning.region = self.option_region.as_ref().or(self.variable_region.as_ref()).cloned();
        let profiles = [&self.option_profile, &self.wrapper_profile, &self.variable_profile];
        meaning.aws_profile = profiles.into_iter().flatten().next().cloned();
        Ok(meaning)
    }
}

/// Returns the name of a program without its folders and the ending of Windows.
fn base_name(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    [".exe", ".EXE", ".cmd", ".bat"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

#[cfg(test)]
mod tests;
