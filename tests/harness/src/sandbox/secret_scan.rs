//! Scans arguments, environments, output and files of a sandbox for secrets.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::secrets::{self, FoundSecret, SecretSet};

/// Folders that may contain secrets: AWS's own files and the keyring's files.
const EXEMPT_FOLDERS: [&str; 2] = [".aws", "keyrings"];
/// Only this many bytes of a file are scanned.
const MAX_SCANNED_BYTES: u64 = 64 * 1024 * 1024;
/// Prefix of a token for kubectl. A test may store a token in a file; Rolecall may not.
const TOKEN_PREFIX: &[u8] = b"k8s-aws-v1.";

/// The secrets and findings of one sandbox.
#[derive(Debug)]
pub(crate) struct SecretScanner {
    root: PathBuf,
    /// Secrets besides those of an embedded AWS.
    own: Mutex<SecretSet>,
    /// Files that the test itself wrote, with their content.
    written: Mutex<Vec<(PathBuf, Vec<u8>)>>,
    /// Secrets that the test exposes on purpose.
    allowed: Mutex<Vec<u8>>,
    leaks: Mutex<BTreeSet<String>>,
}

impl SecretScanner {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            own: Mutex::default(),
            written: Mutex::default(),
            allowed: Mutex::default(),
            leaks: Mutex::default(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn add(&self, kind: &'static str, secret: &str) {
        lock(&self.own).add(kind, secret);
    }

    /// Records a file that the test wrote; only other secrets in it are leaks.
    pub(crate) fn record_written(&self, path: &Path, text: &[u8]) {
        lock(&self.written).push((path.to_owned(), text.to_vec()));
    }

    pub(crate) fn allow(&self, secret: &str) {
        let mut allowed = lock(&self.allowed);
        allowed.extend_from_slice(secret.as_bytes());
        allowed.push(0);
    }

    /// Scans a text; `place` names it in the finding.
    pub(crate) fn scan(&self, text: &[u8], place: impl Fn() -> String) {
        let found = self.search(text);
        if found.is_empty() {
            return;
        }
        let expected = self.search(&lock(&self.allowed));
        for found in found.difference(&expected) {
            lock(&self.leaks).insert(format!("{} in {}", found.1.kind, place()));
        }
    }

    /// Returns the secrets in a text. The flag tells the two sets apart, whose numbers are independent.
    pub(crate) fn search(&self, text: &[u8]) -> BTreeSet<(bool, FoundSecret)> {
        let issued = secrets::issued().search(text);
        let own = lock(&self.own).search(text);
        issued.into_iter().map(|found| (true, found)).chain(own.into_iter().map(|found| (false, found))).collect()
    }

    /// Returns the findings since the last call, after a scan of all files.
    pub(crate) fn take_leaks(&self) -> Vec<String> {
        self.scan_folder(&self.root);
        std::mem::take(&mut *lock(&self.leaks)).into_iter().collect()
    }

    fn scan_folder(&self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_exempt = EXEMPT_FOLDERS.iter().any(|folder| entry.file_name() == *folder);
            match entry.file_type() {
                _ if is_exempt => {}
                Ok(kind) if kind.is_dir() => self.scan_folder(&path),
                Ok(kind) if kind.is_file() => self.scan_file(&path),
                _ => {}
            }
        }
    }

    fn scan_file(&self, path: &Path) {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_SCANNED_BYTES).read_to_end(&mut text));
        if read.is_err() {
            return; // the file was deleted in the meantime
        }
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        if !below.components().any(|part| part.as_os_str() == "rolecall") {
            blank_tokens(&mut text);
        }
        let found = self.search(&text);
        if found.is_empty() {
            return;
        }
        let mut expected = self.search(&lock(&self.allowed));
        for (_, text) in lock(&self.written).iter().filter(|(written, _)| written == path) {
            expected.extend(self.search(text));
        }
        for (_, found) in found.difference(&expected) {
            lock(&self.leaks).insert(format!("{} in the file {}", found.kind, below.display()));
        }
    }
}

/// Blanks tokens for kubectl: each contains a session token in base64.
fn blank_tokens(text: &mut [u8]) {
    let mut at = 0;
    while let Some(begin) = text[at..].windows(TOKEN_PREFIX.len()).position(|window| window == TOKEN_PREFIX) {
        let begin = at + begin + TOKEN_PREFIX.len();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        let length = text[begin..].iter().take_while(|byte| is_part(byte)).count();
        at = begin + length;
        text[begin..at].fill(b' ');
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
