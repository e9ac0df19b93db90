//! Looks for secrets where they have no business: in what programs were started with, in what they said, in files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::secrets::{self, FoundSecret, SecretSet};

/// Folders where secrets are at home: AWS's own files, the keyring's own.
const AT_HOME: [&str; 2] = [".aws", "keyrings"];
/// What is above this in a file is not looked at.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// What kubectl gets. A test may keep it; Rolecall may not.
const TOKEN: &[u8] = b"k8s-aws-v1.";

/// What is known of the secrets of one sandbox.
#[derive(Debug)]
pub(crate) struct SecretScanner {
    root: PathBuf,
    /// Beside those that an embedded AWS has made.
    own: Mutex<SecretSet>,
    /// What the test itself wrote, and where.
    written: Mutex<Vec<(PathBuf, Vec<u8>)>>,
    /// What the test shows on purpose.
    shown: Mutex<Vec<u8>>,
    leaks: Mutex<BTreeSet<String>>,
}

impl SecretScanner {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            own: Mutex::default(),
            written: Mutex::default(),
            shown: Mutex::default(),
            leaks: Mutex::default(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn add(&self, kind: &'static str, secret: &str) {
        lock(&self.own).add(kind, secret);
    }

    /// The test has this in this file, and what is found there beyond it is a leak.
    pub(crate) fn wrote(&self, path: &Path, text: &[u8]) {
        lock(&self.written).push((path.to_owned(), text.to_vec()));
    }

    pub(crate) fn show(&self, secret: &str) {
        let mut shown = lock(&self.shown);
        shown.extend_from_slice(secret.as_bytes());
        shown.push(0);
    }

    /// Looks into a text; `place` is for the message.
    pub(crate) fn look(&self, text: &[u8], place: impl Fn() -> String) {
        let found = self.search(text);
        if found.is_empty() {
            return;
        }
        let expected = self.search(&lock(&self.shown));
        for found in found.difference(&expected) {
            lock(&self.leaks).insert(format!("{} in {}", found.1.kind, place()));
        }
    }

    /// Which secrets a text holds. Numbers of the two lists are their own.
    pub(crate) fn search(&self, text: &[u8]) -> BTreeSet<(bool, FoundSecret)> {
        let issued = secrets::issued().search(text);
        let own = lock(&self.own).search(text);
        issued.into_iter().map(|found| (true, found)).chain(own.into_iter().map(|found| (false, found))).collect()
    }

    /// What has been found since the last time, files included.
    pub(crate) fn take_leaks(&self) -> Vec<String> {
        self.look_into_files(&self.root);
        std::mem::take(&mut *lock(&self.leaks)).into_iter().collect()
    }

    fn look_into_files(&self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_at_home = AT_HOME.iter().any(|home| entry.file_name() == *home);
            match entry.file_type() {
                _ if is_at_home => {}
                Ok(kind) if kind.is_dir() => self.look_into_files(&path),
                Ok(kind) if kind.is_file() => self.look_into_file(&path),
                _ => {}
            }
        }
    }

    fn look_into_file(&self, path: &Path) {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text));
        if read.is_err() {
            return; // it has gone in this moment
        }
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        if !below.components().any(|part| part.as_os_str() == "rolecall") {
            blank_tokens(&mut text);
        }
        let found = self.search(&text);
        if found.is_empty() {
            return;
        }
        let mut expected = self.search(&lock(&self.shown));
        for (_, text) in lock(&self.written).iter().filter(|(written, _)| written == path) {
            expected.extend(self.search(text));
        }
        for (_, found) in found.difference(&expected) {
            lock(&self.leaks).insert(format!("{} in the file {}", found.kind, below.display()));
        }
    }
}

/// Takes out what kubectl gets: with it a session token, in base64.
fn blank_tokens(text: &mut [u8]) {
    let mut at = 0;
    while let Some(begin) = text[at..].windows(TOKEN.len()).position(|window| window == TOKEN) {
        let begin = at + begin + TOKEN.len();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        let length = text[begin..].iter().take_while(|byte| is_part(byte)).count();
        at = begin + length;
        text[begin..at].fill(b' ');
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
