//! Hardening of the process before anything else (M1, E1, F3). The only module with `unsafe`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rolecall_protocol::location::SHELL_PREFIX;
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Why the process must not hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// A core dump could hold credentials.
    #[error("cannot disable core dumps: {0}")]
    Core(Errno),
    /// A debugger of the same user could read credentials.
    #[error("cannot protect the process's memory: {0}")]
    Dumpable(Errno),
}

/// Hardens the process: private files, no core dump, no debugger. Renames the variables of the shell that would change what the
/// daemon does, and removes those that hold credentials.
///
/// # Safety
///
/// Call it before any thread is started: it changes the environment.
pub unsafe fn harden_process() -> Result<(), HardenError> {
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // One byte and not zero: a core pattern that is a pipe ignores a limit of zero. A maximum of zero cannot be raised.
    let limit = getrlimit(Resource::Core).maximum.map_or(1, |maximum| maximum.min(1));
    setrlimit(Resource::Core, Rlimit { current: Some(limit), maximum: Some(limit) }).map_err(HardenError::Core)?;
    raise_file_limit();
    use_one_heap();
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(HardenError::Dumpable)?;
    #[allow(clippy::disallowed_methods)] // renames variables
    let found: Vec<_> = std::env::vars_os().collect();
    for (name, value) in found {
        let Some(text) = name.to_str().filter(|name| is_foreign(name)) else { continue };
        // SAFETY: the caller promises that there is no other thread.
        unsafe { std::env::remove_var(&name) };
        if !CREDENTIALS.contains(&text) {
            // SAFETY: as above.
            unsafe { std::env::set_var(format!("{SHELL_PREFIX}{text}"), value) };
        }
    }
    Ok(())
}

/// Takes ownership of an inherited file descriptor, and closes it for children.
///
/// Every descriptor that this program opens is close-on-exec, so one that is not was inherited and has no owner yet. Taking it
/// makes it close-on-exec, so no descriptor is taken twice. The three standard ones belong to std.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the descriptor is borrowed for two calls that read and set one of its flags; the first checks that it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(borrowed)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF.into());
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open and has no owner, see above.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes all threads share one heap: glibc gives each thread its own, which keeps freed memory. The few threads here mostly wait
/// and do not contend.
fn use_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) takes two numbers, and the caller promises that there is no other thread.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
    }
}

/// Raises the limit of open files for hundreds of concurrent clients. If that fails, the server accepts fewer.
fn raise_file_limit() {
    /// Enough for every connection of the server. A higher limit slows down children that close all descriptors.
    const FILE_LIMIT: u64 = 4096;
    let files = getrlimit(Resource::Nofile);
    let limit = files.maximum.unwrap_or(FILE_LIMIT).min(FILE_LIMIT);
    if files.current.is_some_and(|current| current < limit) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..files });
    }
}

/// Variables that hold credentials.
const CREDENTIALS: [&str; 4] =
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"];

/// Whether a variable would choose the daemon's identity, its endpoints, its trusted CAs, its proxy, or its code (E1).
fn is_foreign(name: &str) -> bool {
    /// The paths of AWS's files, and a container's own credentials for AWS profiles with `credential_source`.
    const KEPT: [&str; 5] = [
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ];
    let is_any_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    name == "RUST_LOG"
        || name.to_ascii_lowercase().ends_with("_proxy")
        || is_any_of(&["AWS_", "SSL_", "LD_", "DYLD_"]) && !KEPT.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn inherited_descriptor_is_taken_once() {
        let open = std::fs::File::open("/dev/null").unwrap();
        assert!(inherited(open.as_raw_fd()).is_err(), "it has an owner");
        fcntl_setfd(&open, FdFlags::empty()).unwrap();
        let number = open.into_raw_fd();
        let taken = inherited(number).unwrap();
        assert!(fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
        assert!(inherited(number).is_err(), "it has an owner now");
        for invalid in [-1, 0, 1, 2, 1 << 20] {
            assert!(inherited(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn foreign_variables_are_those_that_change_the_daemon() {
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_ENDPOINT_URL_STS",
            "RUST_LOG",
            "SSL_CERT_FILE",
            "https_proxy",
            "LD_PRELOAD",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        for name in ["HOME", "AWS_CONFIG_FILE", "PATH", "ROLECALL_SHELL_AWS_PROFILE", "NOTIFY_SOCKET"] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
