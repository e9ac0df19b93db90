//! The clock that all parts of a test share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// A clock; clones show the same time.
///
/// A manual clock shows a fixed time until a test moves it. A system clock follows the machine's clock; moving it adds
/// an offset, as setting the machine's time does.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Kind>>);

#[derive(Debug)]
enum Kind {
    System { ahead: Duration, behind: Duration },
    Manual(SystemTime),
}

impl Clock {
    /// A clock that follows the machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Kind::System { ahead: Duration::ZERO, behind: Duration::ZERO })))
    }

    /// A clock that shows `at` until a test moves it.
    pub fn manual(at: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(Kind::Manual(at))))
    }

    /// Returns the current time.
    pub fn now(&self) -> SystemTime {
        match *self.kind() {
            Kind::System { ahead, behind } => machine_now() + ahead - behind,
            Kind::Manual(at) => at,
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        match &mut *self.kind() {
            Kind::System { ahead, .. } => *ahead += by,
            Kind::Manual(at) => *at += by,
        }
    }

    /// Moves the clock back.
    pub fn rewind(&self, by: Duration) {
        match &mut *self.kind() {
            Kind::System { behind, .. } => *behind += by,
            Kind::Manual(at) => *at -= by,
        }
    }

    /// Sets the time. A system clock continues from there.
    pub fn set(&self, to: SystemTime) {
        match &mut *self.kind() {
            Kind::System { ahead, behind } => {
                let machine = machine_now();
                *ahead = to.duration_since(machine).unwrap_or_default();
                *behind = machine.duration_since(to).unwrap_or_default();
            }
            Kind::Manual(at) => *at = to,
        }
    }

    fn kind(&self) -> std::sync::MutexGuard<'_, Kind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

/// The only place in the harness that reads the system time.
#[allow(clippy::disallowed_methods)]
fn machine_now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn manual_clock_moved_shows_new_time_in_clones() {
        let clock = Clock::manual(UNIX_EPOCH + HOUR);
        let other = clock.clone();
        assert_eq!(other.now(), UNIX_EPOCH + HOUR);
        clock.advance(HOUR);
        assert_eq!(other.now(), UNIX_EPOCH + 2 * HOUR);
        other.rewind(HOUR);
        clock.set(clock.now() + HOUR);
        assert_eq!(TimeSource::now(&other), UNIX_EPOCH + 2 * HOUR);
    }

    #[test]
    fn system_clock_set_keeps_offset() {
        let clock = Clock::system();
        let before = machine_now();
        clock.set(UNIX_EPOCH + HOUR);
        let shown = clock.now();
        let passed = machine_now().duration_since(before).unwrap();
        assert!(shown >= UNIX_EPOCH + HOUR && shown <= UNIX_EPOCH + HOUR + passed, "{shown:?}");
        clock.advance(HOUR);
        assert!(clock.now() >= UNIX_EPOCH + 2 * HOUR);
    }
}
