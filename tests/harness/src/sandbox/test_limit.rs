//! Ends a test process in which a test hangs, so that the whole run ends and names it.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// No test takes this long, also on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);

/// Limits how long the test of this thread takes, until it is dropped. Programs that are no tests have no limit.
#[derive(Debug)]
pub(super) struct TestLimit {
    _ended: Option<Sender<()>>,
}

impl TestLimit {
    pub(super) fn of_this_thread() -> Self {
        // The test runner names the thread of a test after it.
        Self {
            _ended: thread::current()
                .name()
                .filter(|name| *name != "main")
                .map(|name| limit(name.to_owned(), LIMIT, end)),
        }
    }
}

/// Calls `end` with the name after `limit`, unless the sender is dropped before.
fn limit(name: String, limit: Duration, end: fn(&str)) -> Sender<()> {
    let (ended, is_ended) = mpsc::channel();
    thread::spawn(move || {
        if is_ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            end(&name);
        }
    });
    ended
}

fn end(name: &str) {
    // The test runner would keep what `eprintln!` prints until the end of the test.
    let _ = writeln!(io::stderr(), "\ntest {name} hangs: it has been running for {} s", LIMIT.as_secs());
    std::process::exit(101);
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    static ENDED: (Mutex<Vec<String>>, Condvar) = (Mutex::new(Vec::new()), Condvar::new());

    fn record(name: &str) {
        ENDED.0.lock().unwrap().push(name.to_owned());
        ENDED.1.notify_all();
    }

    #[test]
    fn test_that_hangs_ends_the_run() {
        drop(limit("short".to_owned(), Duration::from_mins(1), record));
        let _hangs = limit("hangs".to_owned(), Duration::ZERO, record);
        let (names, changed) = &ENDED;
        let waited =
            changed.wait_timeout_while(names.lock().unwrap(), Duration::from_mins(1), |names| names.is_empty());
        assert_eq!(*waited.unwrap().0, ["hangs"]);
    }
}
