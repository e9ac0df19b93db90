//! The command line: parsing alone, no I/O. [`crate::run`] runs the command.

mod access;
mod add;
mod agent;
mod audit;
mod config;
mod credentials;
mod discover;
mod doctor;
mod env;
mod exec;
mod import;
mod inputs;
mod keys;
mod lock;
mod login;
mod output;
mod prompt;
mod shell;
mod source;
mod use_context;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ContextValue;
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use rolecall_protocol::{ProfileName, is_unsafe_for_terminal, sanitize_for_terminal};

pub(crate) use access::{
    Access, AccessAction, AccessExplain, AccessGrant, AccessLint, AccessList, AccessMigrate, AccessPlanned,
    AccessPolicies, AccessRecover, AccessRestore, AccessRevoke, Confirm, PlanFormat, Principals, Story, Via,
};
pub(crate) use add::{Add, AddArgs, AddOptions};
pub(crate) use agent::{Agent, AgentAction};
pub(crate) use audit::Audit;
pub(crate) use config::{Config, ConfigAction};
pub(crate) use credentials::Credentials;
pub(crate) use discover::{Discover, TEMPLATE_PARTS};
pub(crate) use doctor::Doctor;
pub(crate) use env::{Env, ShellSyntax};
pub(crate) use exec::Exec;
pub(crate) use import::Import;
pub(crate) use inputs::Inputs;
pub(crate) use keys::{Keys, KeysAction, KeysPut};
pub(crate) use lock::{Lock, Unlock};
pub(crate) use login::{Login, Logout};
pub(crate) use output::Output;
pub(crate) use prompt::{Prompt, PromptFormat};
pub(crate) use shell::Shell;
pub(crate) use source::{Source, SourceAction};
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

/// List the profiles
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(crate) struct List {
    /// Names alone, one a line
    #[arg(short, long, conflicts_with_all = ["output", "json", "wide"])]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Show everything about profiles
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]))]
pub(crate) struct Show {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Remove profiles and their kubeconfig contexts
///
/// A source that no profile uses any more stays: it may hold settings that were made by hand.
#[derive(Debug, Args)]
#[command(visible_alias = "rm")]
pub(crate) struct Remove {
    /// The profiles
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Leave the kubeconfig as it is
    #[arg(long)]
    pub(crate) keep_context: bool,
    /// Also remove a context that was there before rolecall import
    #[arg(long, conflicts_with = "keep_context")]
    pub(crate) delete_context: bool,
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Give a profile and its kubeconfig context another name
///
/// The settings, the session, what you added to the context, and the current context stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rolecall rename prod prod-eu")]
pub(crate) struct Rename {
    /// The profile
    #[arg(value_name = "OLD")]
    pub(crate) name: ProfileName,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub(crate) new_name: ProfileName,
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Write or refresh kubeconfig contexts
///
/// Asks AWS for each cluster's API server and certificate authority. Only Rolecall's own entries are touched; comments
/// and the order of the file stay. A server or certificate authority other than the pinned one is refused. Each entry gets
/// the profile's entry key, which shows rolecall token that the entry is yours.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // they are options, named as they are typed
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]), after_help = "\
Examples:
  Write every profile's context:
    rolecall kubeconfig --all

  A kubeconfig of its own for one cluster:
    rolecall kubeconfig prod --print > prod.yaml

  After a cluster was recreated under the same name:
    rolecall kubeconfig prod --repin")]
pub(crate) struct Kubeconfig {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a complete kubeconfig instead of changing one
    #[arg(long, conflicts_with_all = ["kubeconfig", "make_current"])]
    pub(crate) print: bool,
    /// Accept a changed server or certificate authority as the new pin
    #[arg(long)]
    pub(crate) repin: bool,
    /// Make it the current context (of several profiles, the first)
    #[arg(long = "use", conflicts_with = "all")]
    pub(crate) make_current: bool,
    /// The kubeconfig to write [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Answer kubectl with a token (kubectl runs this)
///
/// Reads KUBERNETES_EXEC_INFO and prints an ExecCredential, as an exec credential plugin of client-go does. An
/// error is one line on standard error; standard output then stays empty.
#[derive(Debug, Args)]
#[command(after_help = "In a kubeconfig, as written by rolecall kubeconfig:
  users:
  - name: rolecall-prod
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: /usr/local/bin/rolecall
        args: [token, prod]
        env:
        - name: ROLECALL_ENTRY_KEY
          value: (the profile's entry key)
        installHint: (how to get rolecall)
        interactiveMode: IfAvailable
        provideClusterInfo: true")]
pub(crate) struct Token {
    /// The profile
    pub(crate) name: ProfileName,
}

/// Show every profile's session, and what is wrong
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Watch the sessions; q ends it:
    rolecall status --watch

  A line of JSON for every change, for a program:
    rolecall status --watch -o json")]
pub(crate) struct Status {
    /// The profiles [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Keep running, and show every change as it happens
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Get a new session now; if that fails, the current one stays
///
/// Calls AWS at once, also after an outage during which the agent has stopped trying.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]), after_help = "\
Examples:
  One profile:
    rolecall refresh prod

  Every profile, after a role was changed:
    rolecall refresh --all")]
pub(crate) struct Refresh {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
}

/// Print a script that completes commands in your shell
///
/// The shell then completes commands, options, profiles, sources, contexts, AWS profiles and regions. The names come from
/// your files; the agent is not started.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bash:  rolecall completions bash > ~/.local/share/bash-completion/completions/rolecall
  zsh:   rolecall completions zsh > ~/.zfunc/_rolecall   (a folder of your fpath)
  fish:  rolecall completions fish > ~/.config/fish/completions/rolecall.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
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
