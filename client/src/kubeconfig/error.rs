//! Errors of editing a kubeconfig. The message has what failed and the file, [`KubeconfigError::hint`] what to do next.
//! Both quote only names from the file, since it may have secrets.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_protocol::sanitize_for_terminal as safe;
use rolecall_trusted_file::shell_quoted;

use crate::files::error::{FileError, Untouched, with_untouched};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeconfigError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("KUBECONFIG is set but names no file")]
    EmptyList,
    #[error("there is no home folder to find .kube/config in")]
    NoHome,
    #[error("{}{}: {problem}", path.display(), position_suffix(*position))]
    Malformed { path: PathBuf, position: Option<(u64, u64)>, problem: YamlProblem },
    #[error("{} is not a kubeconfig that kubectl reads: {problem}", path.display())]
    NotAKubeconfig { path: PathBuf, problem: String },
    #[error("the context \"{}\" in {} is not Rolecall's: it uses {}", safe(name), path.display(), safe(uses))]
    ContextTaken { path: PathBuf, name: String, uses: String },
    #[error("the {kind} \"{}\" in {} was not made by Rolecall", safe(name), path.display())]
    EntryTaken { path: PathBuf, kind: &'static str, name: String },
    #[error("the cluster \"{}\" in {} is also that of the context \"{}\", which would then use another server", safe(name), path.display(), safe(context))]
    ClusterShared { path: PathBuf, name: String, context: String },
    #[error("there is no context \"{}\" in {}", safe(name), join_paths(files))]
    UnknownContext { name: String, files: Vec<PathBuf>, similar: Vec<String> },
    #[error("{} cannot stand in a kubeconfig as the command to run: it is not an absolute path in UTF-8", command.display())]
    Command { command: PathBuf },
    #[error("the certificate authority of \"{}\" is not base64", safe(profile))]
    CertificateAuthority { profile: String },
    #[error("{} is written in a way that cannot be edited safely ({why})", path.display())]
    CannotEdit { path: PathBuf, why: &'static str },
    #[error("{} is locked: {} has been there for {} s", path.display(), lock.display(), age.as_secs())]
    Locked { path: PathBuf, lock: PathBuf, age: Duration },
    #[error("cannot make kubectl's lock {}: {source}", lock.display())]
    CannotLock { lock: PathBuf, source: std::io::Error },
}

/// Why a file is not valid YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum YamlProblem {
    Syntax,
    UnknownAnchor,
    TooComplex,
}

impl KubeconfigError {
    /// Returns how the error says that the file is unchanged.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        use KubeconfigError as E;
        match self {
            E::File(error) => error.untouched(),
            E::Malformed { .. }
            | E::NotAKubeconfig { .. }
            | E::ContextTaken { .. }
            | E::EntryTaken { .. }
            | E::ClusterShared { .. }
            | E::CannotEdit { .. } => Some(Untouched::LeftAsItWas),
            E::CertificateAuthority { .. } | E::Locked { .. } | E::CannotLock { .. } => Some(Untouched::NothingChanged),
            E::EmptyList | E::NoHome | E::UnknownContext { .. } | E::Command { .. } => None,
        }
    }

    /// Returns [`Self::untouched`] and [`Self::advice`] as one line.
    pub(crate) fn hint(&self) -> String {
        with_untouched(self.untouched(), &self.advice())
    }

    /// Returns what the user can do next.
    pub(crate) fn advice(&self) -> String {
        use KubeconfigError as E;
        match self {
            E::File(error) => error.advice(),
            E::EmptyList => "Unset KUBECONFIG, or set it to the file you use.".to_owned(),
            E::NoHome => "Set KUBECONFIG to the file you use.".to_owned(),
            E::Malformed { .. } => "Fix that line; kubectl cannot read it either.".to_owned(),
            E::NotAKubeconfig { path, .. } => {
                format!("Fix that, and check it with: kubectl config view --kubeconfig {}", shell_quoted(path))
            }
            E::ContextTaken { name, .. } => format!(
                "If it is of an EKS cluster, convert it with: rolecall import --only {0}. Otherwise rename it with: kubectl config \
                 rename-context {0} {0}-old, or choose another profile name.",
                safe(name)
            ),
            E::EntryTaken { kind, name, .. } => {
                format!("Remove it with: kubectl config delete-{kind} {}  or choose another profile name.", safe(name))
            }
            E::ClusterShared { context, .. } => {
                format!("Give the context {} a cluster entry of its own.", safe(context))
            }
            E::UnknownContext { similar, .. } if similar.is_empty() => {
                "See them all with: kubectl config get-contexts".to_owned()
            }
            E::UnknownContext { similar, .. } => format!("Did you mean {}?", safe(&similar.join(" or "))),
            E::Command { .. } => "Install rolecall under a plain path, such as /usr/local/bin/rolecall.".to_owned(),
            E::CertificateAuthority { profile } => {
                format!("Ask AWS for it again with: rolecall add {}", safe(profile))
            }
            E::CannotEdit { .. } => {
                "Run the same command with --print and put the result where you want it.".to_owned()
            }
            E::Locked { lock, .. } => format!(
                "Another program may be editing it (pgrep -a kubectl); if none is, remove the lock \
                 with: rm -f {}",
                lock.display()
            ),
            E::CannotLock { lock, .. } => {
                format!("Check that you may write there: ls -ld {}", crate::files::names::folder_of(lock).display())
            }
        }
    }
}

impl fmt::Display for YamlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            YamlProblem::Syntax => "this is not valid YAML",
            YamlProblem::UnknownAnchor => "an alias names an anchor that is not there",
            YamlProblem::TooComplex => "nested too deeply, or with too many aliases",
        })
    }
}

fn position_suffix(position: Option<(u64, u64)>) -> String {
    position.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default()
}

fn join_paths(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
