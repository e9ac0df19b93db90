//! `rolecall doctor`.

use clap::Args;

use super::Output;

/// Check how this computer protects Rolecall, and say what to do about each finding
///
/// The checks are about security: the socket, the agent's memory, the files that Rolecall obeys, the pin and the entry key of each
/// profile, the keyring and the lock. Exit code 1 if a check finds a problem (✗); warnings (!) do not change it.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Only the checks of security, which are all checks of this version
    #[arg(long)]
    pub(crate) security: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
