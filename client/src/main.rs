//! `rolecall`: configures profiles, and is the exec credential plugin that kubectl runs.
//!
//! The C library calls `main` of this file directly. The runtime of the standard library would make 17 system calls before `rolecall token` begins, and
//! read `/proc/self/maps`, for a message about an overflowed stack. The client needs two of its steps: this file handles signals, and
//! [`rolecall::main`] opens closed standard streams.
#![cfg_attr(not(test), no_main)]

/// Tests of a program have a `main` of their own.
#[cfg(not(test))]
#[allow(unsafe_code)]
mod entry {
    use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
    use std::os::unix::ffi::OsStrExt;

    use nix::sys::signal::{SigHandler, Signal, signal};

    extern "C" fn do_nothing(_: c_int) {}

    // SAFETY: no other symbol has this name: `no_main` keeps the compiler from writing one.
    #[unsafe(no_mangle)]
    extern "C" fn main(count: c_int, values: *const *const c_char) -> c_int {
        // A write to a pipe without a reader returns an error.
        // SAFETY: the handler is none of this program's functions, and no other thread runs yet.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
        let argument = |at: usize| {
            // SAFETY: the C library passes an array of `count` strings, which nothing changes and which stay until the process ends.
            let value = unsafe { CStr::from_ptr(*values.add(at)) };
            OsStr::from_bytes(value.to_bytes()).to_owned()
        };
        let arguments: Vec<OsString> = (0..usize::try_from(count).unwrap_or(0)).map(argument).collect();
        if !rolecall::is_plugin_call(&arguments) {
            // And so does one above the limit of a file's size (`ulimit -f`). Programs that this one starts have the default again.
            // The plugin writes to no file.
            // SAFETY: the handler does nothing, and no other thread runs yet.
            let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::Handler(do_nothing)) };
        }
        c_int::from(rolecall::main(arguments))
    }
}
