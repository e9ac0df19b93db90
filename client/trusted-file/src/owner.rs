//! The owner of a file, also in a user namespace.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::PartKind;
use crate::{TrustError, Writers};

/// The user id that a user namespace shows for ids that it does not map, see user_namespaces(7).
const UNMAPPED_UID: u32 = 65534;

/// Checks that the user or root owns a file.
///
/// In a user namespace (`PrivateUsers=` of systemd, for example) files of root may have an unknown owner, who counts as the user. In a
/// folder with the sticky bit, where every user can create files, an unknown owner is another user.
pub(crate) fn check(path: &Path, metadata: &Metadata, is_in_sticky_folder: bool) -> Result<Writers, TrustError> {
    match metadata.uid() {
        0 => Ok(Writers::Root),
        uid if uid == rustix::process::geteuid().as_raw() => Ok(Writers::User),
        UNMAPPED_UID if !is_in_sticky_folder && is_in_user_namespace() => Ok(Writers::User),
        uid => Err(TrustError::ForeignOwner { path: path.to_owned(), kind: PartKind::of(metadata), uid }),
    }
}

/// Whether user ids are mapped, so that the owner of a file may be unknown.
fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map");
    map.is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}
