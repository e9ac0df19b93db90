//! Edits of the file under the lock.

use std::path::PathBuf;

use super::*;

#[test]
fn edit_creates_mode_0600_and_keeps_an_existing_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolecall/config.toml");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    save(&path, |file| file.set_profile("prod", &entry()).unwrap());
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    save(&path, |file| file.set_profile("audit", &entry()).unwrap());
    assert_eq!(mode(&path), 0o644);

    let time = fs::metadata(&path).unwrap().modified().unwrap();
    save(&path, |file| file.set_profile("audit", &entry()).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), time);
    let failed = edit(&path, |file| {
        file.remove_profile("prod");
        Err::<(), _>(ConfigFileError::NotATable { path: PathBuf::new(), key: String::new() })
    });
    assert!(failed.is_err());
    assert_eq!(ConfigFile::load(&path).unwrap().profile_names(), ["prod", "audit"]);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn edit_can_restore_the_previous_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, HAND).unwrap();
    let before = ConfigFile::load(&path).unwrap();
    save(&path, |file| file.remove_profile("prod"));
    save(&path, |file| *file = before.clone());
    assert_eq!(fs::read_to_string(&path).unwrap(), HAND);
}

#[test]
fn edit_keeps_a_symlink_and_load_rejects_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("real"), HAND).unwrap();
    let link = folder.path().join("config.toml");
    std::os::unix::fs::symlink("real", &link).unwrap();
    save(&link, |file| file.remove_profile("prod"));
    assert!(link.is_symlink());
    assert!(ConfigFile::load(folder.path()).unwrap_err().to_string().contains("is a folder"));
}

#[test]
fn fifty_concurrent_edits_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::thread::scope(|scope| {
        for number in 0..50 {
            let path = &path;
            scope.spawn(move || save(path, |file| file.set_profile(&format!("p{number}"), &entry()).unwrap()));
        }
    });
    assert_eq!(ConfigFile::load(&path).unwrap().profile_names().len(), 50);
}
