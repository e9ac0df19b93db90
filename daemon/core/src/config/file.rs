//! Reads the configuration from disk, with a cap and some distrust: the file decides whose credentials are used.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use rolecall_protocol::MAX_CONFIG_BYTES;
use sha2::{Digest as _, Sha256};

use super::trusted_file::{open, too_large};
use super::{Config, ConfigError, pieces};

/// How much is read at once: a file of ten thousand profiles has three megabytes.
const BUFFER: usize = 64 * 1024;

/// Reads and validates the file; one that does not exist is an empty configuration.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let unreadable = |message| ConfigError { path: path.to_owned(), line: None, key: None, message };
    let Some(file) = open(path).map_err(unreadable)? else { return Ok(Config::default()) };
    let mut reader = BufReader::with_capacity(BUFFER, file);
    if let Some(config) = pieces::read(&mut reader) {
        return Ok(config);
    }
    Config::parse_whole(path, &whole(reader).map_err(unreadable)?)
}

/// What a file says, as a number.
pub type Digest = [u8; 32];

/// Whether a file says something new is told by this, without reading it as a configuration: that leaves memory behind.
#[must_use]
pub fn digest(path: &Path) -> Option<Digest> {
    let mut reader = BufReader::with_capacity(BUFFER, open(path).ok()??);
    let mut hash = Sha256::new();
    loop {
        let length = match reader.fill_buf().ok()? {
            [] => return Some(hash.finalize().into()),
            bytes => {
                hash.update(bytes);
                bytes.len()
            }
        };
        reader.consume(length);
    }
}

/// Whether there is no file any more, or nothing in it, where there was something.
#[must_use]
pub fn missing_or_empty(path: &Path) -> Option<ConfigError> {
    let message = match std::fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => "is empty; write a comment into it if it is to say nothing",
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "is gone; make an empty one with a comment in it if it is to say nothing"
        }
        _ => return None,
    };
    Some(ConfigError { path: path.to_owned(), line: None, key: None, message: message.to_owned() })
}

/// The text, from its beginning.
fn whole(mut reader: BufReader<File>) -> Result<String, String> {
    let mut text = String::new();
    let limit = MAX_CONFIG_BYTES as u64 + 1;
    match reader.rewind().and_then(|()| reader.take(limit).read_to_string(&mut text)) {
        Ok(length) if length > MAX_CONFIG_BYTES => Err(too_large()),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err("is not UTF-8 text".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn row_91_what_is_not_a_trustworthy_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(load(&path).unwrap(), Config::default());

        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(load(&path).unwrap_err().message.contains("can be written by others (mode 0666)"));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert_eq!(load(&path).unwrap_err().message, "is owned by uid 12345, not by you (uid 0)");
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
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(load(&path).unwrap_err().message.contains("not a regular file"));

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(load(&path).is_err());
    }
}
