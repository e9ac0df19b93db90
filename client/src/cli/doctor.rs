//! `rolecall doctor`.

use clap::Args;

use super::Output;

/// Check how this computer protects Rolecall, and what the agent reports
///
/// Each finding has its cause, its consequence and what to do about it. The agent reports its version, the configuration, and the
/// problems of sources and profiles that it knows; AWS and the clusters are not called. The checks of security are about the socket,
/// the agent's memory, the files that Rolecall obeys, the pin and the entry key of each profile, the keyring, the lock and the audit
/// log. Exit code 1 if a check finds a problem (✗); warnings (!) do not change it.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Check only how this computer protects Rolecall
    #[arg(long)]
    pub(crate) security: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
