//! The world of the pictures: an embedded AWS, two clusters, and a user's files, at a fixed time of day.

use std::time::{Duration, SystemTime};

use rolecall_harness::{
    ApiServer, Aws, Clock, Daemon, FakeTime, Role, Sandbox, SignedDuration, Sso, Terminal, with_entry_keys,
};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const DEVELOPERS: &str = "arn:aws:iam::111122223333:role/developers";
pub(crate) const AUDITOR: &str = "arn:aws:iam::111122223333:role/auditor";
pub(crate) const PARTNER_RO: &str = "arn:aws:iam::111122223333:role/partner-ro";
/// The time at which each picture begins: 2026-11-30 14:42:05 UTC.
const START: Duration = Duration::from_secs(1_796_049_725);
/// Ends a recording that hangs.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// The terminal of the pictures. The rows are more than any of them has.
const ROWS: u16 = 50;
const COLUMNS: u16 = 112;

/// A cluster's name and region.
pub(crate) const PROD: (&str, &str) = ("prod", "eu-west-1");
pub(crate) const STAGING: (&str, &str) = ("staging", "us-east-1");

pub(crate) struct World {
    pub(crate) aws: Aws,
    pub(crate) prod: ApiServer,
    pub(crate) staging: ApiServer,
    pub(crate) center: Sso,
    pub(crate) sandbox: Sandbox,
    clock: Clock,
    time: FakeTime,
    daemon: Option<Daemon>,
    output: Vec<u8>,
    commands: Vec<String>,
}

impl World {
    /// The AWS profiles `work` (access keys) and `partner` (IAM Identity Center); nothing of Rolecall. Panics without
    /// libfaketime.
    pub(crate) fn new() -> Self {
        let clock = Clock::system();
        clock.set(SystemTime::UNIX_EPOCH + START);
        let aws = Aws::start(clock.clone());
        let user = aws.add_user(ACCOUNT, "dev");
        for role in [DEVELOPERS, AUDITOR] {
            aws.add_role(Role::new(role).trusts(&user.arn));
        }
        let center = aws.sso();
        let assigned = center.assign("dev", ACCOUNT, "partner");
        center.interval(Duration::from_secs(1));
        aws.add_role(Role::new(PARTNER_RO).trusts(&assigned));
        let [prod, staging] = [PROD, STAGING].map(|(name, region)| {
            let server = ApiServer::start(clock.clone(), &aws, name, region);
            aws.add_cluster(server.cluster());
            aws.grant(name, region, DEVELOPERS, "developer:{{SessionName}}", &["system:masters"]);
            server
        });
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        sandbox.write_sso_profile("partner", Some("partner"), &center, ACCOUNT, "partner");
        let time = FakeTime::new(&sandbox).expect("libfaketime is installed: apt install libfaketime");
        let world = Self {
            aws,
            prod,
            staging,
            center,
            sandbox,
            clock,
            time,
            daemon: None,
            output: Vec::new(),
            commands: Vec::new(),
        };
        world.set_machine_time();
        world
    }

    /// Adds four profiles with their contexts, and starts the daemon.
    pub(crate) fn with_profiles() -> Self {
        let mut world = Self::new();
        let sts = world.aws.endpoint();
        let config = format!(
            "[sources.work]\naws_profile = \"work\"\n\n[sources.partner]\naws_profile = \"partner\"\n\n\
             {}protected = true\n{}{}{}[endpoints]\nsts = \"{sts}\"\n",
            profile("prod", PROD, "work", DEVELOPERS),
            profile("staging", STAGING, "work", DEVELOPERS),
            profile("audit", PROD, "work", AUDITOR),
            profile("partner", STAGING, "partner", PARTNER_RO),
        );
        world.sandbox.write("home/.config/rolecall/config.toml", &with_entry_keys(&config));
        world.start_daemon();
        for name in ["prod", "staging", "audit"] {
            world.prepare(&["kubeconfig", name]);
        }
        world.prepare(&["use", "prod"]);
        world
    }

    pub(crate) fn start_daemon(&mut self) {
        self.daemon = Some(self.time.start_daemon(&self.sandbox));
    }

    /// Moves all clocks forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.set_machine_time();
    }

    fn set_machine_time(&self) {
        let since =
            |clock: &Clock| clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let ahead = since(&self.clock) - since(&Clock::system());
        self.time.set(SignedDuration::from_secs_f64(ahead.round()));
    }

    /// Runs a command that is not in the picture.
    pub(crate) fn prepare(&self, arguments: &[&str]) {
        self.sandbox.run(self.sandbox.rolecall().args(arguments).envs(self.time.variables())).assert_ok();
    }

    /// Runs a typed command and adds it and its output to the picture. `answer` acts as the user at the terminal.
    pub(crate) fn run(&mut self, line: &str, exit_code: i32, answer: impl FnOnce(&Terminal)) {
        let terminal = self.start(line);
        answer(&terminal);
        terminal.assert_exit(exit_code, LIMIT);
        self.output.extend(terminal.raw().into_bytes());
    }

    /// As [`World::run`], with the screen at the time at which `is_shown` accepts it. Then the user leaves with Esc.
    pub(crate) fn run_until(&mut self, line: &str, is_shown: impl Fn(&str) -> bool) {
        let terminal = self.start(line);
        terminal.wait_screen(LIMIT, is_shown);
        self.output.extend(terminal.raw().into_bytes());
        terminal.type_text("\u{1b}");
        terminal.wait_exit(LIMIT);
        // The next command is below the list, wherever the list left the cursor.
        let parser = self.screen();
        let rows: Vec<String> = parser.screen().rows(0, COLUMNS).collect();
        let used = rows.iter().rposition(|row| !row.trim().is_empty()).map_or(0, |last| last + 1);
        self.output.extend(format!("\x1b[0m\x1b[{};1H", used + 1).into_bytes());
    }

    fn start(&mut self, line: &str) -> Terminal {
        if !self.output.is_empty() {
            self.output.extend(b"\r\n");
        }
        self.output.extend(format!("\x1b[2m$\x1b[22m \x1b[1m{line}\x1b[0m\r\n").into_bytes());
        self.commands.push(line.to_owned());
        let mut command = self.sandbox.command("sh");
        command.args(["-c", &format!("stty cols {COLUMNS} rows {ROWS}; exec {line}")]).envs(self.time.variables());
        self.sandbox.terminal(&mut command)
    }

    /// Replaces the values between `before` and `after`, which differ from run to run, before the screen is drawn. Panics
    /// unless there are as many as `shown` has.
    pub(crate) fn replace(&mut self, before: &str, after: &str, shown: &[&str]) {
        let text = String::from_utf8(std::mem::take(&mut self.output)).expect("the output is text");
        let mut parts = text.split(before);
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        let mut values = shown.iter();
        for part in parts {
            let value = values.next().unwrap_or_else(|| panic!("more values after {before:?}: {text:?}"));
            let (_, rest) = part.split_once(after).unwrap_or_else(|| panic!("no {after:?} after {before:?}: {text:?}"));
            replaced.extend([before, value, after, rest]);
        }
        assert_eq!(values.next(), None, "values after {before:?}: {text:?}");
        self.output = replaced.into_bytes();
    }

    /// Returns the screen and the typed lines.
    pub(crate) fn finish(self) -> (vt100::Parser, Vec<String>) {
        (self.screen(), self.commands)
    }

    fn screen(&self) -> vt100::Parser {
        let size = |count| std::num::NonZero::new(count).expect("a constant");
        let mut parser = vt100::Parser::new(size(ROWS), size(COLUMNS), 0);
        parser.process(&self.output);
        parser
    }
}

/// Returns a profile for the configuration file.
fn profile(name: &str, (cluster, region): (&str, &str), source: &str, role: &str) -> String {
    format!(
        "[profiles.{name}]\ncluster = \"{cluster}\"\nregion = \"{region}\"\nsource = \"{source}\"\nrole_arn = \"{role}\"\n"
    )
}
