//! The files as they should become: changes are made to models here, and to texts only when all are known.

use std::collections::HashSet;
use std::path::PathBuf;

use super::entry::{self, Entry, inner_name};
use super::error::KubeconfigError;
use super::files::{Files, Loaded, find};
use super::model::{Kind, Value};
use super::{Change, Removal};

/// The files of a list, in order, with changes that are not written yet.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    files: &'a [Loaded],
    models: Vec<Value>,
    default: usize,
}

/// Where an entry is: which file of the list, and which item of its list.
type Place = (usize, usize);

impl<'a> Draft<'a> {
    pub(super) fn new(list: &Files, files: &'a [Loaded]) -> Draft<'a> {
        Draft { files, models: files.iter().map(|file| file.model.clone()).collect(), default: list.default_index() }
    }

    /// The files that would change, with what they should mean.
    pub(super) fn changes(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.models.iter().enumerate().filter(|(index, model)| self.files[*index].model != **model)
    }

    /// The current context: of the first file that has one, as in client-go's merge.
    pub(super) fn current_context(&self) -> Option<&str> {
        self.models.iter().find_map(current_of)
    }

    /// Sets the current context where kubectl would: in the default file. Says which file that is.
    pub(super) fn set_current_context(&mut self, name: &str) -> usize {
        if self.current_context() != Some(name) {
            self.model(self.default).set("current-context", Value::str(name));
        }
        self.default
    }

    /// The named entry that kubectl would use: that of the first file which has one.
    pub(super) fn find(&self, kind: Kind, name: &str) -> Result<Option<Place>, KubeconfigError> {
        for (index, model) in self.models.iter().enumerate() {
            if let Some(place) = find(self.path(index), model, kind, name)? {
                return Ok(Some((index, place)));
            }
        }
        Ok(None)
    }

    /// The entry at a place.
    pub(super) fn item(&self, kind: Kind, (file, place): Place) -> Option<&Value> {
        self.models[file].get(kind.list())?.items().get(place)
    }

    /// All entries of a kind that kubectl sees, by name, each with the file it is in.
    pub(super) fn visible(&self, kind: Kind) -> Vec<(&str, usize, &Value)> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        for (file, model) in self.models.iter().enumerate() {
            for item in model.get(kind.list()).map(Value::items).unwrap_or_default() {
                if let Some(name) = item.get("name").and_then(Value::as_str).filter(|name| seen.insert(*name)) {
                    entries.push((name, file, item));
                }
            }
        }
        entries
    }

    /// The name under which kubectl knows a file.
    pub(super) fn path(&self, file: usize) -> &PathBuf {
        &self.files[file].listed
    }

    /// Brings a profile's three entries up to date. Each stays in the file it is in; new ones go to the file of the
    /// context, or else to the default file. Says what it came to, and which file has the context.
    pub(super) fn upsert(&mut self, entry: &Entry) -> Result<(Change, usize), KubeconfigError> {
        entry.check()?;
        let mut places = [None; 3];
        for (place, kind) in places.iter_mut().zip(Kind::ALL) {
            *place = self.find(kind, &entry.name(kind))?;
        }
        let [cluster, context, user] = places;
        self.check_ours(entry, cluster, context, user)?;
        let home = context.or(user).or(cluster).map_or(self.default, |(file, _)| file);

        let mut change = if context.is_none() { Change::Added } else { Change::Unchanged };
        for (place, kind) in places.into_iter().zip(Kind::ALL) {
            let old = place.and_then(|place| self.item(kind, place));
            let new = entry.item(kind, old);
            if old == Some(&new) {
                continue;
            }
            if change == Change::Unchanged {
                change = Change::Updated;
            }
            match place {
                Some((file, place)) => self.replace(kind, file, place, new),
                None => self.model(home).push(kind.list(), new),
            }
        }
        Ok((change, home))
    }

    /// Removes what is ours of a profile from every file, and the current context if it pointed there.
    pub(super) fn remove(&mut self, profile: &str) -> Result<Removal, KubeconfigError> {
        let inner = inner_name(profile);
        let context = self.find(Kind::Context, profile)?;
        let user = self.find(Kind::User, &inner)?;
        let is_ours = |item: &Value| entry::is_ours(item, profile);
        let user_is_ours = user.and_then(|place| self.item(Kind::User, place)).map(is_ours);
        let context_is_ours = context.and_then(|place| self.item(Kind::Context, place)).map(|item| uses(item, &inner));
        match (user_is_ours, context_is_ours) {
            (None, None) => return Ok(Removal::NotFound),
            (None, Some(false)) | (Some(false), _) => return Ok(Removal::NotOurs),
            _ => {}
        }
        let mut removed = false;
        for model in &mut self.models {
            let mut take = |kind: Kind, unwanted: &dyn Fn(&Value) -> bool| {
                let Some(items) = model.items_mut(kind.list()) else { return };
                let before = items.len();
                items.retain(|item| !unwanted(item));
                removed |= items.len() != before;
            };
            take(Kind::Context, &|item| item.is_named(profile) && uses(item, &inner));
            take(Kind::Cluster, &|item| item.is_named(&inner));
            take(Kind::User, &|item| item.is_named(&inner) && is_ours(item));
        }
        Ok(if removed { Removal::Removed } else { Removal::NotFound })
    }

    /// Clears the current context in the files that name a context which is no longer there, as `kubectl config unset
    /// current-context` does. Says whether it pointed at it for kubectl.
    pub(super) fn unset_current_context(&mut self, gone: &str) -> Result<bool, KubeconfigError> {
        let was_current = self.current_context() == Some(gone);
        if self.find(Kind::Context, gone)?.is_none() {
            for model in self.models.iter_mut().filter(|model| current_of(model) == Some(gone)) {
                model.set("current-context", Value::str(""));
            }
        }
        Ok(was_current)
    }

    /// The contexts, other than its own, that use a profile's cluster or user: they stay, and would not work.
    pub(super) fn other_contexts_of(&self, profile: &str) -> Vec<String> {
        let inner = inner_name(profile);
        let is_inner = |item: &Value, key| item.at(&["context", key]).and_then(Value::as_str) == Some(&inner);
        self.visible(Kind::Context)
            .into_iter()
            .filter(|(name, _, item)| *name != profile && (is_inner(item, "user") || is_inner(item, "cluster")))
            .map(|(name, _, _)| name.to_owned())
            .collect()
    }

    fn check_ours(
        &self,
        entry: &Entry,
        cluster: Option<Place>,
        context: Option<Place>,
        user: Option<Place>,
    ) -> Result<(), KubeconfigError> {
        let inner = inner_name(&entry.profile);
        let item = |kind, place: Option<Place>| {
            place.and_then(|place| self.item(kind, place).map(|item| (item, self.path(place.0).clone())))
        };
        if let Some((item, path)) = item(Kind::Context, context)
            && !uses(item, &inner)
        {
            let part = |key| item.at(&["context", key]).and_then(Value::as_str).unwrap_or_default();
            let found = format!("cluster \"{}\" and user \"{}\"", part("cluster"), part("user"));
            return Err(KubeconfigError::ContextTaken { path, name: entry.profile.clone(), uses: found });
        }
        if let Some((item, path)) = item(Kind::User, user)
            && !entry::is_ours(item, &entry.profile)
        {
            return Err(KubeconfigError::EntryTaken { path, kind: Kind::User.body(), name: inner });
        }
        // A cluster without context and user is what somebody left of ours, unless it is another server's.
        if let (None, None, Some((item, path))) = (context, user, item(Kind::Cluster, cluster))
            && item.at(&["cluster", "server"]).and_then(Value::as_str) != Some(entry.server.as_str())
        {
            return Err(KubeconfigError::EntryTaken { path, kind: Kind::Cluster.body(), name: inner });
        }
        Ok(())
    }

    fn replace(&mut self, kind: Kind, file: usize, place: usize, item: Value) {
        let slot = self.models[file].items_mut(kind.list()).and_then(|items| items.get_mut(place));
        if let Some(slot) = slot {
            *slot = item;
        }
    }

    /// The model of a file that is about to change. An empty file becomes a kubeconfig first.
    fn model(&mut self, file: usize) -> &mut Value {
        let model = &mut self.models[file];
        if *model == Value::Null {
            *model = empty_kubeconfig();
        }
        model
    }
}

/// A kubeconfig without entries, its keys in kubectl's order.
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

fn current_of(model: &Value) -> Option<&str> {
    model.get("current-context").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// Whether a context uses this user.
fn uses(context: &Value, user: &str) -> bool {
    context.at(&["context", "user"]).and_then(Value::as_str) == Some(user)
}
