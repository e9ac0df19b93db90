//! A network namespace for one test: a loopback interface, which is down at first, and files that replace the resolver
//! configuration of the machine.

use std::path::Path;
use std::process::Command;

use super::signals;

/// Paths of `ip`. PATH may not contain /sbin.
const IP: [&str; 4] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];

/// The network of the threads and programs that the body of [`Network::isolated`] starts.
#[derive(Debug)]
pub struct Network {
    ip: &'static str,
}

impl Network {
    /// Runs `body` on a thread in a network namespace and a mount namespace of its own. The servers and programs that
    /// it starts are inside too. Returns `None`, without running `body`, if the permission for namespaces or iproute2
    /// is missing.
    pub fn isolated<T: Send>(body: impl FnOnce(&Self) -> T + Send) -> Option<T> {
        let ip = IP.into_iter().find(|path| Path::new(path).is_file())?;
        let inside = move || {
            // Namespaces belong to this thread and to what it starts; other tests are not affected.
            enter_namespaces()?;
            // Mounts in this namespace do not propagate.
            run(Command::new("/usr/bin/mount").args(["--make-rprivate", "/"])).then(|| body(&Self { ip }))
        };
        std::thread::scope(|scope| {
            // A panic of the thread is a panic of the test.
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Brings the network up.
    pub fn up(&self) {
        self.ip(&["link", "set", "lo", "up"]);
    }

    /// Takes the network down and removes its address: a connect fails immediately with "network unreachable".
    pub fn down(&self) {
        self.lose_carrier();
        self.ip(&["address", "flush", "dev", "lo"]);
    }

    /// Takes the interface down and keeps its address: packets are lost, and a connect gets no response.
    pub fn lose_carrier(&self) {
        self.ip(&["link", "set", "lo", "down"]);
    }

    /// Mounts a file over one of the machine (`/etc/resolv.conf`, `/etc/hosts`). Later writes to it are visible in
    /// both places.
    pub fn overlay(&self, file: &Path, place: &str) {
        assert!(run(Command::new("/usr/bin/mount").arg("--bind").arg(file).arg(place)), "cannot mount on {place}");
    }

    /// Removes a mount of [`Network::overlay`].
    pub fn remove_overlay(&self, place: &str) {
        // A failing test shows its own message.
        assert!(run(Command::new("/usr/bin/umount").arg(place)) || std::thread::panicking(), "cannot unmount {place}");
    }

    fn ip(&self, arguments: &[&str]) {
        assert!(run(Command::new(self.ip).args(arguments)), "ip {arguments:?} failed");
    }
}

#[cfg(target_os = "linux")]
fn enter_namespaces() -> Option<()> {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).ok()
}

/// Other systems have no namespaces.
#[cfg(not(target_os = "linux"))]
fn enter_namespaces() -> Option<()> {
    None
}

fn run(command: &mut Command) -> bool {
    signals::reset_in_children();
    command.env_clear().status().is_ok_and(|status| status.success())
}
