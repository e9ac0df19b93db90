//! What `login` and `logout` take.

use clap::{ArgGroup, Args};
use rolecall_protocol::SourceName;

/// Log in to a source with a browser or an MFA code
///
/// The login is kept by the agent (and, where AWS's own tools have a place for it, there), and renewed automatically for as
/// long as AWS lets it. A code is asked for on the terminal, and never taken from the command line, which everybody can
/// read.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // they are options, named as they are typed
#[command(after_help = "\
Examples:
  The source that needs it:
    rolecall login

  Over SSH, with the browser of another machine:
    rolecall login work --device

  From a script, with a code that another program gives:
    ykman oath accounts code -s work | rolecall login work --code-stdin")]
pub(crate) struct Login {
    /// The source, or a profile that uses it [default: the one that needs a login]
    #[arg(value_name = "SOURCE")]
    pub(crate) name: Option<SourceName>,
    /// Replace a login that is still valid
    #[arg(long)]
    pub(crate) renew: bool,
    /// Confirm a code, on any device, rather than in a browser that comes back to this machine
    #[arg(long)]
    pub(crate) device: bool,
    /// Open no browser; print the address alone
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Read the MFA code from standard input
    #[arg(long, requires = "name")]
    pub(crate) code_stdin: bool,
    /// JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Log out of a source, and drop its sessions
///
/// Revokes the login at AWS where AWS supports it, and drops every session that was made with it. Tokens that kubectl
/// already has stay valid until they expire.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]))]
pub(crate) struct Logout {
    /// The sources, or profiles that use them
    #[arg(value_name = "SOURCE")]
    pub(crate) names: Vec<SourceName>,
    /// Every source
    #[arg(long)]
    pub(crate) all: bool,
}
