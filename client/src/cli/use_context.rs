//! What `use` takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueHint};
use rolecall_protocol::Namespace;

/// The longest name of a context, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// The name of a context of any tool, or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContextName(String);

impl ContextName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContextName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("must not be empty"),
            long if long.len() > MAX_NAME_BYTES => Err("is longer than 1,024 bytes"),
            odd if odd.contains(char::is_control) => Err("may not hold control characters"),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// Make a context the current one, or choose one from a list
///
/// Without a name, a list of the contexts appears, Rolecall's first; type to filter it. A dash is the context before the
/// present one. In a rolecall shell, which has one context, the command only sets its namespace.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Choose from a list:
    rolecall use

  Back to the context before:
    rolecall use -

  A context and its namespace; without NAME, the namespace of the current context:
    rolecall use prod --namespace web")]
pub(crate) struct Use {
    /// The context, or - for the one before [default: choose from a list]
    pub(crate) name: Option<ContextName>,
    /// Set the namespace of the context
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}
