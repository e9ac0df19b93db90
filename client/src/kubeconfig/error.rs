//! What can go wrong with someone's kubeconfig. Each message says what happened to which file, and
//! [`KubeconfigError::hint`] what to do next; neither ever quotes the file beyond names.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_protocol::sanitize_for_terminal as safe;

use crate::atomic::{FileError, Untouched, with_untouched};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeconfigError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("KUBECONFIG is set but names no file")]
    EmptyList,
    #[error("there is no home folder to find .kube/config in")]
    NoHome,
    #[error("{}{}: {what}", path.display(), place_suffix(*place))]
    Malformed { path: PathBuf, place: Option<(u64, u64)>, what: Malformed },
    #[error("{} holds more than one YAML document; kubectl reads only the first", path.display())]
    MultipleDocuments { path: PathBuf },
    #[error("{} is not a kubeconfig: its top level is not a mapping", path.display())]
    NotAMapping { path: PathBuf },
    #[error("{} is not a kubeconfig: its `{key}` is not a list", path.display())]
    NotAList { path: PathBuf, key: &'static str },
    #[error("the {kind} \"{}\" is there twice in {}", safe(name), path.display())]
    Duplicate { path: PathBuf, kind: &'static str, name: String },
    #[error("the context \"{}\" in {} is not Rolecall's: it uses {}", safe(name), path.display(), safe(uses))]
    ContextTaken { path: PathBuf, name: String, uses: String },
    #[error("the {kind} \"{}\" in {} was not made by Rolecall", safe(name), path.display())]
    EntryTaken { path: PathBuf, kind: &'static str, name: String },
    #[error("there is no context \"{}\" in {}", safe(name), paths(files))]
    UnknownContext { name: String, files: Vec<PathBuf>, alike: Vec<String> },
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

/// What is wrong with a file that is not YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    Syntax,
    DuplicateKey,
    UnknownAnchor,
    TooComplex,
}

impl KubeconfigError {
    /// How the error says that the file is as it was.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        use KubeconfigError as E;
        match self {
            E::File(error) => error.untouched(),
            E::Malformed { .. }
            | E::MultipleDocuments { .. }
            | E::NotAMapping { .. }
            | E::NotAList { .. }
            | E::Duplicate { .. }
            | E::ContextTaken { .. }
            | E::EntryTaken { .. }
            | E::CannotEdit { .. } => Some(Untouched::LeftAsItWas),
            E::CertificateAuthority { .. } | E::Locked { .. } | E::CannotLock { .. } => Some(Untouched::NothingChanged),
            E::EmptyList | E::NoHome | E::UnknownContext { .. } | E::Command { .. } => None,
        }
    }

    /// [`Self::untouched`] and [`Self::advice`] as one line.
    pub(crate) fn hint(&self) -> String {
        with_untouched(self.untouched(), &self.advice())
    }

    /// What the person who reads the error can do next.
    pub(crate) fn advice(&self) -> String {
        use KubeconfigError as E;
        match self {
            E::File(error) => error.advice(),
            E::EmptyList => "Unset KUBECONFIG, or set it to the file you use.".to_owned(),
            E::NoHome => "Set KUBECONFIG to the file you use.".to_owned(),
            E::Malformed { .. } => "Mend that line; kubectl cannot read it either.".to_owned(),
            E::MultipleDocuments { path } => {
                format!("Split {} at the `---`, or name another file.", path.display())
            }
            E::NotAMapping { .. } | E::NotAList { .. } => {
                "Check that this is the file you mean: kubectl config view".to_owned()
            }
            E::Duplicate { .. } => "kubectl refuses such a file too: remove one of them.".to_owned(),
            E::ContextTaken { name, .. } => format!(
                "Rename it with: kubectl config rename-context {0} {0}-old  or choose another \
                 profile name.",
                safe(name)
            ),
            E::EntryTaken { kind, name, .. } => {
                format!("Remove it with: kubectl config delete-{kind} {}  or choose another profile name.", safe(name))
            }
            E::UnknownContext { alike, .. } if alike.is_empty() => {
                "See them all with: kubectl config get-contexts".to_owned()
            }
            E::UnknownContext { alike, .. } => format!("Did you mean {}?", safe(&alike.join(" or "))),
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
                format!("Check that you may write there: ls -ld {}", crate::atomic::folder_of(lock).display())
            }
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Syntax => "this is not valid YAML",
            Malformed::DuplicateKey => "a key is there twice in one mapping",
            Malformed::UnknownAnchor => "an alias names an anchor that is not there",
            Malformed::TooComplex => "nested too deeply, or with too many aliases",
        })
    }
}

fn place_suffix(place: Option<(u64, u64)>) -> String {
    place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default()
}

fn paths(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
