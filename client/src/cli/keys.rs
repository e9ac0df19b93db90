//! `rolecall keys …`.

use clap::{Args, Subcommand};
use rolecall_protocol::{KeyName, Region};

use super::Output;

/// Keep long-lived access keys in the OS keyring
///
/// For access keys of an IAM user, if there is no better login. They are stored in the keyring of the desktop (Secret Service,
/// or the Keychain of macOS) and in no file. A source uses them with: keyring = "NAME".
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Ask for an access key, check it with AWS, and put it into the keyring
    #[command(after_help = "\
Examples:
  Put an access key there, and add the source break-glass that signs with it:
    rolecall keys put break-glass --source

  From a password manager (two lines: the access key id, the secret access key):
    op read op://work/aws/keys | rolecall keys put break-glass --stdin")]
    Put(KeysPut),
    /// List the access keys in the keyring
    #[command(visible_alias = "ls")]
    List(Output),
    /// Create a new access key at AWS, store it, and delete the old one
    Rotate {
        /// Its name
        name: KeyName,
    },
    /// Remove an access key from the keyring; AWS still accepts it
    Forget {
        /// Its name
        name: KeyName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// An access key to put into the keyring. It is asked for, because other users can see a command line.
#[derive(Debug, Args)]
pub(crate) struct KeysPut {
    /// Its name
    pub(crate) name: KeyName,
    /// A region of the partition that it is from
    #[arg(long, default_value = "us-east-1")]
    pub(crate) region: Region,
    /// Replace an access key of that name
    #[arg(long)]
    pub(crate) replace: bool,
    /// Add a source of that name, which signs with it, to the configuration
    #[arg(long)]
    pub(crate) source: bool,
    /// Read two lines from standard input: the access key id, the secret access key
    #[arg(long)]
    pub(crate) stdin: bool,
}
