//! System calls of macOS without a safe wrapper in the libraries that the daemon uses.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::libc::{self, c_char, c_int, proc_bsdinfo};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

/// The size that proc_pidpath(3) wants, in bytes: PROC_PIDPATHINFO_MAXSIZE (sys/proc_info.h).
const MAX_PATH_BYTES: usize = 4096;

// SAFETY: the declaration is that of launch.h.
unsafe extern "C" {
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
}

/// Forbids debuggers of the same user to attach to this process: ptrace(2), PT_DENY_ATTACH.
pub(crate) fn deny_debuggers() -> Result<(), Errno> {
    // SAFETY: this request uses no argument and reads no memory.
    match unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::PERM)),
    }
}

/// Closes every descriptor from 3 on. macOS has no close_range(2).
///
/// # Safety
///
/// Call it before anything in this process opens a descriptor.
pub(crate) unsafe fn close_descriptors() {
    /// The limit of a process whose limit is infinite: OPEN_MAX (sys/syslimits.h).
    const OPEN_MAX: u64 = 10_240;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(OPEN_MAX);
    for number in 3..c_int::try_from(limit.min(OPEN_MAX)).unwrap_or_default() {
        // SAFETY: the caller promises that no descriptor from 3 on is in use.
        unsafe { libc::close(number) };
    }
}

/// Returns the facts about a process of this user, or `None` if there is none: proc_pidinfo(3), PROC_PIDTBSDINFO.
pub(crate) fn process_facts(pid: u32) -> Option<proc_bsdinfo> {
    let pid = c_int::try_from(pid).ok()?;
    let size = c_int::try_from(size_of::<proc_bsdinfo>()).ok()?;
    let mut facts = MaybeUninit::<proc_bsdinfo>::zeroed();
    // SAFETY: the kernel writes at most `size` bytes to the pointer, which has as many.
    let written = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, facts.as_mut_ptr().cast(), size) };
    // SAFETY: the structure has numbers only, for which each bit pattern is a value, and it was zero before.
    (written == size).then(|| unsafe { facts.assume_init() })
}

/// Returns the path of a process's program: proc_pidpath(3).
pub(crate) fn program_path(pid: u32) -> Option<PathBuf> {
    let mut path = [0_u8; MAX_PATH_BYTES];
    let size = u32::try_from(path.len()).ok()?;
    // SAFETY: the kernel writes at most `size` bytes to the pointer, which has as many.
    let length = unsafe { libc::proc_pidpath(c_int::try_from(pid).ok()?, path.as_mut_ptr().cast(), size) };
    let path = path.get(..usize::try_from(length).ok()?).filter(|path| !path.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// Returns the sockets that launchd opened under this name of the job's `Sockets`. Empty if launchd did not start this process,
/// or the job has no sockets of that name.
pub(crate) fn launchd_sockets(name: &CStr) -> io::Result<Vec<OwnedFd>> {
    let (mut numbers, mut count) = (std::ptr::null_mut::<c_int>(), 0);
    // SAFETY: the name ends with a zero, and both pointers are valid for writing.
    match unsafe { launch_activate_socket(name.as_ptr(), &raw mut numbers, &raw mut count) } {
        0 => {}
        // ESRCH: launchd did not start this process. ENOENT: the job has no such name.
        libc::ESRCH | libc::ENOENT => return Ok(Vec::new()),
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    // SAFETY: launchd has stored so many descriptors in an array, which this process frees once and does not use afterwards.
    // Each is open and has no other owner.
    let sockets: Vec<_> = unsafe {
        let sockets = std::slice::from_raw_parts(numbers, count).iter().map(|number| OwnedFd::from_raw_fd(*number));
        let sockets = sockets.collect();
        libc::free(numbers.cast());
        sockets
    };
    for socket in &sockets {
        fcntl_setfd(socket.as_fd(), FdFlags::CLOEXEC)?;
    }
    Ok(sockets)
}
