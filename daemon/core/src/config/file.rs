//! Reads the configuration file, which decides whose credentials are used: see `trusted_file`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use rolecall_protocol::MAX_CONFIG_BYTES;
use sha2::{Digest as _, Sha256};

use super::included::IncludeContext;
use super::trusted_file::{open, too_large, unreadable};
use super::{Config, ConfigError, schema, sections};

/// The size of a read. A file of 10,000 profiles has 3 MB.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads and validates the file without its included files. Returns an empty configuration if it does not exist.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with_context(path).map(|(config, _)| config)
}

/// Reads and validates the file, and returns what its included files need.
pub(super) fn load_with_context(path: &Path) -> Result<(Config, IncludeContext), ConfigError> {
    let unreadable = |message: String| ConfigError::of_file(path, message);
    let Some(file) = open(path).map_err(unreadable)? else {
        return Ok((Config::default(), IncludeContext::default()));
    };
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    match sections::read(path, &mut reader) {
        Ok(config) => Ok(config),
        Err(error) => {
            let text = read_whole(reader).map_err(unreadable)?;
            if schema::is_small(&text) { Config::parse_whole(path, &text) } else { Err(error) }
        }
    }
}

/// The SHA-256 of a file.
pub type Digest = [u8; 32];

/// Returns the digest of the file, which tells whether the file has changed. Parsing it for that would leave the allocator
/// with more memory. Returns `None` if the file cannot be read.
#[must_use]
pub fn digest(path: &Path) -> Option<Digest> {
    try_digest(path).ok()
}

/// Returns the digest of the file. Errors with a continuation of the path, which stays equal until the cause changes.
pub(super) fn try_digest(path: &Path) -> Result<Digest, String> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, open(path)?.ok_or("does not exist")?);
    let mut hash = Sha256::new();
    loop {
        let length = match reader.fill_buf().map_err(|error| unreadable(&error))? {
            [] => return Ok(hash.finalize().into()),
            bytes => {
                hash.update(bytes);
                bytes.len()
            }
        };
        reader.consume(length);
    }
}

/// Returns an error if the file does not exist or is empty. For a configuration that was in force before.
#[must_use]
pub fn missing_or_empty(path: &Path) -> Option<ConfigError> {
    let message = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
            "is empty; to remove all profiles, write a comment into it"
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "does not exist any longer; to remove all profiles, create it with a comment in it"
        }
        _ => return None,
    };
    Some(ConfigError::of_file(path, message))
}

/// Returns the text of an included file. Errors with a continuation of the path.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    read_whole(BufReader::with_capacity(BUFFER_BYTES, open(path)?.ok_or("does not exist")?))
}

/// Returns the whole text of the file.
fn read_whole(mut reader: BufReader<File>) -> Result<String, String> {
    let mut text = String::new();
    let limit = MAX_CONFIG_BYTES as u64 + 1;
    match reader.rewind().and_then(|()| reader.take(limit).read_to_string(&mut text)) {
        Ok(length) if length > MAX_CONFIG_BYTES => Err(too_large()),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err("is not UTF-8 text".to_owned()),
        Err(error) => Err(unreadable(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Fault matrix row 91.
    #[test]
    fn config_file_not_trustworthy_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(load(&path).unwrap(), Config::default());

        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let shown = path.display();
        assert_eq!(
            load(&path).unwrap_err().message,
            format!(
                "is not used: other users can write {shown} (mode 0666), and so choose what Rolecall does. \
                 Fix it with: chmod go-w {shown}"
            )
        );
        assert_eq!(digest(&path), None);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            let message = load(&path).unwrap_err().message;
            assert!(message.contains("belongs to another user (uid 12345). Rolecall runs as root"), "{message}");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(load(&path).unwrap_err().message, "is not UTF-8 text");

        let sparse = fs::OpenOptions::new().write(true).open(&path).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert_eq!(load(&path).unwrap_err().message, "is larger than 8 MiB");

        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(load(&path).unwrap_err().message.contains("not a regular file"));

        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(load(&path).unwrap_err().message.contains("not a regular file"));

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(load(&path).is_err());
    }

    /// Fault matrix row 91. A user that can write a folder on the way to the file can put another file in its place.
    #[test]
    fn config_file_in_folder_of_others_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let home = folder.join("rolecall");
        fs::create_dir(&home).unwrap();
        let path = home.join("config.toml");
        fs::write(&path, "").unwrap();
        let set_mode = |mode| fs::set_permissions(&home, fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o777);
        let message = load(&path).unwrap_err().message;
        let shown = home.display();
        assert!(
            message.starts_with(&format!("is not used: other users can write the folder {shown} (mode 0777)"))
                && message.ends_with(&format!(". Fix it with: chmod go-w {shown}")),
            "{message}"
        );
        assert_eq!(missing_or_empty(&home.join("other")).map(|error| error.line), Some(None));
        set_mode(0o755);
        // Links as of a dotfile manager are followed.
        let link = folder.join("config.toml");
        std::os::unix::fs::symlink("rolecall/config.toml", &link).unwrap();
        assert_eq!(load(&link).unwrap(), Config::default());
        assert!(digest(&link).is_some());
    }
}
