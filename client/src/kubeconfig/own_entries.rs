//! Finds the entries of a profile, which may have any names: by the program that their user runs.

use super::draft::{Draft, uses_user};
use super::entry;
use super::entry_names::EntryNames;
use super::model::{EntryKind, Value};

impl Draft<'_> {
    /// Returns the names of a profile's entries: those that `rolecall add` gives, unless only a user with another name runs
    /// `rolecall token <profile>` and has a context.
    pub(super) fn entry_names(&self, profile: &str) -> EntryNames {
        let default = EntryNames::new(profile);
        let default_user = self.find(EntryKind::User, &default.user).and_then(|user| self.item(EntryKind::User, user));
        if default_user.is_some_and(|user| entry::is_ours(user, profile)) {
            return default;
        }
        self.users_of(profile).into_iter().find_map(|user| self.names_with_user(profile, &user)).unwrap_or(default)
    }

    /// Returns the names of the visible users that run `rolecall token <profile>`, in the order of the files.
    pub(super) fn users_of(&self, profile: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (file, items) in self.lists(EntryKind::User).enumerate() {
            for item in items.iter().filter(|item| entry::is_ours(item, profile)) {
                let name = item.get("name").and_then(Value::as_str);
                let is_visible = |name: &&str| self.find(EntryKind::User, name).is_some_and(|found| found.file == file);
                names.extend(name.filter(is_visible).map(str::to_owned));
            }
        }
        names
    }

    /// Returns the names of the entries with this user: of its contexts, the one with the name of the profile, or else the
    /// first. `None` without a context.
    fn names_with_user(&self, profile: &str, user: &str) -> Option<EntryNames> {
        let contexts = self.visible(EntryKind::Context);
        let mut contexts = contexts.iter().filter(|(_, _, item)| uses_user(item, user)).peekable();
        let first = *contexts.peek()?;
        let (name, _, item) = contexts.find(|(name, ..)| *name == profile).unwrap_or(first);
        let cluster = item.at_path(&["context", "cluster"]).and_then(Value::as_str)?;
        Some(EntryNames { context: (*name).to_owned(), cluster: cluster.to_owned(), user: user.to_owned() })
    }
}
