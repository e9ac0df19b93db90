//! What `lock` and `unlock` take.

use clap::Args;

/// Drop every session, and serve none until it is unlocked
///
/// The first lock asks for a new passphrase; later locks ask nothing. The passphrase is not stored. A daemon that is killed or restarted comes back locked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Set a passphrase, or change it, without locking:
    rolecall lock --passphrase

  Lock with a screen locker that does not tell systemd-logind, such as swaylock:
    swayidle -w timeout 300 'rolecall lock; swaylock -f'

  Lock by itself, in config.toml:
    [lock]
    idle           = \"30min\"
    max            = \"12h\"
    on_screen_lock = true
    on_sleep       = true")]
pub(crate) struct Lock {
    /// Set or change the passphrase, and lock nothing
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Read passphrases from standard input, a line each: the present one if there is one, then the new one
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// Unlock the agent with the passphrase
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// Read the passphrase from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
}
