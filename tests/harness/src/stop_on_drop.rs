use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it is dropped. Threads that work until the flag is set then end also after a failed assertion; otherwise their
/// scope would wait for them, and the test would hang instead of failing.
#[derive(Debug)]
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
