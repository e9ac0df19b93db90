//! A network of a test's own: one loopback interface, which is down at first, and files of its own in place of the
//! machine's resolver configuration.

use std::path::Path;
use std::process::Command;

/// Where `ip` is; /sbin is in nobody's PATH for sure.
const IP: [&str; 4] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];

/// The network that the threads and programs which [`Network::alone`]'s body starts live in.
#[derive(Debug)]
pub struct Network {
    ip: &'static str,
}

impl Network {
    /// Runs `body` on a thread in a network namespace and a mount namespace of its own; whatever it starts is in there
    /// too, embedded servers as well as programs. `None`, and nothing was run, where that takes more rights than we have
    /// or iproute2 is not installed.
    pub fn alone<T: Send>(body: impl FnOnce(&Self) -> T + Send) -> Option<T> {
        let ip = IP.into_iter().find(|path| Path::new(path).is_file())?;
        let inside = move || {
            // Both belong to the thread that asks and to what it starts, so the rest of the tests notice nothing.
            leave_the_machines()?;
            // What is mounted in here stays in here.
            run(Command::new("/usr/bin/mount").args(["--make-rprivate", "/"])).then(|| body(&Self { ip }))
        };
        std::thread::scope(|scope| {
            // Its panic is ours.
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The network comes.
    pub fn up(&self) {
        self.set("up");
    }

    /// The network goes: whoever connects is told at once that there is none.
    pub fn down(&self) {
        self.set("down");
    }

    /// Puts a file in the place of one of the machine's (`/etc/resolv.conf`, `/etc/hosts`). Writing to it afterwards shows
    /// in both.
    pub fn overlay(&self, file: &Path, place: &str) {
        assert!(run(Command::new("/usr/bin/mount").arg("--bind").arg(file).arg(place)), "cannot mount on {place}");
    }

    fn set(&self, state: &str) {
        assert!(run(Command::new(self.ip).args(["link", "set", "lo", state])), "cannot set the loopback {state}");
    }
}

#[cfg(target_os = "linux")]
fn leave_the_machines() -> Option<()> {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).ok()
}

/// There are no namespaces.
#[cfg(not(target_os = "linux"))]
fn leave_the_machines() -> Option<()> {
    None
}

fn run(command: &mut Command) -> bool {
    command.env_clear().status().is_ok_and(|status| status.success())
}
