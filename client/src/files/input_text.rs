//! A text that the user hands over as a file, a pipe or standard input.

use std::io::Read;
use std::path::Path;

use super::encoding;
use super::error::FileError;

/// The byte order mark of UTF-8 and UTF-16.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a text of at most `max_bytes` bytes; `-` is standard input. UTF-8 or UTF-16; a byte order mark is not part of the
/// text.
pub(crate) fn read_input(path: &Path, max_bytes: u64) -> Result<String, FileError> {
    let (path, input): (&Path, Box<dyn Read>) = if is_stdin(path) {
        (Path::new("standard input"), Box::new(std::io::stdin().lock()))
    } else {
        let file = std::fs::File::open(path);
        (path, Box::new(file.map_err(|source| FileError::Io { path: path.to_owned(), verb: "open", source })?))
    };
    let mut bytes = Vec::new();
    let read = input.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { path: path.to_owned(), verb: "read", source })?;
    if bytes.len() as u64 > max_bytes {
        return Err(FileError::TooLarge { path: path.to_owned(), max_bytes });
    }
    let Some((text, _)) = encoding::decode(bytes) else { return Err(FileError::NotUtf8 { path: path.to_owned() }) };
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_input_any_encoding_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.txt");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_input(&path, 8)
        };
        assert_eq!(read(b"a\r\nb\n").unwrap(), "a\r\nb\n");
        assert_eq!(read(b"\xef\xbb\xbfa").unwrap(), "a");
        assert_eq!(read(b"\xff\xfea\0b\0").unwrap(), "ab");
        assert_eq!(read(b"12345678").unwrap(), "12345678");
        assert!(matches!(read(b"123456789"), Err(FileError::TooLarge { max_bytes: 8, .. })));
        assert!(matches!(read(b"\xc3"), Err(FileError::NotUtf8 { .. })));
        assert!(matches!(read_input(&folder.path().join("no"), 8), Err(FileError::Io { verb: "open", .. })));
        assert!(matches!(read_input(folder.path(), 8), Err(FileError::Io { verb: "read", .. })));
    }
}
