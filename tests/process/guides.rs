//! The guides in `install/guides`: every command in them runs in a sandbox that fits the guide.
//!
//! A line of a `console` block that begins with `$ ` is a command. It has to succeed; if the block shows an error line of
//! Rolecall below it, it has to fail with that line. A `toml` block has to be a valid configuration. A `text` block holds
//! commands that cannot run here; [`NOT_RUN`] lists each with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{AccessKey, Proxy, Role, Sandbox, SessionBus, Sso, with_entry_keys};

use crate::files::skipped;
use crate::fixture::{ACCOUNT, Fixture, HANG_GUARD, REGION, ROLE};

/// Commands that the tests do not run, and why.
const NOT_RUN: [(&str, &str); 2] = [
    ("k9s --context prod", "k9s is not installed; the plugin runs with the environment of such a program instead"),
    ("sudo loginctl enable-linger \"$USER\"", "it needs systemd as the first process"),
];

/// Commands that ask at a terminal: how a command begins, and each question with its answer.
const DIALOGS: [(&str, &[(&str, Answer)]); 6] = [
    ("rolecall add prod --region eu-west-1 --aws-profile corp", &[("Log in now? [Y/n] ", Answer::Text("\n"))]),
    (
        "rolecall add prod --region eu-west-1 --role-arn arn:aws:iam::111122223333:role/developers --aws-profile work --mfa-serial",
        &[("Log in now? [Y/n] ", Answer::Text("y\n")), ("mfa/dev: ", Answer::MfaCode)],
    ),
    ("rolecall import", &[("[Y/n] ", Answer::Text("y\n"))]),
    ("rolecall shell prod", &[("leave it with: exit", Answer::Text("exit\n"))]),
    (
        "rolecall keys put vault --source",
        &[("Access key id: ", Answer::KeyId), ("Secret access key (not shown): ", Answer::KeySecret)],
    ),
    ("rolecall config edit", &[("is changed and in force", Answer::Text(""))]),
];

/// Stand-ins for programs that are not installed. Each fails unless it gets what the real program gets from Rolecall.
const STAND_INS: [(&str, &str); 4] = [
    ("helm", r#"[ "$1 $3" = "--kube-context list" ] && exec kubectl --context "$2" get pods"#),
    (
        "terraform",
        r#"if [ -n "$KUBE_CONFIG_PATH" ]; then
    exec kubectl --kubeconfig "$KUBE_CONFIG_PATH" ${KUBE_CTX:+--context "$KUBE_CTX"} get pods
elif [ -n "$AWS_PROFILE" ]; then
    process=$(sed -n "/^\[profile $AWS_PROFILE\]/,/^region/s/^credential_process = //p" "$HOME/.aws/config")
    [ -n "$process" ] && exec $process >/dev/null
elif [ -n "$AWS_CONTAINER_CREDENTIALS_FULL_URI" ]; then
    test -s "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
else
    test -n "$AWS_SESSION_TOKEN"
fi"#,
    ),
    ("ykman", r#"[ "$*" = "oath accounts code -s work" ] && cat "$HOME/code""#),
    // The editor of `rolecall config edit`: it adds the line that the guide names.
    ("edit", r#"sed -i "s|^server = .*|&\nproxy_url = \"$PROXY\"|" "$1""#),
];

#[derive(Clone, Copy)]
enum Answer {
    Text(&'static str),
    /// The next code of the device.
    MfaCode,
    KeyId,
    KeySecret,
}

/// What a guide's commands run in. Fields drop in this order: the bus before the sandbox that contains its files.
struct World {
    bus: Option<SessionBus>,
    fixture: Fixture,
    /// The login of IAM Identity Center, which the user confirms at once.
    _center: Option<Sso>,
    /// The MFA device, and how many codes were used.
    device: Option<(String, u32)>,
    /// The access key that the user types.
    key: Option<AccessKey>,
    proxy: Option<Proxy>,
}

impl World {
    fn of(fixture: Fixture) -> Self {
        let world = Self { bus: None, fixture, _center: None, device: None, key: None, proxy: None };
        for (name, script) in STAND_INS {
            let path = world.fixture.sandbox.write(format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        if let Some(kubectl) = world.fixture.sandbox.kubectl() {
            symlink(kubectl.get_program(), world.fixture.sandbox.root().join("bin/kubectl")).unwrap();
        }
        world
    }

    /// The AWS profile `corp` signs in to IAM Identity Center, and the cluster accepts its permission set.
    fn with_sso() -> Self {
        let (fixture, center) = Fixture::with_sso_profile();
        center.approve_all();
        let assigned = center.assign("dev", ACCOUNT, "developers");
        fixture.aws.grant("prod", REGION, &assigned, "dev:{{SessionName}}", &["system:masters"]);
        write_endpoints(&fixture);
        Self { _center: Some(center), ..Self::of(fixture) }
    }

    /// Returns a command that runs a line in a shell, in the home folder.
    fn shell(&self, line: &str) -> Command {
        let sandbox = &self.fixture.sandbox;
        let mut command = sandbox.command("/bin/sh");
        let (_, path) = sandbox.environment().into_iter().find(|(name, _)| *name == "PATH").unwrap();
        let folder = sandbox.root().join("bin");
        command.env("PATH", format!("{}:{}", folder.display(), path.display())).env("EDITOR", folder.join("edit"));
        command.env("PROXY", self.fill_in(PROXY)).args(["-c", line]).current_dir(sandbox.home());
        if let Some(bus) = &self.bus {
            bus.set_address(&mut command);
        }
        command
    }

    /// Replaces what a guide invents by what the sandbox has.
    fn fill_in(&self, text: &str) -> String {
        let proxy = self.proxy.as_ref().map_or_else(|| PROXY.to_owned(), |proxy| format!("http://{}", proxy.addr()));
        text.replace(PROXY, &proxy).replace("/home/dev", self.fixture.sandbox.home().to_str().unwrap())
    }

    /// Returns the device's next code. AWS accepts the codes from 30 s ago to 30 s ahead, and each once.
    fn next_code(&mut self) -> String {
        let (serial, used) = self.device.as_mut().expect("the guide has an MFA device");
        let at = self.fixture.aws.clock().now() + Duration::from_secs(30) * *used;
        *used += 1;
        self.fixture.aws.mfa_code_at(serial, at)
    }

    /// Runs a command of a guide.
    fn run(&mut self, guide: &str, line: &str, shown: &[&str]) {
        if let Some(missing) = self.missing(line) {
            return skipped(&format!("{guide}: {line}: {missing}"));
        }
        let filled = self.fill_in(line);
        if let Some((_, dialog)) = DIALOGS.iter().find(|(start, _)| is_or_begins(line, start)) {
            return self.talk(&filled, dialog);
        }
        if line.starts_with("ykman ") {
            let code = self.next_code();
            self.fixture.sandbox.write("home/code", &code);
        }
        let said = self.fixture.sandbox.run_as_given(&mut self.shell(&filled));
        let Some(error) = shown.iter().find(|line| line.starts_with("rolecall: ")) else {
            assert_eq!(said.code(), Some(0), "{guide}: {line}\n{said}");
            return;
        };
        assert_ne!(said.code(), Some(0), "{guide}: {line}\n{said}");
        assert_eq!(said.stderr.trim_end(), *error, "{guide}: {line}");
    }

    /// Returns the program that a command needs and that is not installed.
    fn missing(&self, line: &str) -> Option<&'static str> {
        let has_kubectl = self.fixture.sandbox.root().join("bin/kubectl").exists();
        if !has_kubectl && ["kubectl", "helm", "KUBE_"].iter().any(|word| line.contains(word)) {
            return Some("kubectl is not installed");
        }
        (self.key.is_some() && self.bus.is_none() && line.contains(" vault")).then_some("there is no keyring")
    }

    /// Runs a command at a terminal, and answers its questions.
    fn talk(&mut self, line: &str, dialog: &[(&str, Answer)]) {
        let terminal = self.fixture.sandbox.terminal(&mut self.shell(line));
        for (question, answer) in dialog {
            terminal.wait_for(question, HANG_GUARD);
            let key = || self.key.as_ref().expect("the guide has an access key");
            let text = match answer {
                Answer::Text(text) => (*text).to_owned(),
                Answer::KeyId => format!("{}\n", key().id),
                Answer::KeySecret => format!("{}\n", key().secret),
                Answer::MfaCode => format!("{}\n", self.next_code()),
            };
            terminal.type_text(&text);
        }
        terminal.assert_exit(0, HANG_GUARD);
    }

    /// Asserts that a block is a valid configuration. The check starts a daemon with it, so it has a sandbox of its own.
    fn check_configuration(&self, guide: &str, text: &str) {
        let sandbox = Sandbox::new();
        sandbox.write("home/.config/rolecall/config.toml", &with_entry_keys(&self.fill_in(text)));
        let said = sandbox.run(sandbox.rolecall().args(["config", "check"]));
        assert_eq!(said.code(), Some(0), "{guide}: {text}\n{said}");
    }

    /// Runs every block of a guide in order.
    fn run_guide(mut self, name: &str) {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        for block in blocks(&text) {
            match block.language {
                "console" => {
                    assert!(block.lines[0].starts_with("$ "), "{name}: {:?}", block.lines);
                    for (at, line) in block.lines.iter().enumerate() {
                        let Some(command) = line.strip_prefix("$ ") else { continue };
                        let shown: Vec<&str> =
                            block.lines[at + 1..].iter().take_while(|line| !line.starts_with("$ ")).copied().collect();
                        self.run(name, command, &shown);
                    }
                }
                "toml" => self.check_configuration(name, &block.lines.join("\n")),
                "text" => {
                    let is_listed = |line: &&str| NOT_RUN.iter().any(|(command, _)| line == command);
                    assert!(block.lines.iter().all(is_listed), "{name}: {:?}", block.lines);
                }
                other => assert!(["ini", "hcl"].contains(&other), "{name}: a block of {other:?} is not tested"),
            }
        }
        if let Some(proxy) = self.proxy.as_ref().filter(|_| self.missing("kubectl").is_none()) {
            assert!(!proxy.targets().is_empty(), "kubectl uses the proxy");
        }
        // A command of `rolecall exec` has the session in its environment.
        let leaks = self.fixture.sandbox.leaks();
        assert!(leaks.iter().all(|leak| leak.contains(" in the environment of ")), "{leaks:?}");
    }
}

const PROXY: &str = "http://proxy.example.com:3128";

struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
}

/// Returns the fenced blocks of a page, also those in a list.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found: Vec<Block<'_>> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_inside = !is_inside;
            if is_inside {
                found.push(Block { language, lines: Vec::new() });
            }
        } else if is_inside {
            found.last_mut().expect("a block began").lines.push(line.trim_start());
        }
    }
    assert!(!is_inside, "the last block has an end");
    found
}

/// Whether the line is this command, or this command with further options. `import --undo` asks nothing.
fn is_or_begins(line: &str, start: &str) -> bool {
    line == start || (start.contains(" add ") && line.starts_with(start))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../install/guides")
}

fn write_endpoints(fixture: &Fixture) {
    let address = fixture.aws.endpoint();
    let endpoints = ["sso", "sso_oidc", "sts", "eks", "iam"].map(|name| format!("{name} = \"{address}\"\n")).concat();
    fixture.write_config(&format!("[endpoints]\n{endpoints}"));
}

/// A kubeconfig whose users run the programs that the guide is about.
fn write_foreign_kubeconfig(fixture: &Fixture) {
    let get_token = ["eks", "get-token", "--cluster-name", "prod", "--region", REGION, "--role-arn", ROLE];
    let vault = [&["exec", "work", "--", "aws"][..], &get_token].concat();
    let assume = [&["work", "--exec", "--", "aws"][..], &get_token].concat();
    let users = [
        ("prod", "aws", [&["--profile", "work"][..], &get_token].concat()),
        ("vaulted", "aws-vault", vault),
        ("assumed", "assume", assume),
        ("signed", "aws-iam-authenticator", vec!["token", "-i", "prod", "-r", ROLE]),
    ];
    let (url, ca) = (fixture.api.url(), fixture.api.ca_base64());
    let clusters = users.each_ref().map(|(name, ..)| {
        format!(
            "- cluster:\n    certificate-authority-data: {ca}\n    server: {url}\n  name: {name}.{REGION}.eksctl.io\n"
        )
    });
    let contexts = users.each_ref().map(|(name, ..)| {
        format!("- context:\n    cluster: {name}.{REGION}.eksctl.io\n    user: {name}\n  name: {name}\n")
    });
    let users = users.map(|(name, program, arguments)| {
        format!(
            "- name: {name}\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      \
             command: {program}\n      args: {arguments:?}\n      env:\n      - name: AWS_PROFILE\n        value: work\n"
        )
    });
    let (clusters, contexts, users) = (clusters.concat(), contexts.concat(), users.concat());
    fixture.sandbox.write(
        "home/.kube/config",
        &format!("apiVersion: v1\nkind: Config\nclusters:\n{clusters}contexts:\n{contexts}users:\n{users}"),
    );
}

#[test]
fn guide_to_identity_center_works() {
    World::with_sso().run_guide("identity-center.md");
}

#[test]
fn guide_to_mfa_works() {
    let fixture = Fixture::bare();
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    let auditor = "arn:aws:iam::111122223333:role/auditor";
    fixture.aws.add_role(Role::new(auditor).trusts(&fixture.user.arn).requires_mfa());
    fixture.aws.update_role(ROLE, Role::requires_mfa);
    World { device: Some((serial, 0)), ..World::of(fixture) }.run_guide("mfa.md");
}

#[test]
fn guide_to_desktop_programs_works() {
    World::of(Fixture::bare()).run_guide("gui.md");
}

#[test]
fn guide_to_terraform_and_helm_works() {
    World::of(Fixture::bare()).run_guide("terraform-helm.md");
}

#[test]
fn guide_to_ci_works() {
    let fixture = Fixture::bare();
    let base = "arn:aws:iam::111122223333:role/ci";
    fixture.aws.add_role(Role::new(base).trusts_web_identity("repo:acme/app"));
    fixture.aws.update_role(ROLE, |role| role.trusts(base));
    let token = fixture.aws.web_identity_token("repo:acme/app");
    fixture.sandbox.write_web_identity("ci", base, &token, &fixture.aws.endpoint());
    World::of(fixture).run_guide("ci.md");
}

#[test]
fn guide_to_containers_and_ssh_works() {
    let world = World::with_sso();
    let text = fs::read_to_string(folder().join("containers-ssh.md")).unwrap();
    let shared = blocks(&text).into_iter().find(|block| block.language == "toml").expect("the shared file");
    world.fixture.sandbox.write("home/app/rolecall.toml", &format!("{}\n", shared.lines.join("\n")));
    world.run_guide("containers-ssh.md");
}

#[test]
fn guide_to_wsl_works() {
    World::of(Fixture::bare()).run_guide("wsl.md");
}

#[test]
fn guide_to_proxies_works() {
    let fixture = Fixture::bare();
    let proxy = Proxy::start(fixture.api.addr(), None);
    let world = World { proxy: Some(proxy), ..World::of(fixture) };
    let certificate = format!("echo {} | base64 -d >corp-ca.pem", world.fixture.api.ca_base64());
    world.fixture.sandbox.run(&mut world.shell(&certificate)).assert_ok();
    world.run_guide("proxies.md");
}

#[test]
fn guide_to_moving_works() {
    let fixture = Fixture::bare();
    write_foreign_kubeconfig(&fixture);
    write_endpoints(&fixture);
    let key = fixture.aws.add_user(ACCOUNT, "vault");
    fixture.aws.update_role(ROLE, |role| role.trusts(&key.arn));
    let bus = SessionBus::missing().is_none().then(|| SessionBus::start(&fixture.sandbox));
    if let Some(bus) = &bus {
        bus.start_keyring();
    }
    World { bus, key: Some(key), ..World::of(fixture) }.run_guide("moving.md");
}

/// Every guide is tested above, or has no commands.
#[test]
fn guides_are_listed_and_tested() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let tests = include_str!("guides.rs");
    for entry in fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in the list");
        assert!(blocks(&text).is_empty() || tests.contains(&format!("run_guide(\"{name}\")")), "{name} is not tested");
    }
}

/// The commands in the sentences and tables of the guides exist.
#[test]
fn commands_in_the_sentences_of_guides_exist() {
    let fixture = Fixture::bare();
    let mut words = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        let text = fs::read_to_string(entry.path()).unwrap();
        let commands = text.split('`').filter_map(|code| code.strip_prefix("rolecall "));
        words.extend(commands.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned));
    }
    assert!(words.len() > 10, "{words:?}");
    for word in words {
        fixture.rolecall(&[&word, "--help"]).assert_ok();
    }
}
