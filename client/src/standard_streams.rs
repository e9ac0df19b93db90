//! Opens `/dev/null` for each standard stream that is closed at the start (`>&-`), before a file or socket takes its number.
//!
//! A write to standard output would then succeed without effect. [`stdout_was_closed`] lets [`crate::output`] report an error instead.

use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed when this process started. False for a `/dev/null` of the caller.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

/// Opens the closed streams. Ends the process if that fails.
pub(crate) fn open_closed() {
    let closed = closed_streams();
    STDOUT_WAS_CLOSED.store(closed[1], Ordering::Relaxed);
    for _ in closed.into_iter().filter(|is_closed| *is_closed) {
        // The lowest free number is that of the first closed stream.
        match rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
            Ok(null) => _ = null.into_raw_fd(), // stays open
            Err(_) => std::process::abort(),
        }
    }
}

/// Which of standard input, output and error are closed.
fn closed_streams() -> [bool; 3] {
    let (stdin, stdout, stderr) = (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
    // One system call for all three. macOS reports some open devices as closed.
    if cfg!(target_os = "linux") {
        let mut streams = [stdin, stdout, stderr].map(|stream| PollFd::from_borrowed_fd(stream, PollFlags::empty()));
        if rustix::event::poll(&mut streams, Some(&Timespec::default())).is_ok() {
            return streams.map(|stream| stream.revents().contains(PollFlags::NVAL));
        }
    }
    [stdin, stdout, stderr].map(|stream| rustix::io::fcntl_getfd(stream) == Err(rustix::io::Errno::BADF))
}
