//! The one source of time of a test's world.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// A clock that every part of the world shares; a clone shows the same time.
///
/// A manual clock stands still until it is moved. A system clock goes on by itself, and moving it gives it an offset,
/// as a person does who sets the machine's clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Kind>>);

#[derive(Debug)]
enum Kind {
    System { ahead: Duration, behind: Duration },
    Manual(SystemTime),
}

impl Clock {
    /// A clock that follows the machine's.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Kind::System { ahead: Duration::ZERO, behind: Duration::ZERO })))
    }

    /// A clock that shows `at` until it is moved.
    pub fn manual(at: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(Kind::Manual(at))))
    }

    /// What the clock shows.
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

    /// Sets the clock; a system clock goes on from there.
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

/// The only place of the harness that asks the machine what time it is.
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
    fn a_manual_clock_moves_only_when_moved_and_clones_share_it() {
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
    fn a_system_clock_keeps_its_offset() {
        let clock = Clock::system();
        clock.set(UNIX_EPOCH + HOUR);
        let shown = clock.now().duration_since(UNIX_EPOCH).unwrap();
        assert!(shown >= HOUR && shown < HOUR + Duration::from_secs(5), "{shown:?}");
        clock.advance(HOUR);
        assert!(clock.now() >= UNIX_EPOCH + 2 * HOUR);
    }
}
