//! The option `--via`.

use clap::ValueEnum;
use rolecall_protocol::AccessVia;

/// Where a grant is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    AccessEntries,
    AwsAuth,
}

impl From<Via> for AccessVia {
    fn from(via: Via) -> Self {
        match via {
            Via::AccessEntries => Self::AccessEntries,
            Via::AwsAuth => Self::AwsAuth,
        }
    }
}
