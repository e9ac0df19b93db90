//! The reload of the configuration and its included files, and the folders to watch.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::watch;

use super::*;

const ONE: &str = "[sources.work]\naws_profile = \"work\"\n";

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The names of the sources.
fn store(path: &Path) -> ConfigStore<Vec<String>> {
    let names = |config: &Config| config.sources.keys().map(ToString::to_string).collect();
    ConfigStore::open(path.to_owned(), path.parent().unwrap().to_owned(), Clock::machine(), names)
}

fn source(name: &str) -> String {
    ONE.replace("work", name)
}

/// A folder with a configuration and the file that it includes.
fn with_include(text: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir(root.join("home")).unwrap();
    let path = root.join("home/config.toml");
    write(&path, &format!("include = [\"../team/*.toml\", \"../checkout/a.toml\"]\n{text}"));
    (folder, path, root.join("team"))
}

/// Fault matrix row 90.
#[test]
fn broken_include_changes_only_its_problem() {
    let (_folder, path, team) = with_include(ONE);
    fs::create_dir(&team).unwrap();
    write(&team.join("a.toml"), &source("a"));
    let store = store(&path);
    let problem = |index: usize| {
        let current = store.current();
        (current.includes[index].loaded, current.includes[index].problem_since)
    };
    assert_eq!(*store.current().value, ["a", "work"]);
    assert!(problem(1).0.is_none() && problem(1).1.is_some(), "a missing file");
    store.reload();
    assert_eq!(store.reload(), Reload::Same);
    let (loaded, _) = problem(0);
    write(&team.join("a.toml"), "[sources");
    assert_eq!(store.reload(), Reload::Problem);
    assert_eq!(*store.current().value, ["a", "work"]);
    let broken = problem(0);
    assert!(broken.0 == loaded && broken.1.is_some());
    assert!(store.current().problem.is_none());
    // The configuration itself still changes, and the other included files do.
    write(&team.join("b.toml"), &source("b"));
    assert!(matches!(store.reload(), Reload::Changed(_)));
    assert_eq!(*store.current().value, ["a", "b", "work"]);
    assert_eq!(problem(0), broken, "the same problem keeps its beginning");
    write(&team.join("a.toml"), &source("c"));
    assert!(matches!(store.reload(), Reload::Changed(_)));
    assert_eq!(*store.current().value, ["b", "c", "work"]);
    assert_eq!(problem(0).1, None);
    // A broken configuration keeps all of it.
    write(&path, "[sources");
    assert_eq!(store.reload(), Reload::Problem);
    assert_eq!(*store.current().value, ["b", "c", "work"]);
    assert_eq!(store.current().includes.len(), 3);
}

#[test]
fn folders_have_those_of_included_files() {
    let (folder, path, team) = with_include("");
    let (store, root) = (store(&path), folder.path().canonicalize().unwrap());
    assert_eq!(store.folders(), [root.join("home"), root.join("home/..")], "the nearest that exist");
    fs::create_dir_all(root.join("store/1")).unwrap();
    write(&root.join("store/1/a.toml"), ONE);
    fs::create_dir(&team).unwrap();
    std::os::unix::fs::symlink("../store/1/a.toml", team.join("a.toml")).unwrap();
    for folder in [root.join("home/../team"), team, root.join("store/1")] {
        assert!(store.folders().contains(&folder), "{}: {:?}", folder.display(), store.folders());
    }
}

/// A checkout of a repository makes the folder of an included file.
#[tokio::test]
async fn new_included_file_is_seen() {
    let (folder, path, _) = with_include(ONE);
    let store = Arc::new(store(&path));
    let (stop, (seen, mut see)) = (CancellationToken::new(), mpsc::unbounded_channel());
    let (follower, folders) = (Arc::clone(&store), Arc::clone(&store));
    let look = move || {
        follower.reload();
        seen.send(()).unwrap();
    };
    let following = tokio::spawn(watch::follow(move || folders.folders(), stop.clone(), look));
    see.recv().await.unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir(root.join("checkout")).unwrap();
    write(&root.join("checkout/a.toml"), &source("a"));
    let has_both = async {
        while *store.current().value != ["a", "work"] {
            see.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), has_both).await.unwrap();
    stop.cancel();
    following.await.unwrap();
}

/// Fault matrix row 90.
#[test]
fn broken_file_keeps_last_valid_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    write(&path, ONE);
    let store = store(&path);
    let good = Arc::clone(&store.current().value);
    for broken in ["[sources", "[sources.work]\n", "x = 1\n"] {
        write(&path, broken);
        assert_eq!(store.reload(), Reload::Problem);
        assert!(Arc::ptr_eq(&store.current().value, &good));
        let first = store.current().problem.clone().unwrap();
        assert_eq!(store.reload(), Reload::Same);
        assert_eq!(store.current().problem.clone().unwrap(), first, "the same problem keeps its beginning");
    }
    write(&path, ONE);
    assert_eq!(store.reload(), Reload::Problem, "fixed, and as before");
    assert!(store.current().problem.is_none());
    write(&path, "");
    assert_eq!(store.reload(), Reload::Problem);
    assert!(store.current().problem.clone().unwrap().0.message.contains("is empty"));
    fs::remove_file(&path).unwrap();
    assert_eq!(store.reload(), Reload::Problem);
    assert!(store.current().problem.clone().unwrap().0.message.contains("does not exist any longer"));
    assert!(Arc::ptr_eq(&store.current().value, &good));
    write(&path, "# nothing any more\n");
    assert_eq!(store.reload(), Reload::Changed(good));
    assert!(store.current().value.is_empty());
}

#[tokio::test]
async fn file_change_is_seen_for_each_way_of_writing() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("dotfiles");
    fs::create_dir(&real).unwrap();
    let home = folder.path().join("rolecall");
    fs::create_dir(&home).unwrap();
    let path = home.join("config.toml");
    write(&real.join("config.toml"), "");
    std::os::unix::fs::symlink(real.join("config.toml"), &path).unwrap();

    let store = Arc::new(store(&path));
    let stop = CancellationToken::new();
    let (seen, mut see) = mpsc::unbounded_channel();
    // The watch has to be in place before the file changes.
    let (sender, mut changes) = mpsc::channel(1);
    let watcher = watch::watch(&store.folders(), sender).unwrap();
    write(&real.join("config.toml"), ONE);
    changes.recv().await.unwrap();
    drop(watcher);
    assert!(matches!(store.reload(), Reload::Changed(_)));

    let (follower, folders) = (Arc::clone(&store), Arc::clone(&store));
    let look = move || {
        if let Reload::Changed(_) = follower.reload() {
            seen.send(()).unwrap();
        }
    };
    let following = tokio::spawn(watch::follow(move || folders.folders(), stop.clone(), look));
    tokio::task::yield_now().await;
    let new = home.join("new");
    write(&new, &ONE.replace("work", "other"));
    fs::rename(&new, &path).unwrap();
    tokio::time::timeout(Duration::from_secs(10), see.recv()).await.unwrap().unwrap();
    assert_eq!(*store.current().value, ["other"]);
    stop.cancel();
    following.await.unwrap();
}

#[test]
fn folders_have_that_of_each_link() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    for name in ["home", "generations/1", "generations/2", "store"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    // As nix does: home/config.toml -> generations/current/config.toml -> store/config.toml
    write(&folder.join("store/config.toml"), ONE);
    for number in ["1", "2"] {
        symlink("../../store/config.toml", folder.join("generations").join(number).join("config.toml")).unwrap();
    }
    let current = folder.join("generations/current");
    symlink("1", &current).unwrap();
    let path = folder.join("home/config.toml");
    symlink("../generations/current/config.toml", &path).unwrap();
    let store = store(&path);
    let expected = |number: &str| {
        ["home", "generations", &format!("generations/{number}"), "store"].map(|name| folder.join(name)).to_vec()
    };
    assert_eq!(store.folders(), expected("1"));
    fs::remove_file(&current).unwrap();
    symlink("2", &current).unwrap();
    assert_eq!(store.folders(), expected("2"));
    fs::remove_file(&path).unwrap();
    assert_eq!(store.folders(), [folder.join("home")]);
}

#[tokio::test]
async fn changed_middle_link_is_seen() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let file = |number: &str, text: &str| {
        fs::create_dir(folder.path().join(number)).unwrap();
        write(&folder.path().join(number).join("config.toml"), text);
    };
    file("1", ONE);
    file("2", &ONE.replace("work", "other"));
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    symlink("1", folder.path().join("current")).unwrap();
    symlink("../current/config.toml", home.join("config.toml")).unwrap();
    let store = store(&home.join("config.toml"));
    let (sender, mut changes) = mpsc::channel(1);
    let _watcher = watch::watch(&store.folders(), sender).unwrap();
    symlink("2", folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), folder.path().join("current")).unwrap();
    tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap();
    assert!(matches!(store.reload(), Reload::Changed(_)));
    assert_eq!(*store.current().value, ["other"]);
}
