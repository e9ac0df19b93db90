//! Watches AWS's own files: after a login or a changed profile, failed sources are retried.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::watch;
use rolecall_aws::client::AwsFiles;

/// The folders below `~/.aws` that hold logins of IAM Identity Center and of `aws login`.
const LOGIN_FOLDERS: [&str; 5] = ["", "sso", "sso/cache", "login", "login/cache"];

/// A file's path, modification time and size.
type FileState = (PathBuf, Option<SystemTime>, u64);

/// Calls `changed` after each change of AWS's own files, until `stop`.
pub async fn follow(files: AwsFiles, stop: CancellationToken, changed: impl Fn() + Send + Sync + 'static) {
    let (last, listed) = (Mutex::new(None), files.clone());
    let check = move || {
        let found = list_files(&folders(&listed));
        let before = last.lock().unwrap_or_else(PoisonError::into_inner).replace(found.clone());
        if before.is_some_and(|before| before != found) {
            tracing::info!("AWS files changed");
            changed();
        }
    };
    watch::follow(move || folders(&files), stop, check).await;
}

/// Returns the folders, without symbolic links if they exist. What is not a folder is left out.
fn folders(files: &AwsFiles) -> Vec<PathBuf> {
    let named = [&files.config, &files.credentials].into_iter().filter_map(|path| path.parent().map(Path::to_owned));
    let caches = LOGIN_FOLDERS.iter().map(|cache| files.logins.join(cache));
    let resolve = |folder: PathBuf| match folder.canonicalize() {
        Ok(folder) => folder.is_dir().then_some(folder),
        Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(folder),
    };
    let all: BTreeSet<PathBuf> = named.chain(caches).filter_map(resolve).collect();
    all.into_iter().collect()
}

fn list_files(folders: &[PathBuf]) -> BTreeSet<FileState> {
    let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let files =
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok().filter(std::fs::Metadata::is_file)?)));
    files.map(|(path, found)| (path, found.modified().ok(), found.len())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn folders_have_missing_ones_and_no_files() {
        let home = tempfile::tempdir().unwrap();
        let aws = home.path().canonicalize().unwrap().join(".aws");
        let files = AwsFiles { config: aws.join("config"), credentials: aws.join("credentials"), logins: aws.clone() };
        let all = ["", "login", "login/cache", "sso", "sso/cache"].map(|folder| aws.join(folder));
        assert_eq!(folders(&files), all);
        fs::create_dir(&aws).unwrap();
        fs::write(aws.join("login"), "").unwrap();
        assert_eq!(folders(&files), [&all[0], &all[3], &all[4]].map(Clone::clone));
    }

    #[tokio::test]
    async fn first_login_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let aws = home.path().join(".aws");
        let files = AwsFiles { config: aws.join("config"), credentials: aws.join("credentials"), logins: aws.clone() };
        let stop = CancellationToken::new();
        let (sender, mut changes) = mpsc::unbounded_channel();
        let following = {
            let stop = stop.clone();
            tokio::spawn(async move { follow(files, stop, move || sender.send(()).unwrap()).await })
        };
        fs::create_dir(&aws).unwrap();
        // The watch may start after a write, so the test writes until a change is reported.
        let mut is_reported = async |write: &dyn Fn(u32)| {
            for round in 0..100 {
                write(round);
                if tokio::time::timeout(Duration::from_millis(300), changes.recv()).await.is_ok() {
                    return;
                }
            }
            panic!("no change was reported");
        };
        is_reported(&|round| fs::write(aws.join("config"), round.to_string()).unwrap()).await;
        fs::create_dir_all(aws.join("sso/cache")).unwrap();
        is_reported(&|round| fs::write(aws.join("sso/cache/token.json"), round.to_string()).unwrap()).await;
        stop.cancel();
        following.await.unwrap();
    }
}
