//! Edits the models of the files. Nothing here reads or writes a file.

use std::collections::HashSet;
use std::path::PathBuf;

use super::entry::{self, Entry};
use super::entry_names::EntryNames;
use super::error::KubeconfigError;
use super::files::{LoadedFile, default_index};
use super::model::{EntryKind, Value};
use super::outcome::{Change, Removal};

/// The files of `KUBECONFIG`, in order, with edited copies of their models.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    files: &'a [LoadedFile],
    models: Vec<Value>,
    /// The index of the file that gets new entries and the current context.
    default_file: usize,
}

/// The position of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryPosition {
    /// The index of its file.
    pub(super) file: usize,
    /// Its index in the file's list of its kind.
    index: usize,
}

/// The tool that made a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContextOwner {
    /// There is no such context.
    Missing,
    OtherTool,
    Rolecall {
        /// The file of the context, as `KUBECONFIG` lists it.
        file: PathBuf,
    },
}

impl<'a> Draft<'a> {
    pub(super) fn new(files: &'a [LoadedFile]) -> Draft<'a> {
        let models = files.iter().map(|file| file.model.clone()).collect();
        Draft { files, models, default_file: default_index(files) }
    }

    /// Returns the index and the new model of each file that changes.
    pub(super) fn changes(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.models.iter().enumerate().filter(|(index, model)| self.files[*index].model != **model)
    }

    /// Whether the current context is all that changes in a file.
    pub(super) fn changes_only_current_context(&self, file: usize) -> bool {
        let without = |model: &Value| {
            let mut model = model.clone();
            model.remove("current-context");
            model
        };
        without(&self.files[file].model) == without(&self.models[file])
    }

    /// Returns the current context, which is that of the first file that sets one, as in client-go's merge.
    pub(super) fn current_context(&self) -> Option<&str> {
        self.models.iter().find_map(current_context_of)
    }

    /// Sets the current context in the default file, as kubectl does. Returns the index of that file.
    pub(super) fn set_current_context(&mut self, name: &str) -> usize {
        if self.current_context() != Some(name) {
            self.model_mut(self.default_file).set("current-context", Value::str(name));
        }
        self.default_file
    }

    /// Sets the namespace of an existing context.
    pub(super) fn set_namespace(&mut self, context: &str, namespace: &str) {
        let Some(position) = self.find(EntryKind::Context, context) else { return };
        let Some(mut item) = self.item(EntryKind::Context, position).cloned() else { return };
        let mut body = item.get("context").cloned().unwrap_or(Value::Null);
        body.set("namespace", Value::str(namespace));
        item.set("context", body);
        self.replace(EntryKind::Context, position, item);
    }

    /// Returns the position of the entry that kubectl uses for a name: that of the first file which has one.
    pub(super) fn find(&self, kind: EntryKind, name: &str) -> Option<EntryPosition> {
        self.models.iter().enumerate().find_map(|(file, model)| {
            let index = model.get(kind.list_key())?.items().iter().position(|item| item.is_named(name))?;
            Some(EntryPosition { file, index })
        })
    }

    /// Returns the entry at a position.
    pub(super) fn item(&self, kind: EntryKind, position: EntryPosition) -> Option<&Value> {
        self.models[position.file].get(kind.list_key())?.items().get(position.index)
    }

    /// Returns the name, the index of the file and the item of each entry of a kind that kubectl sees. Of several
    /// entries with one name, kubectl sees the first.
    pub(super) fn visible(&self, kind: EntryKind) -> Vec<(&str, usize, &Value)> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        for (file, model) in self.models.iter().enumerate() {
            for item in model.get(kind.list_key()).map(Value::items).unwrap_or_default() {
                if let Some(name) = item.get("name").and_then(Value::as_str).filter(|name| seen.insert(*name)) {
                    entries.push((name, file, item));
                }
            }
        }
        entries
    }

    /// Returns the list of a kind in each file.
    pub(super) fn lists(&self, kind: EntryKind) -> impl Iterator<Item = &[Value]> {
        self.models.iter().map(move |model| model.get(kind.list_key()).map(Value::items).unwrap_or_default())
    }

    /// Returns the path of a file as `KUBECONFIG` lists it.
    pub(super) fn path(&self, file: usize) -> &PathBuf {
        &self.files[file].listed
    }

    /// Adds or updates the three entries of a profile. An existing entry stays in its file; a new one goes to the file
    /// of the context, or else to the default file. Returns what changed, and the index of the context's file.
    ///
    /// # Errors
    /// `ContextTaken` or `EntryTaken` if another tool made an entry with one of the three names.
    pub(super) fn upsert(&mut self, entry: &Entry) -> Result<(Change, usize), KubeconfigError> {
        entry.check()?;
        let names = self.entry_names(&entry.profile);
        let positions = EntryKind::ALL.map(|kind| self.find(kind, names.get(kind)));
        let [cluster, context, user] = positions;
        self.check_ours(entry, &names, positions)?;
        let file = context.or(user).or(cluster).map_or(self.default_file, |position| position.file);

        let mut change = if context.is_none() { Change::Added } else { Change::Unchanged };
        for (position, kind) in positions.into_iter().zip(EntryKind::ALL) {
            let old = position.and_then(|position| self.item(kind, position));
            let new = entry.updated_item(&names, kind, old);
            if old == Some(&new) {
                continue;
            }
            if let (EntryKind::Cluster, Some(position)) = (kind, position) {
                self.check_not_shared(entry, &names, position)?;
            }
            if change == Change::Unchanged {
                change = Change::Updated;
            }
            match position {
                Some(position) => self.replace(kind, position, new),
                None => self.model_mut(file).push(kind.list_key(), new),
            }
        }
        // Several users may have been converted to one profile.
        for name in self.users_of(&entry.profile).iter().filter(|name| **name != names.user) {
            let Some(position) = self.find(EntryKind::User, name) else { continue };
            let old = self.item(EntryKind::User, position);
            let new = entry.updated_item(&names, EntryKind::User, old);
            if old != Some(&new) {
                change = if change == Change::Added { change } else { Change::Updated };
                self.replace(EntryKind::User, position, new);
            }
        }
        Ok((change, file))
    }

    /// Errors if a context of another tool uses the cluster of a profile: its credentials would go to another server.
    fn check_not_shared(
        &self,
        entry: &Entry,
        names: &EntryNames,
        position: EntryPosition,
    ) -> Result<(), KubeconfigError> {
        let own_users = self.users_of(&entry.profile);
        let is_other = |item: &&Value| {
            let is_own = own_users.iter().chain([&names.user]).any(|user| uses_user(item, user));
            uses_cluster(item, &names.cluster) && !is_own
        };
        let Some(other) = self.lists(EntryKind::Context).flatten().find(is_other) else { return Ok(()) };
        Err(KubeconfigError::ClusterShared {
            path: self.path(position.file).clone(),
            name: names.cluster.clone(),
            context: other.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    }

    /// Removes the entries of a profile from every file, if they are Rolecall's. `names` are those of its entries. A cluster
    /// that another tool made stays if a context uses it.
    pub(super) fn remove(&mut self, profile: &str, names: &EntryNames) -> Removal {
        let context = self.find(EntryKind::Context, &names.context);
        let user = self.find(EntryKind::User, &names.user);
        let is_ours = |item: &Value| entry::is_ours(item, profile);
        let user_is_ours = user.and_then(|position| self.item(EntryKind::User, position)).map(is_ours);
        let context = context.and_then(|position| self.item(EntryKind::Context, position));
        let context_is_ours = context.map(|item| uses_user(item, &names.user));
        match (user_is_ours, context_is_ours) {
            (None, None) => return Removal::NotFound,
            (None, Some(false)) | (Some(false), _) => return Removal::NotOurs,
            _ => {}
        }
        let is_context = |item: &Value| item.is_named(&names.context) && uses_user(item, &names.user);
        let removed_context = self.remove_items(EntryKind::Context, is_context);
        let is_needed = names.cluster != EntryNames::new(profile).cluster
            && self.lists(EntryKind::Context).flatten().any(|item| uses_cluster(item, &names.cluster));
        let removed_cluster = !is_needed && self.remove_items(EntryKind::Cluster, |item| item.is_named(&names.cluster));
        let removed_user = self.remove_items(EntryKind::User, |item| item.is_named(&names.user) && is_ours(item));
        match (removed_context, removed_cluster || removed_user, self.find(EntryKind::Context, &names.context)) {
            (false, false, _) => Removal::NotFound,
            (_, _, Some(_)) => Removal::ContextStays,
            (true, _, None) => Removal::Removed,
            (false, true, None) => Removal::OnlyClusterAndUser,
        }
    }

    /// Removes entries of a kind from every file. Returns whether there were any.
    fn remove_items(&mut self, kind: EntryKind, is_unwanted: impl Fn(&Value) -> bool) -> bool {
        let mut removed = false;
        for items in self.models.iter_mut().filter_map(|model| model.items_mut(kind.list_key())) {
            let before = items.len();
            items.retain(|item| !is_unwanted(item));
            removed |= items.len() != before;
        }
        removed
    }

    /// Returns which tool made the context of a profile and its user.
    pub(super) fn context_owner(&self, profile: &str, names: &EntryNames) -> ContextOwner {
        let Some(context) = self.find(EntryKind::Context, &names.context) else { return ContextOwner::Missing };
        let user = self.find(EntryKind::User, &names.user).and_then(|user| self.item(EntryKind::User, user));
        let uses_it = self.item(EntryKind::Context, context).is_some_and(|item| uses_user(item, &names.user));
        if uses_it && user.is_some_and(|user| entry::is_ours(user, profile)) {
            ContextOwner::Rolecall { file: self.path(context.file).clone() }
        } else {
            ContextOwner::OtherTool
        }
    }

    /// Changes the model of each file.
    pub(super) fn for_each_model(&mut self, change: impl FnMut(&mut Value)) {
        self.models.iter_mut().for_each(change);
    }

    /// Clears the current context in every file that names the removed context, as `kubectl config unset
    /// current-context` does, unless another context has the name. Returns whether the context was kubectl's current one.
    pub(super) fn unset_current_context(&mut self, removed: &str) -> bool {
        let was_current = self.current_context() == Some(removed);
        if self.find(EntryKind::Context, removed).is_some() {
            return false;
        }
        for model in self.models.iter_mut().filter(|model| current_context_of(model) == Some(removed)) {
            model.set("current-context", Value::str(""));
        }
        was_current
    }

    /// Returns the names of the contexts whose cluster or user was removed with those of a profile.
    pub(super) fn dangling_contexts(&self, names: &EntryNames) -> Vec<String> {
        let is_gone = |kind| self.find(kind, names.get(kind)).is_none();
        let (no_cluster, no_user) = (is_gone(EntryKind::Cluster), is_gone(EntryKind::User));
        self.visible(EntryKind::Context)
            .into_iter()
            .filter(|(_, _, item)| {
                no_user && uses_user(item, &names.user) || no_cluster && uses_cluster(item, &names.cluster)
            })
            .map(|(name, _, _)| name.to_owned())
            .collect()
    }

    /// Errors if an existing entry with a name of this profile was made by another tool.
    fn check_ours(
        &self,
        entry: &Entry,
        names: &EntryNames,
        [cluster, context, user]: [Option<EntryPosition>; 3],
    ) -> Result<(), KubeconfigError> {
        let item = |kind, position: Option<EntryPosition>| {
            let position = position?;
            self.item(kind, position).map(|item| (item, self.path(position.file).clone()))
        };
        if let Some((item, path)) = item(EntryKind::Context, context)
            && !uses_user(item, &names.user)
        {
            let part = |key| item.at_path(&["context", key]).and_then(Value::as_str).unwrap_or_default();
            let found = format!("cluster \"{}\" and user \"{}\"", part("cluster"), part("user"));
            return Err(KubeconfigError::ContextTaken { path, name: names.context.clone(), uses: found });
        }
        if let Some((item, path)) = item(EntryKind::User, user)
            && !entry::is_ours(item, &entry.profile)
        {
            let name = names.user.clone();
            return Err(KubeconfigError::EntryTaken { path, kind: EntryKind::User.body_key(), name });
        }
        // A cluster without context and user remains if the user deleted the other two, unless it has another server.
        if let (None, None, Some((item, path))) = (context, user, item(EntryKind::Cluster, cluster))
            && item.at_path(&["cluster", "server"]).and_then(Value::as_str) != Some(entry.server.as_str())
        {
            let name = names.cluster.clone();
            return Err(KubeconfigError::EntryTaken { path, kind: EntryKind::Cluster.body_key(), name });
        }
        Ok(())
    }

    fn replace(&mut self, kind: EntryKind, position: EntryPosition, item: Value) {
        let items = self.models[position.file].items_mut(kind.list_key());
        let slot = items.and_then(|items| items.get_mut(position.index));
        if let Some(slot) = slot {
            *slot = item;
        }
    }

    /// Returns the model of a file, to change it. The model of an empty file becomes a kubeconfig without entries
    /// first.
    fn model_mut(&mut self, file: usize) -> &mut Value {
        let model = &mut self.models[file];
        if *model == Value::Null {
            *model = empty_kubeconfig();
        }
        model
    }
}

/// Returns a kubeconfig without entries, with its keys in kubectl's order.
pub(super) fn empty_kubeconfig() -> Value {
    Value::map([
        ("apiVersion", Value::str("v1")),
        ("clusters", Value::List(Vec::new())),
        ("contexts", Value::List(Vec::new())),
        ("current-context", Value::str("")),
        ("kind", Value::str("Config")),
        ("users", Value::List(Vec::new())),
    ])
}

fn current_context_of(model: &Value) -> Option<&str> {
    model.get("current-context").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// Whether a context uses this user.
pub(super) fn uses_user(context: &Value, user: &str) -> bool {
    context.at_path(&["context", "user"]).and_then(Value::as_str) == Some(user)
}

fn uses_cluster(context: &Value, cluster: &str) -> bool {
    context.at_path(&["context", "cluster"]).and_then(Value::as_str) == Some(cluster)
}
