//! The command line: parsing alone, no I/O. [`crate::run`] runs the command.

mod access;
mod add;
mod agent;
mod audit;
mod completions;
mod config;
mod credentials;
mod discover;
mod doctor;
mod env;
mod exec;
mod import;
mod inputs;
mod keys;
mod kubeconfig;
mod list;
mod lock;
mod login;
mod output;
mod prompt;
mod refresh;
mod remove;
mod rename;
mod shell;
mod show;
mod source;
mod status;
mod token;
mod use_context;

use std::ffi::OsString;
use std::path::Path;

use clap::error::ContextValue;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rolecall_protocol::{is_unsafe_for_terminal, sanitize_for_terminal};

pub(crate) use access::{
    Access, AccessAction, AccessExplain, AccessGrant, AccessLint, AccessList, AccessMigrate, AccessPlanned,
    AccessPolicies, AccessRecover, AccessRestore, AccessRevoke, Confirm, PlanFormat, Principals, Story, Via,
};
pub(crate) use add::{Add, AddArgs, AddOptions};
pub(crate) use agent::{Agent, AgentAction};
pub(crate) use audit::Audit;
pub(crate) use completions::Completions;
pub(crate) use config::{Config, ConfigAction};
pub(crate) use credentials::Credentials;
pub(crate) use discover::{Discover, TEMPLATE_PARTS};
pub(crate) use doctor::Doctor;
pub(crate) use env::{Env, ShellSyntax};
pub(crate) use exec::Exec;
pub(crate) use import::Import;
pub(crate) use inputs::Inputs;
pub(crate) use keys::{Keys, KeysAction, KeysPut};
pub(crate) use kubeconfig::Kubeconfig;
pub(crate) use list::List;
pub(crate) use lock::{Lock, Unlock};
pub(crate) use login::{Login, Logout};
pub(crate) use output::Output;
pub(crate) use prompt::{Prompt, PromptFormat};
pub(crate) use refresh::Refresh;
pub(crate) use remove::Remove;
pub(crate) use rename::Rename;
pub(crate) use shell::Shell;
pub(crate) use show::Show;
pub(crate) use source::{Source, SourceAction};
pub(crate) use status::Status;
pub(crate) use token::Token;
pub(crate) use use_context::{ContextName, Use};

/// The help of the bare command. By hand, since clap has no groups of commands; a test holds it to the commands.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

\u{1b}[1;4mProfiles:\u{1b}[0m
  \u{1b}[1madd\u{1b}[0m          Add a cluster: check it with AWS, and write its context
  \u{1b}[1mdiscover\u{1b}[0m     Search for clusters, and add those that you choose
  \u{1b}[1mimport\u{1b}[0m       Convert existing contexts of other tools to Rolecall
  \u{1b}[1mlist, ls\u{1b}[0m     List the profiles
  \u{1b}[1mshow\u{1b}[0m         Show everything about profiles
  \u{1b}[1mremove, rm\u{1b}[0m   Remove profiles and their kubeconfig contexts
  \u{1b}[1mrename\u{1b}[0m       Give a profile and its kubeconfig context another name
  \u{1b}[1mconfig\u{1b}[0m       Check, edit, create or find the configuration file

\u{1b}[1;4mKubernetes:\u{1b}[0m
  \u{1b}[1muse\u{1b}[0m          Make a context the current one, or choose one from a list
  \u{1b}[1mshell\u{1b}[0m        Open a shell in which every kubectl uses this profile
  \u{1b}[1mprompt\u{1b}[0m       Print the profile and its time left, for the prompt of a shell
  \u{1b}[1mkubeconfig\u{1b}[0m   Write or refresh kubeconfig contexts
  \u{1b}[1mtoken\u{1b}[0m        Answer kubectl with a token (kubectl runs this)
  \u{1b}[1maccess\u{1b}[0m       See, grant and revoke who may enter a cluster, and repair it

\u{1b}[1;4mAWS:\u{1b}[0m
  \u{1b}[1mexec\u{1b}[0m         Run one command with a profile's session, for kubectl and AWS
  \u{1b}[1menv\u{1b}[0m          Print a profile's session as environment variables
  \u{1b}[1mcredentials\u{1b}[0m  Print a profile's session for the AWS CLI and AWS's SDKs

\u{1b}[1;4mSessions:\u{1b}[0m
  \u{1b}[1mstatus\u{1b}[0m       Show every profile's session, and what is wrong
  \u{1b}[1mrefresh\u{1b}[0m      Get a new session now; if that fails, the current one stays
  \u{1b}[1mlock\u{1b}[0m         Drop every session, and serve none until it is unlocked
  \u{1b}[1munlock\u{1b}[0m       Unlock the agent with the passphrase

\u{1b}[1;4mSigning in:\u{1b}[0m
  \u{1b}[1mlogin\u{1b}[0m        Log in to a source with a browser or an MFA code
  \u{1b}[1mlogout\u{1b}[0m       Log out of a source, and drop its sessions
  \u{1b}[1msource\u{1b}[0m       List, show or remove the sources of base credentials
  \u{1b}[1mkeys\u{1b}[0m         Keep long-lived access keys in the OS keyring

\u{1b}[1;4mThe agent:\u{1b}[0m
  \u{1b}[1magent\u{1b}[0m        Start, stop, restart or inspect the daemon
  \u{1b}[1maudit\u{1b}[0m        Show which program got a token, and what was refused
  \u{1b}[1mdoctor\u{1b}[0m       Find what keeps kubectl from a cluster, and who can fix it

\u{1b}[1;4mSetting up:\u{1b}[0m
  \u{1b}[1mcompletions\u{1b}[0m  Print a script that completes commands in your shell
  \u{1b}[1mhelp\u{1b}[0m         Print this message or the help of the given subcommand(s)

\u{1b}[1;4mOptions:\u{1b}[0m
{options}{after-help}";

/// ssh-agent for Amazon EKS: log in once, and kubectl just works
#[derive(Debug, Parser)]
#[command(
    name = "rolecall",
    version,
    help_template = HELP,
    arg_required_else_help = true,
    after_help = "\
Convert the contexts that you have:
  rolecall import

Or start with your first cluster:
  rolecall add prod --region eu-west-1 --aws-profile work \\
      --role-arn arn:aws:iam::111122223333:role/developers
  kubectl --context prod get pods

More about one command:  rolecall add --help"
)]
pub(crate) struct Cli {
    /// Print on standard error what the command does: each call of the agent, and the files
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The name under which kubectl finds this program as its plugin: `kubectl rolecall`.
const KUBECTL_PLUGIN: &str = "kubectl-rolecall";

/// Parses the command line. Started by kubectl as its plugin, the usage texts say `kubectl rolecall`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    parse_as_given(arguments).map_err(without_controls)
}

/// Makes the arguments that an error repeats safe for a terminal: a kubeconfig chooses those of the plugin.
fn without_controls(mut error: clap::Error) -> clap::Error {
    let is_unsafe = |text: &str| text.contains(|c: char| c != '\n' && is_unsafe_for_terminal(c));
    let mut safe = Vec::new();
    for (kind, value) in error.context() {
        match value {
            ContextValue::String(text) => safe.push((kind, ContextValue::String(sanitize_for_terminal(text)))),
            ContextValue::Strings(texts) => {
                let texts = texts.iter().map(|text| sanitize_for_terminal(text)).collect();
                safe.push((kind, ContextValue::Strings(texts)));
            }
            // A suggestion is left out: its styles are control characters too.
            ContextValue::StyledStrs(texts) if texts.iter().any(|text| is_unsafe(&text.to_string())) => {
                safe.push((kind, ContextValue::StyledStrs(Vec::new())));
            }
            _ => {}
        }
    }
    for (kind, value) in safe {
        error.insert(kind, value);
    }
    error
}

fn parse_as_given(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let program = arguments.first().and_then(|program| Path::new(program).file_name());
    if program != Some(KUBECTL_PLUGIN.as_ref()) {
        return Cli::try_parse_from(arguments);
    }
    let mut command = Cli::command().name("kubectl rolecall").bin_name("kubectl rolecall");
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// One variant, one file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Box<AddArgs>),
    Discover(Box<Discover>),
    Import(Import),
    List(List),
    Show(Show),
    Remove(Remove),
    Rename(Rename),
    Config(Config),
    Source(Source),
    Use(Use),
    Shell(Shell),
    Prompt(Prompt),
    Kubeconfig(Kubeconfig),
    Token(Token),
    Access(Access),
    Credentials(Credentials),
    Exec(Exec),
    Env(Env),
    Status(Status),
    Refresh(Refresh),
    Keys(Keys),
    Login(Login),
    Logout(Logout),
    Lock(Lock),
    Unlock(Unlock),
    Agent(Agent),
    Audit(Audit),
    Doctor(Doctor),
    Completions(Completions),
}

#[cfg(test)]
impl Discover {
    /// What `rolecall discover …` asks for; the whole line, for tests.
    pub(crate) fn of(line: &str) -> Self {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Discover(discover) => *discover,
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
impl Add {
    /// What `rolecall add …` asks for; the whole line, for tests.
    pub(crate) fn of(line: &str) -> Self {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Add(args) => {
                Self { name: args.name.unwrap(), region: args.region.unwrap(), options: args.options }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod pictures;
#[cfg(test)]
mod tests;
