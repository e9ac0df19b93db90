//! Follows a path as the kernel does, one part at a time.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::{STICKY, TrustError};

/// How many symbolic links are followed; the kernel has the same limit.
const MAX_LINKS: usize = 40;

/// A folder, a symbolic link or a file on the way.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its path; no folder before it is a symbolic link.
    pub path: PathBuf,
    /// Its kind, owner and mode.
    pub metadata: Metadata,
    /// Whether every user can create files beside it.
    pub(crate) is_in_sticky_folder: bool,
}

/// The parts of a path, from the root to the file. Ends after an error.
#[derive(Debug)]
pub struct Walk {
    /// The folder of the next part.
    here: PathBuf,
    is_here_sticky: bool,
    /// The parts that follow, the last one first.
    ahead: Vec<PathBuf>,
    links: usize,
}

impl Walk {
    /// Starts at the root.
    ///
    /// # Errors
    /// `Io` if the path is relative and the current folder does not exist.
    pub fn new(path: &Path) -> Result<Self, TrustError> {
        let path = std::path::absolute(path).map_err(|error| TrustError::io(path, &error))?;
        let mut ahead = parts(&path);
        ahead.push("/".into());
        Ok(Self { here: PathBuf::new(), is_here_sticky: false, ahead, links: 0 })
    }

    fn step(&mut self, part: &Path) -> Result<Part, TrustError> {
        if part == Path::new("..") {
            self.here.pop();
        }
        let path = if part == Path::new("..") { self.here.clone() } else { self.here.join(part) };
        let failed = |error| TrustError::io(&path, &error);
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        let is_in_sticky_folder = part != Path::new("..") && self.is_here_sticky;
        if metadata.is_symlink() {
            self.links += 1;
            if self.links > MAX_LINKS {
                return Err(TrustError::Io { path, errno: Errno::LOOP });
            }
            let target = fs::read_link(&path).map_err(failed)?;
            self.ahead.extend(parts(&target));
            if target.is_absolute() {
                self.ahead.push("/".into());
            }
        } else {
            self.here.clone_from(&path);
            self.is_here_sticky = metadata.is_dir() && metadata.mode() & STICKY != 0;
        }
        Ok(Part { path, metadata, is_in_sticky_folder })
    }
}

impl Iterator for Walk {
    type Item = Result<Part, TrustError>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.ahead.pop()?;
        let step = self.step(&part);
        if step.is_err() {
            self.ahead.clear();
        }
        Some(step)
    }
}

/// Returns the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev();
    parts
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().into())
        .collect()
}
