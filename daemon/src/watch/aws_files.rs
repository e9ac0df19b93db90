//! Following AWS's own files: a login, or a changed profile, mends what was refused before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::watch;
use rolecall_aws::client::AwsFiles;

/// Where logins are kept below `~/.aws`: IAM Identity Center's and those of `aws login`.
const CACHES: [&str; 5] = ["", "sso", "sso/cache", "login", "login/cache"];

/// What there is to see of a file.
type Seen = (PathBuf, Option<SystemTime>, u64);

/// Calls `changed` after each change of AWS's own files, until `stop`.
pub async fn follow(files: &AwsFiles, stop: CancellationToken, changed: impl Fn()) {
    let last = Mutex::new(None);
    let look = || {
        let seen = look(&folders(files));
        let before = last.lock().unwrap_or_else(PoisonError::into_inner).replace(seen.clone());
        if before.is_some_and(|before| before != seen) {
            tracing::info!("AWS's own files were changed; what they refused is tried again");
            changed();
        }
    };
    watch::follow(|| folders(files), stop, look).await;
}

/// The folders of those files that exist.
fn folders(files: &AwsFiles) -> Vec<PathBuf> {
    let named = [&files.config, &files.credentials].into_iter().filter_map(|path| path.parent().map(Path::to_owned));
    let caches = CACHES.iter().map(|cache| files.logins.join(cache));
    let all: BTreeSet<PathBuf> = named.chain(caches).filter_map(|folder| folder.canonicalize().ok()).collect();
    all.into_iter().filter(|folder| folder.is_dir()).collect()
}

fn look(folders: &[PathBuf]) -> BTreeSet<Seen> {
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

    #[tokio::test]
    async fn a_login_is_noticed_even_the_first() {
        let home = tempfile::tempdir().unwrap();
        let aws = home.path().join(".aws");
        fs::create_dir(&aws).unwrap();
        let files = AwsFiles { config: aws.join("config"), credentials: aws.join("credentials"), logins: aws.clone() };
        let stop = CancellationToken::new();
        let (tell, mut told) = mpsc::unbounded_channel();
        let following = {
            let stop = stop.clone();
            tokio::spawn(async move { follow(&files, stop, move || tell.send(()).unwrap()).await })
        };
        // Whatever the watch sees first: a file in a folder that did not exist is found in the end.
        let mut heard = async |write: &dyn Fn(u32)| {
            for round in 0..100 {
                write(round);
                if tokio::time::timeout(Duration::from_millis(300), told.recv()).await.is_ok() {
                    return;
                }
            }
            panic!("nobody noticed");
        };
        heard(&|round| fs::write(aws.join("config"), round.to_string()).unwrap()).await;
        fs::create_dir_all(aws.join("sso/cache")).unwrap();
        heard(&|round| fs::write(aws.join("sso/cache/token.json"), round.to_string()).unwrap()).await;
        stop.cancel();
        following.await.unwrap();
    }
}
