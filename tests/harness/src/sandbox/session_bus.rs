//! A session bus of its own with a real GNOME Keyring on it, as a desktop has.

use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::environment::Sandbox;
use super::output::{self, Output, text, within};
use super::process::ChildProcess;

/// Where the programs are, all of Debian's packages gnome-keyring, dbus-daemon, dbus-bin and libsecret-tools.
const PROGRAMS: [&str; 4] =
    ["/usr/bin/gnome-keyring-daemon", "/usr/bin/dbus-daemon", "/usr/bin/dbus-send", "/usr/bin/secret-tool"];
/// What the keyring is unlocked with.
const PASSWORD: &[u8] = b"correct horse";
/// What they take to start on a busy machine, at most.
const SOON: Duration = Duration::from_secs(20);
const SERVICE: &str = "org.freedesktop.secrets";

/// A session bus, and the keyring on it once it is started. Dropping it kills both.
#[derive(Debug)]
pub struct SessionBus {
    environment: Vec<(&'static str, PathBuf)>,
    root: PathBuf,
    address: String,
    /// Killed before the bus.
    keyring: Mutex<Option<ChildProcess>>,
    _bus: ChildProcess,
}

impl SessionBus {
    /// The first of the programs that this machine lacks: then there is nothing to test with.
    pub fn missing() -> Option<&'static str> {
        PROGRAMS.into_iter().find(|program| !Path::new(program).is_file())
    }

    /// A bus with nothing on it. Nobody can be asked for a password: a prompt fails at once.
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::with_policy(sandbox, "")
    }

    /// The same on a desktop: a prompt is shown, and nobody ever answers it.
    pub fn with_desktop(sandbox: &Sandbox) -> Self {
        // The bus waits for it to take its name, and so does whoever wants the prompt.
        let prompter = "org.gnome.keyring.SystemPrompter";
        let service = format!("[D-BUS Service]\nName={prompter}\nExec=/usr/bin/sleep 600\n");
        sandbox.write(format!("bus/services/{prompter}.service"), &service);
        Self::start(sandbox)
    }

    /// The same where the bus lets nobody talk to the keyring.
    pub fn denying(sandbox: &Sandbox) -> Self {
        let deny = "<deny send_interface=\"org.freedesktop.Secret.Service\" send_type=\"method_call\"/>";
        Self::with_policy(sandbox, deny)
    }

    fn with_policy(sandbox: &Sandbox, deny: &str) -> Self {
        let folder = sandbox.root().join("bus");
        let config = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n\
             <type>session</type>\n<listen>unix:path={socket}</listen>\n<auth>EXTERNAL</auth>\n\
             <servicedir>{services}</servicedir>\n<policy context=\"default\">\n\
             <allow send_destination=\"*\" eavesdrop=\"true\"/>\n<allow eavesdrop=\"true\"/>\n<allow own=\"*\"/>\n{deny}\n\
             </policy>\n<limit name=\"service_start_timeout\">600000</limit>\n</busconfig>\n",
            socket = folder.join("socket").display(),
            services = folder.join("services").display(),
        );
        let config = sandbox.write("bus/session.conf", &config);
        let mut command = sandbox.command("/usr/bin/dbus-daemon");
        command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--print-address=1"]);
        let bus = ChildProcess::spawn(&mut command, None).expect("dbus-daemon can be started");
        let said = bus.wait_until(SOON, |state| state.stdout.bytes.contains(&b'\n') || state.status.is_some());
        let address = text(&bus.state().stdout.bytes).trim().to_owned();
        assert!(said && address.starts_with("unix:"), "no bus: {address} {}", text(&bus.state().stderr.bytes));
        let (environment, root) = (sandbox.environment(), sandbox.root().to_owned());
        Self { environment, root, address, keyring: Mutex::default(), _bus: bus }
    }

    /// Starts the keyring with its password, and waits until it is there. What an earlier one kept is there still.
    pub fn start_keyring(&self) {
        let mut command = self.command("/usr/bin/gnome-keyring-daemon");
        command.args(["--unlock", "--components=secrets", "--foreground"]);
        let keyring = ChildProcess::spawn(&mut command, Some(PASSWORD.to_vec())).expect("it can be started");
        *self.keyring() = Some(keyring);
        assert!(within(SOON, || self.is_there().then_some(())).is_some(), "the keyring is not on the bus");
    }

    /// Locks every collection, as a desktop does when it is told to.
    pub fn lock(&self) {
        let collection = "array:objpath:/org/freedesktop/secrets/collection/login";
        let said = self.call("/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", &[collection]);
        said.assert_ok();
    }

    /// SIGSTOP: it is there and says nothing.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, and waits until it is off the bus.
    pub fn kill(&self) {
        drop(self.keyring().take());
        assert!(within(SOON, || (!self.is_there()).then_some(())).is_some(), "it is on the bus still");
    }

    /// Puts another application's item there: `attributes` are pairs, as secret-tool takes them.
    pub fn store(&self, label: &str, attributes: &[&str], secret: &[u8]) {
        let mut command = self.command("/usr/bin/secret-tool");
        command.args(["store", "--label", label]).args(attributes);
        output::run(&mut command, Some(secret.to_vec()), SOON).assert_ok();
    }

    /// The secret of an item, if there is one.
    pub fn lookup(&self, attributes: &[&str]) -> Option<String> {
        let said = output::run(self.command("/usr/bin/secret-tool").arg("lookup").args(attributes), None, SOON);
        (said.code() == Some(0)).then_some(said.stdout)
    }

    /// Whether somebody has been asked for a password on this desktop: then the bus has started what asks.
    pub fn was_prompted(&self) -> bool {
        let root = self.root.as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").expect("a Linux").flatten().map(|entry| entry.path());
        processes.into_iter().any(|process| {
            let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
            read("cmdline").starts_with(b"/usr/bin/sleep\0")
                && read("environ").windows(root.len()).any(|part| part == root)
        })
    }

    /// How many programs have connected so far, this look among them: the bus numbers them.
    pub fn connected(&self) -> u64 {
        let said = self.call_to("org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId", &[]);
        let number = said.stdout.split("destination=:1.").nth(1).and_then(|rest| rest.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number: {said}"))
    }

    /// Adds where the bus is to a program's environment.
    pub fn put_into(&self, command: &mut Command) {
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
    }

    /// Where the bus is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// A program of the sandbox's that finds this bus.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().envs(self.environment.clone()).current_dir(&self.root);
        self.put_into(&mut command);
        command
    }

    fn is_there(&self) -> bool {
        let owner = format!("string:{SERVICE}");
        let said = self.call_to("org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", &[&owner]);
        said.stdout.contains("boolean true")
    }

    fn call(&self, path: &str, method: &str, arguments: &[&str]) -> Output {
        self.call_to(SERVICE, path, method, arguments)
    }

    fn call_to(&self, service: &str, path: &str, method: &str, arguments: &[&str]) -> Output {
        let mut command = self.command("/usr/bin/dbus-send");
        command.args(["--session", "--print-reply", &format!("--dest={service}"), path, method]).args(arguments);
        output::run(&mut command, None, SOON)
    }

    fn signal(&self, signal: Signal) {
        self.keyring().as_ref().expect("a keyring was started").signal(signal);
    }

    fn keyring(&self) -> MutexGuard<'_, Option<ChildProcess>> {
        self.keyring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionBus {
    fn drop(&mut self) {
        let keyring = self.keyring().take();
        // A test that fails because the keyring died shows why it did.
        if let Some(keyring) = keyring.filter(|_| thread::panicking()) {
            let state = keyring.state();
            drop(writeln!(stderr(), "the keyring: {:?}\n{}", state.status, text(&state.stderr.bytes)));
        }
    }
}
