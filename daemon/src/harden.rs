//! Hardening of the process before anything else (M1, E1, F3). With `darwin`, the only module with `unsafe`.

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigHandler, Signal};
use rolecall_protocol::location::{CREDENTIAL_VARIABLES, SHELL_PREFIX};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// The option of a restart, which passes descriptors.
const HANDOVER_OPTION: &[u8] = b"--handover";

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

/// What the kernel allowed before the process was hardened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardened {
    /// Other processes of the user could open the process's memory between the start of the program and its hardening.
    pub was_dumpable: bool,
}

/// Hardens the process: private files, no core dump, no debugger. Renames the variables of the shell that would change what the
/// daemon does, and removes those that hold credentials.
///
/// # Safety
///
/// Call it before any thread is started: it changes the environment.
pub unsafe fn harden_process() -> Result<Hardened, HardenError> {
    let was_dumpable = forbid_dumps()?;
    // SAFETY: the caller promises that nothing has been started yet, so no descriptor belongs to this process.
    unsafe { close_inherited() };
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // One byte and not zero: a core pattern that is a pipe ignores a limit of zero. A maximum of zero cannot be raised.
    let limit = getrlimit(Resource::Core).maximum.map_or(1, |maximum| maximum.min(1));
    setrlimit(Resource::Core, Rlimit { current: Some(limit), maximum: Some(limit) }).map_err(HardenError::Core)?;
    raise_file_limit();
    unblock_signals();
    // SAFETY: the handler does nothing.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::Handler(do_nothing)) };
    use_one_heap();
    #[allow(clippy::disallowed_methods)] // renames variables
    let found: Vec<_> = std::env::vars_os().collect();
    for (name, value) in found {
        let Some(text) = name.to_str().filter(|name| is_foreign(name)) else { continue };
        // SAFETY: the caller promises that there is no other thread.
        unsafe { std::env::remove_var(&name) };
        if !CREDENTIAL_VARIABLES.contains(&text) {
            // SAFETY: as above.
            unsafe { std::env::set_var(format!("{SHELL_PREFIX}{text}"), value) };
        }
    }
    Ok(Hardened { was_dumpable })
}

/// The handler of SIGXFSZ: a write above the limit of a file's size (`ulimit -f`) fails like any other, and does not end the process.
/// A program that this process starts has the default again, which it would not have if the signal were ignored.
extern "C" fn do_nothing(_: nix::libc::c_int) {}

/// Closes the file descriptors that the process got from the one that started it, such as a lock or a pipe of a script: the
/// daemon would hold them for days. Those of a restart and of a service manager stay.
///
/// # Safety
///
/// Call it before anything in this process opens a descriptor.
unsafe fn close_inherited() {
    let is_restart = std::env::args_os().any(|argument| argument.as_encoded_bytes().starts_with(HANDOVER_OPTION));
    #[cfg(target_os = "linux")]
    #[allow(clippy::disallowed_methods)] // how systemd passes sockets
    let passed = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u16>().ok()).unwrap_or_default();
    if is_restart {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the caller promises that no descriptor from 3 on is in use. The call cannot fail for these arguments, or does not
    // exist before Linux 5.9, where the descriptors stay open.
    unsafe {
        let first = nix::libc::c_uint::from(passed) + 3;
        nix::libc::syscall(nix::libc::SYS_close_range, first, nix::libc::c_uint::MAX, 0_u32);
    }
    // launchd passes sockets on request only.
    #[cfg(target_os = "macos")]
    // SAFETY: the caller promises that no descriptor from 3 on is in use.
    unsafe {
        crate::darwin::close_descriptors();
    }
}

/// Makes the process not dumpable, and returns whether it was dumpable before. Sets the process's name, which the kernel takes
/// from the file: a restart executes a file in memory.
#[cfg(target_os = "linux")]
fn forbid_dumps() -> Result<bool, HardenError> {
    use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
    let was_dumpable = dumpable_behavior().map_err(HardenError::Dumpable)? == DumpableBehavior::Dumpable;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardenError::Dumpable)?;
    let _ = rustix::thread::set_name(c"rolecalld");
    Ok(was_dumpable)
}

/// Forbids debuggers. No restart on macOS keeps state that could have been read before, so the answer is no.
#[cfg(target_os = "macos")]
fn forbid_dumps() -> Result<bool, HardenError> {
    crate::darwin::deny_debuggers().map(|()| false).map_err(HardenError::Dumpable)
}

/// An open program with its arguments and this process's environment. It is prepared before a `fork`, after which a child of a
/// process with threads must not allocate.
#[cfg(target_os = "linux")]
pub struct Executable {
    program: OwnedFd,
    arguments: Vec<*const nix::libc::c_char>,
    environment: Vec<*const nix::libc::c_char>,
    /// What the pointers point at.
    _strings: Vec<CString>,
}

// SAFETY: the pointers are read only, and point into the strings that the value owns.
#[cfg(target_os = "linux")]
unsafe impl Send for Executable {}
// SAFETY: as above.
#[cfg(target_os = "linux")]
unsafe impl Sync for Executable {}

#[cfg(target_os = "linux")]
impl Executable {
    /// Prepares the program. Errors if an argument contains a NUL byte.
    pub fn new(program: OwnedFd, arguments: &[OsString]) -> io::Result<Self> {
        use std::os::unix::ffi::OsStringExt;
        #[allow(clippy::disallowed_methods)] // the next program has the same environment
        let variables = std::env::vars_os().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        });
        let strings = arguments.iter().cloned().chain(variables).map(|string| CString::new(string.into_vec()));
        let strings = strings.collect::<Result<Vec<_>, _>>()?;
        let (first, rest) = strings.split_at(arguments.len());
        let pointers = |strings: &[CString]| {
            strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        Ok(Self { program, arguments: pointers(first), environment: pointers(rest), _strings: strings })
    }

    /// Replaces this process by the program. Returns only if that fails.
    #[must_use]
    pub fn replace_this_process(&self) -> io::Error {
        use std::os::fd::AsRawFd;
        // SAFETY: both arrays end with a null pointer, and their strings live as long as `self`.
        unsafe {
            nix::libc::fexecve(self.program.as_raw_fd(), self.arguments.as_ptr(), self.environment.as_ptr());
        }
        io::Error::last_os_error()
    }

    /// Returns a command whose child is replaced by the program.
    #[must_use]
    pub fn into_command(self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("rolecalld");
        // SAFETY: the closure makes one system call in the child and does not allocate.
        unsafe {
            command.pre_exec(move || Err(self.replace_this_process()));
        }
        command
    }
}

/// Gives the calling thread its own descriptor table, so that no child of another thread inherits what this thread makes
/// inheritable.
#[cfg(target_os = "linux")]
pub fn own_descriptor_table() -> io::Result<()> {
    use nix::libc;
    // Containers often forbid unshare(2), which kernels before 5.9 need.
    // SAFETY: the range has no open descriptor, so the call closes none.
    let unshared = unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, libc::CLOSE_RANGE_UNSHARE) };
    if unshared == 0 {
        return Ok(());
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).map_err(Into::into)
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

/// How much of its stack an idle thread wipes. Calls of the SDK, with TLS and signing, need less.
const WIPED_STACK_BYTES: usize = 128 * 1024;

/// Wipes the unused stack of the calling thread: functions that have returned leave copies of secrets there, such as the key block of
/// a signature, which the allocator does not see (row 48).
#[inline(never)]
#[allow(clippy::large_stack_arrays)] // it covers the frames of the functions that have returned
pub fn wipe_stack() {
    let mut unused = [0_u8; WIPED_STACK_BYTES];
    std::hint::black_box(&mut unused);
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

/// Gives free pages of the heap back to the system, and pages of the program and its libraries: the system keeps those in its
/// file cache, and maps the ones that run again. Most of them run once, at the start or for a call to AWS.
pub fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) takes a number. The callback gets the objects of the process one after the other, see below.
    unsafe {
        nix::libc::malloc_trim(0);
        nix::libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut());
    }
}

/// Unmaps the pages of one loaded object that this process cannot write to. The next access maps them again.
///
/// # Safety
///
/// `object` points to a valid description with its segments, which dl_iterate_phdr(3) promises.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" fn release_object(
    object: *mut nix::libc::dl_phdr_info,
    _size: nix::libc::size_t,
    _data: *mut nix::libc::c_void,
) -> nix::libc::c_int {
    use nix::libc::{MADV_DONTNEED, PF_W, PT_LOAD, madvise};
    let page = rustix::param::page_size() as u64;
    // SAFETY: see above.
    let (base, segments) = unsafe {
        let object = &*object;
        (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_flags & PF_W == 0) {
        let start = (base + segment.p_vaddr) / page * page;
        let end = (base + segment.p_vaddr + segment.p_memsz).next_multiple_of(page);
        let Ok(length) = usize::try_from(end - start) else { continue };
        // SAFETY: the pages are those of a file and have not been written to: relocations are in writable segments. The call
        // fails for an object without a file (vdso(7)), which changes nothing.
        unsafe { madvise(start as *mut _, length, MADV_DONTNEED) };
    }
    0
}

/// Receives the signals that end it: a client that restores its terminal at a signal starts the daemon with these blocked.
fn unblock_signals() {
    // Cannot fail with an empty mask.
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
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

/// Whether a variable would choose the daemon's identity, its endpoints, its trusted CAs, its proxy, its code, or the time zone of
/// `allowed_hours` (E1).
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
    ["RUST_LOG", "TZ", "TZDIR"].contains(&name)
        || CREDENTIAL_VARIABLES.contains(&name)
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

    /// Fault matrix row 48.
    #[test]
    #[cfg(target_os = "linux")]
    fn stack_of_returned_functions_is_wiped() {
        use std::os::unix::fs::FileExt;
        const SECRET: &[u8; 16] = b"a secret on it \x01";

        /// Returns the address at which the secret was.
        #[inline(never)]
        fn leave_secret() -> usize {
            let mut frame = [0_u8; 16 * 1024];
            frame[..SECRET.len()].copy_from_slice(std::hint::black_box(SECRET));
            std::hint::black_box(&mut frame).as_ptr() as usize
        }

        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut found = [0; SECRET.len()];
        let address = leave_secret() as u64;
        memory.read_exact_at(&mut found, address).unwrap();
        assert_eq!(&found, SECRET);
        wipe_stack();
        memory.read_exact_at(&mut found, address).unwrap();
        assert_eq!(found, [0; SECRET.len()]);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn release_memory_unmaps_code_that_runs_again() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            size.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = resident();
        release_memory();
        assert!(resident() < before);
        assert_eq!("7".parse::<u8>(), Ok(7));
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
            "TZ",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        assert!(CREDENTIAL_VARIABLES.iter().all(|name| is_foreign(name)));
        for name in ["HOME", "AWS_CONFIG_FILE", "PATH", "ROLECALL_SHELL_AWS_PROFILE", "NOTIFY_SOCKET"] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
