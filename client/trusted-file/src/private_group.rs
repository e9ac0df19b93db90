//! The group that distributions create for each user: with umask 002, the user's files are writable by it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The size up to which the lists of users and groups are read.
const MAX_LIST_BYTES: u64 = 4 * 1024 * 1024;

/// Whether a file whose group may write it is writable by the user alone: the group is private, and no access control list names
/// other users. (With a list, the group's permissions in the mode are its mask.)
pub(crate) fn is_writable_by_the_user_alone(path: &Path, gid: u32) -> bool {
    let (uid, own_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    gid == own_gid
        && !has_access_list(path)
        && read("/etc/passwd")
            .zip(read("/etc/group"))
            .is_some_and(|(users, groups)| is_private(&users, &groups, uid, gid))
}

/// Whether a group has the user's name and no other member.
///
/// The lists are read as files, because the static client cannot load the modules of the name service. Groups of a directory
/// service are not in them and count as shared.
fn is_private(users: &str, groups: &str, uid: u32, gid: u32) -> bool {
    let (uid, gid) = (uid.to_string(), gid.to_string());
    let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let users: Vec<_> = users.lines().map(fields).filter(|user| user.len() > 3).collect();
    let Some(name) = users.iter().find(|user| user[2] == uid).map(|user| &user[0]) else { return false };
    let mut groups = groups.lines().map(fields).filter(|group| group.len() > 3 && group[2] == gid);
    let (Some(group), None) = (groups.next(), groups.next()) else { return false };
    group[0] == *name
        && group[3].split(',').all(|member| member.is_empty() || member == name)
        && users.iter().all(|user| user[3] != gid || user[2] == uid)
}

fn read(list: &str) -> Option<String> {
    let mut text = String::new();
    File::open(list).ok()?.take(MAX_LIST_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(target_os = "linux")]
fn has_access_list(path: &Path) -> bool {
    use rustix::io::Errno;

    // A file system without lists has none. Any other error leaves open whether there is one.
    match rustix::fs::lgetxattr_query(path, "system.posix_acl_access") {
        Ok(length) => length > 0,
        Err(error) => !matches!(error, Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS),
    }
}

/// macOS keeps access control lists apart from the mode, whose group bits they do not change.
#[cfg(not(target_os = "linux"))]
fn has_access_list(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::is_private;

    /// Fault matrix row 91: with a list, the group's permissions in the mode are those of other users too.
    #[cfg(target_os = "linux")]
    #[test]
    fn file_with_access_list_is_not_writable_by_the_user_alone() {
        use rustix::fs::XattrFlags;

        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!super::has_access_list(file.path()));
        // The owner and the user 12345 may write: tag, permissions and id of each entry, after the version.
        let entries = [(1_u16, 6_u16, u32::MAX), (2, 6, 12345), (4, 0, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        match rustix::fs::setxattr(file.path(), "system.posix_acl_access", &list, XattrFlags::empty()) {
            Err(rustix::io::Errno::OPNOTSUPP) => return,
            result => result.unwrap(),
        }
        assert!(super::has_access_list(file.path()));
        let gid = rustix::process::getegid().as_raw();
        assert!(!super::is_writable_by_the_user_alone(file.path(), gid));
        assert!(super::has_access_list(std::path::Path::new("/nonexistent/file")));
    }

    #[test]
    fn private_group_has_the_users_name_and_no_other_member() {
        let users = "root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\nops:x:1001:1002::/:/bin/sh\n";
        let groups = |line: &str| format!("root:x:0:\n{line}\n");
        assert!(is_private(users, &groups("dev:x:1000:"), 1000, 1000));
        assert!(is_private(users, &groups("dev:x:1000:dev"), 1000, 1000));
        for shared in
            ["dev:x:1000:ops", "dev:x:1000:dev,ops", "staff:x:1000:", "dev:x:1001:", "dev:x:1000:\ndev2:x:1000:ops"]
        {
            assert!(!is_private(users, &groups(shared), 1000, 1000), "{shared}");
        }
        let users_with_same_group = format!("{users}guest:x:1003:1000::/:/bin/sh\n");
        assert!(!is_private(&users_with_same_group, &groups("dev:x:1000:"), 1000, 1000));
        assert!(!is_private("", &groups("dev:x:1000:"), 1000, 1000));
    }
}
