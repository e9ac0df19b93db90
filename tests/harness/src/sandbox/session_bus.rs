//! A session bus with a real GNOME Keyring, as a desktop has.

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

/// Programs of Debian's packages gnome-keyring, dbus-daemon, dbus-bin and libsecret-tools.
const PROGRAMS: [&str; 4] =
    ["/usr/bin/gnome-keyring-daemon", "/usr/bin/dbus-daemon", "/usr/bin/dbus-send", "/usr/bin/secret-tool"];
/// Password of the keyring.
const PASSWORD: &[u8] = b"correct horse";
/// Start timeout of the programs on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const SERVICE: &str = "org.freedesktop.secrets";

/// A session bus, and the keyring on it once it is started. Dropping it kills both.
#[derive(Debug)]
pub struct SessionBus {
    environment: Vec<(&'static str, PathBuf)>,
    root: PathBuf,
    address: String,
    /// Dropped before the bus.
    keyring: Mutex<Option<ChildProcess>>,
    _bus: ChildProcess,
}

impl SessionBus {
    /// Returns the first of the programs that this machine lacks; tests then skip.
    pub fn missing() -> Option<&'static str> {
        PROGRAMS.into_iter().find(|program| !Path::new(program).is_file())
    }

    /// Starts a bus without services. No prompt can be shown, so a call that needs one fails immediately.
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::with_policy(sandbox, "")
    }

    /// Starts a bus whose prompt service never responds, like a desktop where no user answers the prompt.
    pub fn with_unanswered_prompt(sandbox: &Sandbox) -> Self {
        // The bus waits until this program owns the name, and so does the client that needs the prompt.
        let prompter = "org.gnome.keyring.SystemPrompter";
        let service = format!("[D-BUS Service]\nName={prompter}\nExec=/usr/bin/sleep 600\n");
        sandbox.write(format!("bus/services/{prompter}.service"), &service);
        Self::start(sandbox)
    }

    /// Starts a bus whose policy denies every call to the keyring.
    pub fn denying_keyring(sandbox: &Sandbox) -> Self {
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
        let started =
            bus.wait_until(START_TIMEOUT, |state| state.stdout.bytes.contains(&b'\n') || state.status.is_some());
        let address = text(&bus.state().stdout.bytes).trim().to_owned();
        assert!(started && address.starts_with("unix:"), "no bus: {address} {}", text(&bus.state().stderr.bytes));
        let (environment, root) = (sandbox.environment(), sandbox.root().to_owned());
        Self { environment, root, address, keyring: Mutex::default(), _bus: bus }
    }

    /// Starts the keyring with its password and waits until it is on the bus. It contains the items of an earlier
    /// keyring in this sandbox.
    pub fn start_keyring(&self) {
        let mut command = self.command("/usr/bin/gnome-keyring-daemon");
        command.args(["--unlock", "--components=secrets", "--foreground"]);
        let keyring =
            ChildProcess::spawn(&mut command, Some(PASSWORD.to_vec())).expect("gnome-keyring-daemon can be started");
        *self.keyring() = Some(keyring);
        assert!(
            within(START_TIMEOUT, || self.keyring_is_on_bus().then_some(())).is_some(),
            "the keyring is not on the bus"
        );
    }

    /// Locks the login collection, as a desktop does on request.
    pub fn lock(&self) {
        let collection = "array:objpath:/org/freedesktop/secrets/collection/login";
        let output = self.call("/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", &[collection]);
        output.assert_ok();
    }

    /// Sends SIGSTOP to the keyring: it keeps its name and does not respond.
    pub fn pause_keyring(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT to the keyring.
    pub fn resume_keyring(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the keyring and waits until it is off the bus.
    pub fn kill_keyring(&self) {
        drop(self.keyring().take());
        assert!(
            within(START_TIMEOUT, || (!self.keyring_is_on_bus()).then_some(())).is_some(),
            "the keyring is still on the bus"
        );
    }

    /// Stores an item of another application: `attributes` are pairs, as secret-tool takes them.
    pub fn store(&self, label: &str, attributes: &[&str], secret: &[u8]) {
        let mut command = self.command("/usr/bin/secret-tool");
        command.args(["store", "--label", label]).args(attributes);
        output::run(&mut command, Some(secret.to_vec()), START_TIMEOUT).assert_ok();
    }

    /// Returns the secret of an item, if it exists.
    pub fn lookup(&self, attributes: &[&str]) -> Option<String> {
        let output =
            output::run(self.command("/usr/bin/secret-tool").arg("lookup").args(attributes), None, START_TIMEOUT);
        (output.code() == Some(0)).then_some(output.stdout)
    }

    /// Returns whether the bus has started the program that prompts for a password.
    pub fn was_prompted(&self) -> bool {
        let root = self.root.as_os_str().as_encoded_bytes();
        let processes = fs::read_dir("/proc").expect("/proc exists").flatten().map(|entry| entry.path());
        processes.into_iter().any(|process| {
            let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
            read("cmdline").starts_with(b"/usr/bin/sleep\0")
                && read("environ").windows(root.len()).any(|part| part == root)
        })
    }

    /// Returns how many clients have connected so far, including this call: the bus numbers them.
    pub fn connection_count(&self) -> u64 {
        let output = self.call_to("org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId", &[]);
        let number = output.stdout.split("destination=:1.").nth(1).and_then(|rest| rest.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number: {output}"))
    }

    /// Adds the address of the bus to the environment of a command.
    pub fn set_address(&self, command: &mut Command) {
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
    }

    /// Returns the address of the bus.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Returns a command with the environment of the sandbox and the address of this bus.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().envs(self.environment.clone()).current_dir(&self.root);
        self.set_address(&mut command);
        command
    }

    fn keyring_is_on_bus(&self) -> bool {
        let owner = format!("string:{SERVICE}");
        let output = self.call_to("org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", &[&owner]);
        output.stdout.contains("boolean true")
    }

    fn call(&self, path: &str, method: &str, arguments: &[&str]) -> Output {
        self.call_to(SERVICE, path, method, arguments)
    }

    fn call_to(&self, service: &str, path: &str, method: &str, arguments: &[&str]) -> Output {
        let mut command = self.command("/usr/bin/dbus-send");
        command.args(["--session", "--print-reply", &format!("--dest={service}"), path, method]).args(arguments);
        output::run(&mut command, None, START_TIMEOUT)
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
        // If the test fails, the status of the keyring may be the reason.
        if let Some(keyring) = keyring.filter(|_| thread::panicking()) {
            let state = keyring.state();
            drop(writeln!(stderr(), "the keyring: {:?}\n{}", state.status, text(&state.stderr.bytes)));
        }
    }
}
