//! A network of a test's own: one loopback interface, which is down at first, and files of its own in place of the
//! machine's resolver configuration.

use std::path::Path;
use std::process::Command;

use super::signals;

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
        self.ip(&["link", "set", "lo", "up"]);
    }

    /// The network goes, and its address with it: whoever connects is told at once that there is no way.
    pub fn down(&self) {
        self.pull();
        self.ip(&["address", "flush", "dev", "lo"]);
    }

    /// The cable is pulled: whoever connects gets no answer.
    pub fn pull(&self) {
        self.ip(&["link", "set", "lo", "down"]);
    }

    /// Puts a file in the place of one of the machine's (`/etc/resolv.conf`, `/etc/hosts`). Writing to it afterwards shows
    /// in both.
    pub fn overlay(&self, file: &Path, place: &str) {
        assert!(run(Command::new("/usr/bin/mount").arg("--bind").arg(file).arg(place)), "cannot mount on {place}");
    }

    /// Takes [`Network::overlay`] back.
    pub fn uncover(&self, place: &str) {
        // While a test is failing already its own message is the one to read.
        assert!(run(Command::new("/usr/bin/umount").arg(place)) || std::thread::panicking(), "cannot unmount {place}");
    }

    fn ip(&self, arguments: &[&str]) {
        assert!(run(Command::new(self.ip).args(arguments)), "ip {arguments:?} has failed");
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
    signals::reset_in_children();
    command.env_clear().status().is_ok_and(|status| status.success())
}
