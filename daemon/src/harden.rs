//! What the process does to itself before anything else (M1, E1, F3). The only module with `unsafe`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Why the process is not safe to put secrets into.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// A core dump could hold credentials.
    #[error("core dumps cannot be turned off: {0}")]
    Core(Errno),
    /// A debugger of the same user could read credentials.
    #[error("reading of the process's memory cannot be turned off: {0}")]
    Dumpable(Errno),
}

/// Closes the process: files for the user alone, no core dump, no debugger, none of the shell's `AWS_*` but those that
/// say where AWS's files are, and a container's credentials.
///
/// # Safety
///
/// Call it before any thread is started: it changes the environment.
pub unsafe fn harden_process() -> Result<(), HardenError> {
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // One byte rather than none: a core pattern that is a pipe ignores a limit of zero. Where zero is all that is
    // allowed, it cannot be raised.
    let most = getrlimit(Resource::Core).maximum.map_or(1, |most| most.min(1));
    setrlimit(Resource::Core, Rlimit { current: Some(most), maximum: Some(most) }).map_err(HardenError::Core)?;
    raise_files();
    share_the_heap();
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(HardenError::Dumpable)?;
    #[allow(clippy::disallowed_methods)] // looks at names, to remove some
    let found = std::env::vars_os();
    for name in strangers(found.filter_map(|(name, _)| name.into_string().ok())) {
        // SAFETY: the caller promises that there is no other thread.
        unsafe { std::env::remove_var(name) };
    }
    Ok(())
}

/// Takes a file descriptor that the program before this one has left open for it. Children do not get it any more.
///
/// Everything that this program opens closes itself at an exec, so what does not was inherited and has no owner yet. Once
/// it is taken it does, so nothing is taken twice; the three standard ones belong to std.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the number is lent to two calls that do no more than look at, and set, a flag of it; the first finds out
    // whether it leads anywhere.
    let lent = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(lent)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF.into());
    }
    fcntl_setfd(lent, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and nobody owns it: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// One heap for all threads: glibc would give each its own, and each keeps what it once needed. A handful of threads that
/// mostly wait do not get in each other's way.
fn share_the_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) takes two numbers; this is before any other thread, as the caller promises.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
    }
}

/// Hundreds of kubectl may call at once. Where the limit cannot be raised, the server takes fewer.
fn raise_files() {
    /// Enough for every connection that the server takes; more would only slow down children that close them all.
    const ENOUGH: u64 = 4096;
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if files.current.is_some_and(|current| current < most) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..files });
    }
}

/// The variables of the shell that would decide who the user is or where AWS is.
fn strangers(names: impl Iterator<Item = String>) -> Vec<String> {
    let kept = [
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        // Where a container's own credentials are: for AWS profiles that name them (credential_source).
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ];
    names.filter(|name| name.starts_with("AWS_") && !kept.contains(&name.as_str()) || name == "RUST_LOG").collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn what_was_inherited_is_taken_once() {
        let open = std::fs::File::open("/dev/null").unwrap();
        assert!(inherited(open.as_raw_fd()).is_err(), "it has an owner");
        fcntl_setfd(&open, FdFlags::empty()).unwrap();
        let number = open.into_raw_fd();
        let taken = inherited(number).unwrap();
        assert!(fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
        assert!(inherited(number).is_err(), "it has an owner by now");
        for nothing in [-1, 0, 1, 2, 1 << 20] {
            assert!(inherited(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn the_shell_does_not_decide_who_the_user_is() {
        let names = ["HOME", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL_STS", "RUST_LOG"];
        let gone = strangers(names.into_iter().map(ToOwned::to_owned));
        assert_eq!(gone, ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL_STS", "RUST_LOG"]);
    }
}
