//! What an edit of a kubeconfig did, and what was found in one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_protocol::EntryKey;
use rolecall_trusted_file::shell_quoted;

/// The files that an edit wrote, for the report to the user.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The changed files, with symbolic links resolved.
    pub(crate) files: Vec<PathBuf>,
    /// The backups of their old texts.
    pub(crate) backups: Vec<PathBuf>,
    pub(crate) notes: Vec<Note>,
    /// Whether another program than Rolecall was writing the files at the same time.
    pub(super) met_other_program: bool,
}

/// Something the user should know after a successful edit. Its `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// A lock file of kubectl was so old that its owner must have crashed; it was removed.
    StaleLockRemoved { lock: PathBuf, age: Duration },
    /// The file had a hard link, which still has the old text.
    OtherNameKeepsOldText { file: PathBuf },
    /// Other users can write the file, and so choose which programs kubectl runs.
    WritableByOthers { file: PathBuf },
    /// Another program still writes the file after several seconds, and may remove the entries.
    StillWritten { file: PathBuf },
}

/// The result of [`super::upsert`].
#[derive(Debug)]
pub(crate) struct UpsertOutcome {
    /// One per entry, in the given order.
    pub(crate) entries: Vec<EntryOutcome>,
    /// The current context after the edit.
    pub(crate) current_context: Option<String>,
    pub(crate) written: Written,
}

/// What [`super::upsert`] did with one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryOutcome {
    pub(crate) profile: String,
    /// The name of its context.
    pub(crate) context: String,
    pub(crate) change: Change,
    /// The file of its context, as listed in `KUBECONFIG` (symbolic links not resolved).
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Updated,
    Unchanged,
}

/// The result of [`super::remove`].
#[derive(Debug)]
pub(crate) struct RemoveOutcome {
    /// One per profile, in the given order.
    pub(crate) profiles: Vec<(String, Removal)>,
    /// The removed context, if it was the current one. kubectl needs `--context` from now on.
    pub(crate) unset_current: Option<String>,
    /// The current context after the edit.
    pub(crate) current_context: Option<String>,
    /// Contexts of the user that refer to a removed cluster or user. They stay and no longer work.
    pub(crate) left_dangling: Vec<String>,
    pub(crate) written: Written,
}

/// What [`super::remove`] did with a profile's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The context, the cluster and the user were removed.
    Removed,
    /// There was no context of this name any longer; the cluster and the user were removed.
    OnlyClusterAndUser,
    /// The cluster and the user were removed. The context of this name belongs to another tool and stays.
    ContextStays,
    /// No entry has this name.
    NotFound,
    /// The context or user of this name was made by another tool. All entries stay.
    NotOurs,
}

/// The result of [`super::rename()`].
#[derive(Debug)]
pub(crate) struct RenameOutcome {
    pub(crate) renaming: Renaming,
    pub(crate) written: Written,
}

/// What [`super::rename()`] did with a profile's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renaming {
    /// They have the new name.
    Renamed {
        /// The file of the context, as listed in `KUBECONFIG`.
        file: PathBuf,
        /// Whether it is the current context.
        is_current: bool,
    },
    /// No context has the old name.
    NotFound,
    /// The context of the old name was made by another tool. It stays.
    NotOurs,
}

/// The result of [`super::use_context`].
#[derive(Debug)]
pub(crate) struct UseOutcome {
    /// The current context now.
    pub(crate) context: String,
    /// The current context before the edit.
    pub(crate) previous: Option<String>,
    /// The file that sets the current context, as listed in `KUBECONFIG` (symbolic links not resolved).
    pub(crate) file: PathBuf,
    pub(crate) written: Written,
}

/// A context as kubectl sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) user: Option<String>,
    /// The file that has it, as listed in `KUBECONFIG`.
    pub(crate) file: PathBuf,
    /// The profile whose token it uses, if its user entry runs `rolecall token`.
    pub(crate) profile: Option<String>,
    pub(crate) is_current: bool,
}

/// The entries of a profile in the kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstalledEntry {
    /// The name of the context.
    pub(crate) context: String,
    /// The file of the context, as listed in `KUBECONFIG`.
    pub(crate) file: PathBuf,
    pub(crate) server: Option<String>,
    pub(crate) certificate_authority_data: Option<String>,
    /// `tls-server-name` of its cluster.
    pub(crate) tls_server_name: Option<String>,
    /// `proxy-url` of its cluster.
    pub(crate) proxy_url: Option<String>,
    /// Whether its cluster accepts any certificate.
    pub(crate) is_insecure: bool,
    /// The program that kubectl runs.
    pub(crate) command: PathBuf,
    /// Whether kubectl gives the program the server and its certificate authority.
    pub(crate) provides_cluster_info: bool,
    /// The entry key in its environment, if it is well-formed.
    pub(crate) entry_key: Option<EntryKey>,
    pub(crate) is_current: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::StaleLockRemoved { lock, age } => write!(
                f,
                "removed {}, a lock that a crashed kubectl left there {} s ago",
                lock.display(),
                age.as_secs()
            ),
            Note::WritableByOthers { file } => {
                let path = shell_quoted(file);
                write!(
                    f,
                    "other users can write {}, and so run programs as you; fix it with: chmod go-w {path}",
                    file.display()
                )
            }
            Note::StillWritten { file } => {
                write!(
                    f,
                    "other programs keep writing {} and may overwrite this change; check it later with: kubectl config get-contexts",
                    file.display()
                )
            }
            Note::OtherNameKeepsOldText { file } => {
                write!(f, "{} was a hard link: its other name still has the old text", file.display())
            }
        }
    }
}
