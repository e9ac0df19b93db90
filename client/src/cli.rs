//! The command line: what can be asked for. Parsing alone, no I/O; [`crate::run`] does what was asked.

mod inputs;
mod keys;
mod login;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use rolecall_protocol::{ClusterName, ExternalId, ProfileName, Region, RoleArn, SessionName, SourceName};

pub(crate) use inputs::Inputs;
pub(crate) use keys::{Keys, KeysAction, KeysPut};
pub(crate) use login::{Login, Logout};

/// The help of the bare command. By hand, since clap has no groups of commands; a test holds it to the commands.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

\u{1b}[1;4mProfiles:\u{1b}[0m
  \u{1b}[1madd\u{1b}[0m          Add a cluster: check it with AWS, write the configuration and the kubeconfig
  \u{1b}[1mlist\u{1b}[0m         List the profiles
  \u{1b}[1mshow\u{1b}[0m         Show everything about one profile
  \u{1b}[1mremove\u{1b}[0m       Remove profiles and their kubeconfig contexts

\u{1b}[1;4mKubernetes:\u{1b}[0m
  \u{1b}[1muse\u{1b}[0m          Make a profile's context the current one
  \u{1b}[1mkubeconfig\u{1b}[0m   Write or refresh kubeconfig contexts
  \u{1b}[1mtoken\u{1b}[0m        Answer kubectl with a token (kubectl runs this)

\u{1b}[1;4mSessions:\u{1b}[0m
  \u{1b}[1mstatus\u{1b}[0m       Show every profile's session, and what is wrong
  \u{1b}[1mrefresh\u{1b}[0m      Get a new session now; if that fails, the present one stays
  \u{1b}[1mlock\u{1b}[0m         Forget every session, and serve none until it is unlocked
  \u{1b}[1munlock\u{1b}[0m       Serve again

\u{1b}[1;4mSigning in:\u{1b}[0m
  \u{1b}[1mlogin\u{1b}[0m        Log in to a source: a browser, a code, whatever it takes
  \u{1b}[1mlogout\u{1b}[0m       Give a login back, and forget what was got with it
  \u{1b}[1mkeys\u{1b}[0m         Keep long-lived access keys in the OS keyring

\u{1b}[1;4mThe agent:\u{1b}[0m
  \u{1b}[1magent\u{1b}[0m        Start, stop, restart or look at the daemon

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
Start with your first cluster:
  rolecall add prod --region eu-west-1 --aws-profile work \\
      --role-arn arn:aws:iam::111122223333:role/developers
  kubectl --context prod get pods

More about one command:  rolecall add --help"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One variant, one file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Box<Add>),
    List(List),
    Show(Show),
    Remove(Remove),
    Use(Use),
    Kubeconfig(Kubeconfig),
    Token(Token),
    Status(Status),
    Refresh(Refresh),
    Keys(Keys),
    Login(Login),
    Logout(Logout),
    Lock(Lock),
    Unlock(Unlock),
    Agent(Agent),
    Completions(Completions),
}

/// Print a script that completes commands in your shell
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

/// Add a cluster: check it with AWS, write the configuration and the kubeconfig
///
/// The role is assumed and the cluster described before anything is written. What is learned (the API server and its
/// certificate authority) becomes the profile's pin: a kubeconfig that names another server gets no token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  A cluster called prod, by a role that the AWS profile \"work\" may assume:
    rolecall add prod --region eu-west-1 --aws-profile work \\
        --role-arn arn:aws:iam::111122223333:role/developers

  The same cluster as an auditor, under another name, and make it the current context:
    rolecall add audit --cluster prod --region eu-west-1 --source work --use \\
        --role-arn arn:aws:iam::111122223333:role/auditor

  Through a hub account, with an external id:
    rolecall add edge --region us-east-2 --via arn:aws:iam::999988887777:role/hub \\
        --role-arn arn:aws:iam::444455556666:role/partner \\
        --external-id s3cret-handshake

  With a tag that the role's policy goes by, and no more rights than a managed policy has:
    rolecall add shop --region eu-west-1 --tag team=shop \\
        --role-arn arn:aws:iam::111122223333:role/developers \\
        --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess

  Without asking AWS, for a role that may not describe its cluster:
    rolecall add lab --region eu-west-1 --no-verify \\
        --server https://ABCDEF.gr7.eu-west-1.eks.amazonaws.com \\
        --certificate-authority lab-ca.pem")]
pub(crate) struct Add {
    /// The profile's name, which is also the name of its kubeconfig context
    pub(crate) name: ProfileName,

    /// The EKS cluster's name [default: NAME]
    #[arg(long, value_name = "CLUSTER", help_heading = "The cluster")]
    pub(crate) cluster: Option<ClusterName>,
    /// The cluster's region, such as eu-west-1
    #[arg(long, help_heading = "The cluster")]
    pub(crate) region: Region,

    /// The role to assume; without it the source itself signs
    #[arg(long, value_name = "ARN", help_heading = "Who you are")]
    pub(crate) role_arn: Option<RoleArn>,
    /// The AWS profile (of ~/.aws/config) to assume it from [default: default]
    #[arg(long, value_name = "PROFILE", value_parser = aws_profile, conflicts_with = "source", help_heading = "Who you are")]
    pub(crate) aws_profile: Option<String>,
    /// A source that is configured already, instead of --aws-profile
    #[arg(long, help_heading = "Who you are")]
    pub(crate) source: Option<SourceName>,
    /// A role to assume on the way; repeat it for several, in order
    #[arg(long, value_name = "ARN", requires = "role_arn", help_heading = "Who you are")]
    pub(crate) via: Vec<RoleArn>,
    /// The external id that the role asks for
    #[arg(long, value_name = "ID", requires = "role_arn", help_heading = "Who you are")]
    pub(crate) external_id: Option<ExternalId>,
    /// The session's name in CloudTrail; {user}, {host}, {profile} and {source_session} are filled in (default: {user}@{host})
    #[arg(long, value_name = "NAME", value_parser = session_name, requires = "role_arn", help_heading = "Who you are")]
    pub(crate) session_name: Option<String>,
    /// How long a session lasts, from 15m to 12h [default: 1h]
    #[arg(long, value_parser = duration, requires = "role_arn", help_heading = "Who you are")]
    pub(crate) duration: Option<String>,

    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Do not ask AWS; write what is given
    #[arg(long, help_heading = "Checking")]
    pub(crate) no_verify: bool,
    /// The API server's URL, where AWS cannot or shall not be asked for it
    #[arg(long, value_name = "URL", value_parser = server, requires = "certificate_authority", help_heading = "Checking")]
    pub(crate) server: Option<String>,
    /// The API server's certificate authority: a file in PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "server", help_heading = "Checking")]
    pub(crate) certificate_authority: Option<PathBuf>,
    /// Change the profile if there is one of that name
    #[arg(long, help_heading = "Checking")]
    pub(crate) replace: bool,

    /// Make it the current context
    #[arg(long = "use", help_heading = "Kubeconfig")]
    pub(crate) make_current: bool,
    /// The kubeconfig to write [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Kubeconfig")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// List the profiles
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(crate) struct List {
    /// Names alone, one a line
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show everything about one profile
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The profile
    pub(crate) name: ProfileName,
    /// JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
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
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Make a profile's context the current one
#[derive(Debug, Args)]
#[command(after_help = "Back again:\n  kubectl config use-context NAME")]
pub(crate) struct Use {
    /// The profile
    pub(crate) name: ProfileName,
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Write or refresh kubeconfig contexts
///
/// Asks AWS for each cluster's API server and certificate authority. Only Rolecall's own entries are touched; comments
/// and the order of the file stay. A server or certificate authority other than the pinned one is refused.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // they are options, named as they are typed
#[command(after_help = "\
Examples:
  Write every profile's context:
    rolecall kubeconfig --all

  A kubeconfig of its own for one cluster:
    rolecall kubeconfig prod --print > prod.yaml

  After a cluster was made anew under the same name:
    rolecall kubeconfig prod --repin")]
pub(crate) struct Kubeconfig {
    /// The profiles
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a complete kubeconfig instead of changing one
    #[arg(long, conflicts_with_all = ["kubeconfig", "make_current"])]
    pub(crate) print: bool,
    /// Take over a changed server or certificate authority as the new pin
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
/// Reads KUBERNETES_EXEC_INFO and prints an ExecCredential, as an exec credential plugin of client-go does. Whatever
/// goes wrong is one line on standard error; standard output stays empty then.
#[derive(Debug, Args)]
#[command(after_help = "In a kubeconfig, as written by rolecall kubeconfig:
  users:
  - name: prod
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: /usr/local/bin/rolecall
        args: [token, prod]
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
  Keep an eye on the sessions; Ctrl-C ends it:
    rolecall status --watch

  A line of JSON for every change, for a program:
    rolecall status --watch --json")]
pub(crate) struct Status {
    /// Go on, and show every change as it happens
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Get a new session now; if that fails, the present one stays
#[derive(Debug, Args)]
pub(crate) struct Refresh {
    /// The profile
    pub(crate) name: ProfileName,
}

/// Forget every session, and serve none until it is unlocked
///
/// The first time it asks for a passphrase, twice; from then on it locks at once and asks nothing. The passphrase itself is
/// kept nowhere. A daemon that is killed or restarted comes back locked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Set a passphrase, or change it, without locking:
    rolecall lock --passphrase

  Lock whenever the screen is:
    swayidle -w lock 'rolecall lock'

  Lock by itself, in config.toml:
    [lock]
    idle = \"30min\"
    max  = \"12h\"")]
pub(crate) struct Lock {
    /// Set or change the passphrase, and lock nothing
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Read passphrases from standard input, a line each: the present one if there is one, then the new one
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// Serve again
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// Read the passphrase from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// Start, stop, restart or look at the daemon
///
/// It is rarely needed: every command starts the daemon where it is not running.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Agent {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: AgentAction,
}

/// What can be done with the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentAction {
    /// Start it, unless it runs
    Start,
    /// Let it finish what is under way, and stop it
    Stop,
    /// Have it run its program anew, after an upgrade say; its sessions are kept
    Restart,
    /// Say whether it runs, and where things are (exit code 3 if it does not)
    Status {
        /// JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Print the end of its log
    Logs {
        /// Go on as the log grows
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
        lines: usize,
    },
}

/// As the daemon's configuration has it: a template that becomes a valid session name whoever the user and the host are.
fn session_name(text: &str) -> Result<String, String> {
    let parts = ["{user}", "{host}", "{profile}", "{source_session}"];
    let filled = parts.iter().fold(text.to_owned(), |text, part| text.replace(part, "xx"));
    filled.parse::<SessionName>().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<String, String> {
    match text.parse::<jiff::SignedDuration>() {
        Ok(length) if (15 * 60..=12 * 60 * 60).contains(&length.as_secs()) => Ok(text.to_owned()),
        Ok(_) => Err("a session lasts from 15m to 12h".to_owned()),
        Err(_) => Err("must be a duration such as 1h or 45m".to_owned()),
    }
}

fn server(text: &str) -> Result<String, String> {
    match text.strip_prefix("https://") {
        Some(host) if !host.is_empty() && text.len() <= 2048 && text.chars().all(|c| c.is_ascii_graphic()) => {
            Ok(text.to_owned())
        }
        _ => Err("must be an https URL".to_owned()),
    }
}

fn aws_profile(text: &str) -> Result<String, String> {
    match text {
        "" => Err("must not be empty".to_owned()),
        long if long.len() > 256 => Err("must have at most 256 characters".to_owned()),
        odd if odd.contains(|c: char| c.is_control() || "[]".contains(c)) => {
            Err("may not hold brackets or control characters".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
impl Add {
    /// What `rolecall add …` asks for; the whole line, for tests.
    pub(crate) fn of(line: &str) -> Self {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Add(add) => *add,
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
