//! Keeps debuggers of the same user away from this process.

/// Keeps other processes of the user from reading this one's memory, which may hold a passphrase or a token.
#[cfg(target_os = "linux")]
pub(crate) fn forbid() {
    // Cannot fail. Without it, a command still works.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Keeps other processes of the user from reading this one's memory, which may hold a passphrase or a token.
#[cfg(target_os = "macos")]
#[allow(unsafe_code)]
pub(crate) fn forbid() {
    use nix::libc;
    // SAFETY: this request uses no argument and reads no memory (ptrace(2)). If it fails, a command still works.
    unsafe {
        libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0);
    }
}
