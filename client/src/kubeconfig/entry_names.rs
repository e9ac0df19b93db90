//! The names of a profile's context, cluster and user.
//!
//! `rolecall add` names them after the profile. Entries that `rolecall import` converted keep the names that they had: the
//! user is recognized by the program that it runs.

use super::model::EntryKind;

/// The names of the three entries of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryNames {
    pub(super) context: String,
    pub(super) cluster: String,
    pub(super) user: String,
}

impl EntryNames {
    /// Returns the names that `rolecall add` gives: the context has the name of the profile, the others
    /// `rolecall-<profile>`.
    pub(super) fn new(profile: &str) -> Self {
        let inner = format!("rolecall-{profile}");
        Self { context: profile.to_owned(), cluster: inner.clone(), user: inner }
    }

    pub(super) fn get(&self, kind: EntryKind) -> &str {
        match kind {
            EntryKind::Cluster => &self.cluster,
            EntryKind::Context => &self.context,
            EntryKind::User => &self.user,
        }
    }

    /// Returns the same names, where those that [`EntryNames::new`] gives for `old` become those for `new`.
    pub(super) fn renamed(&self, old: &str, new: &str) -> Self {
        let (old, new) = (Self::new(old), Self::new(new));
        let renamed = |name: &String, old: &String, new: &String| if name == old { new.clone() } else { name.clone() };
        Self {
            context: renamed(&self.context, &old.context, &new.context),
            cluster: renamed(&self.cluster, &old.cluster, &new.cluster),
            user: renamed(&self.user, &old.user, &new.user),
        }
    }
}
