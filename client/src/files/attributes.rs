//! Copies owner, mode, access control list and extended attributes of a file to the file that replaces it.

use std::ffi::CStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::{Gid, Uid, XattrFlags, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The extended attribute in which Linux keeps a file's access control list.
const ACL: &CStr = c"system.posix_acl_access";

/// The size limit of an attribute, which is that of Linux (limits.h, `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`).
const MAX_ATTRIBUTE_BYTES: usize = 64 * 1024;

/// The group's bits of a mode. For a file with an access control list they are its mask: the most that a named user or
/// group gets.
const GROUP_BITS: u32 = 0o070;

/// Removes the access control list that a new file inherits from its folder's default. The file then has its mode alone.
pub(super) fn remove_inherited_acl(file: &File) -> io::Result<()> {
    match fremovexattr(file, ACL) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Copies owner, mode, access control list and other extended attributes from `old` to `new`, which has no access control
/// list. If the group or the list cannot be copied, the group gets no access: its bits have another meaning then.
pub(super) fn copy(old: &File, new: &File) -> io::Result<()> {
    let (before, made) = (old.metadata()?, new.metadata()?);
    let mut mode = (before.mode() & 0o777) | 0o600;
    if made.uid() != before.uid() {
        // Only root may change the owner. Otherwise the file belongs to this user, as with any editor that renames.
        let _unchanged = fchown(new, Some(Uid::from_raw(before.uid())), None);
    }
    if made.gid() != before.gid() && fchown(new, None, Some(Gid::from_raw(before.gid()))).is_err() {
        mode &= !GROUP_BITS;
    }
    for name in names(old)? {
        let copied = value(old, &name).and_then(|value| fsetxattr(new, name.as_c_str(), &value, XattrFlags::empty()));
        // Attributes of the system, such as a security label, are set by the system if this process may not.
        if copied.is_err() && name.as_c_str() == ACL {
            remove_inherited_acl(new)?;
            mode &= !GROUP_BITS;
        }
    }
    // After the list: setting the list changes the mode, and setting the mode changes the mask of the list.
    new.set_permissions(Permissions::from_mode(mode))
}

/// Returns the names of the extended attributes; none on a file system without them.
fn names(file: &File) -> io::Result<Vec<std::ffi::CString>> {
    let mut list = vec![0; MAX_ATTRIBUTE_BYTES];
    match flistxattr(file, list.as_mut_slice()) {
        Ok(length) => list.truncate(length),
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    }
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| std::ffi::CString::new(name).ok()).collect())
}

fn value(file: &File, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; MAX_ATTRIBUTE_BYTES];
    let length = fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}
