//! Secrets appear in no log, argument, environment or unexpected file. Every sandbox searches for them after every
//! test; these tests show that the search works, and use every sign-in method once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rolecall_harness::{AwsProfile, Output, Role, SessionBus, within};

use crate::desktop::{self, Desktop};
use crate::files::skipped;
use crate::fixture::{ACCOUNT, Fixture, HANG_GUARD, REGION, ROLE, profile};

const PASSPHRASE: &str = "eleven blue herons";
const CODED: &str = "arn:aws:iam::111122223333:role/coded";

impl Fixture {
    fn shell(&self, script: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = self.sandbox.command("sh");
        command.args(["-c", script, "sh"]).args(arguments).envs(variables.iter().copied());
        self.sandbox.pass_entry_key(&mut command, "prod");
        self.sandbox.run(&mut command)
    }

    /// Repeats the script until the search finds something: it may miss a process that ends immediately.
    #[track_caller]
    fn leaks_of_script(&self, script: &str, variables: &[(&str, &str)], arguments: &[&str]) -> String {
        let found = within(HANG_GUARD, || {
            self.shell(script, variables, arguments).assert_ok();
            Some(self.sandbox.leaks()).filter(|leaks| !leaks.is_empty())
        });
        found.expect("a leak is found").join(", ")
    }
}

/// Fault matrix row 57.
#[test]
fn leak_search_finds_secrets_in_arguments_and_environment() {
    let fixture = Fixture::bare();
    let secret = fixture.user.secret.as_str();
    assert!(fixture.sandbox.leaks().is_empty());
    let seen = fixture.leaks_of_script("sleep 0.02", &[], &[secret]);
    assert_eq!(seen, "a secret access key in the arguments of sh");
    let seen = fixture.leaks_of_script("sleep 0.02", &[("KEY", secret)], &[]);
    assert!(seen.contains("a secret access key in the environment of s") && !seen.contains("arguments"), "{seen}");
    // A daemon hides its environment, but its arguments are visible.
    let session = fixture.aws.session(ROLE, "dev", Duration::from_hours(1));
    let daemon =
        fixture.sandbox.spawn_daemon(
            fixture.sandbox.rolecalld().arg("--log-file").arg(
                fixture.sandbox.root().join(session.session_token.unwrap().replace('/', "%2F").get(..200).unwrap()),
            ),
        );
    daemon.wait_ready(HANG_GUARD);
    let seen = fixture.sandbox.leaks().join(", ");
    assert!(seen.contains("a session token in the arguments of rolecalld"), "{seen}");
}

/// Fault matrix row 54.
#[test]
fn leak_search_finds_secrets_in_files_logs_and_output() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    assert!(fixture.sandbox.leaks().is_empty());
    let leaks = |script: &str| {
        fixture.shell(script, &[], &[]).assert_ok();
        fixture.sandbox.leaks().join(", ")
    };
    let log = "a secret access key in the file home/.local/state/rolecall/daemon.log";
    assert_eq!(leaks("cd .local/state/rolecall; cp daemon.log x; base64 -w0 ~/.aws/credentials >>daemon.log"), log);
    assert_eq!(
        leaks("cd .local/state/rolecall; mv x daemon.log; cp ~/.aws/credentials .y; sync"),
        log.replace("daemon.log", ".y")
    );
    assert_eq!(
        leaks("rm .local/state/rolecall/.y; cat .aws/credentials >&2"),
        "a secret access key in standard error of a program"
    );
    // kubectl's user may write tokens to files; the daemon may not.
    assert_eq!(leaks("rolecall token prod >out.json"), "");
    assert_eq!(leaks("cp out.json .config/rolecall/x"), "a session token in the file home/.config/rolecall/x");
    assert_eq!(leaks("rm .config/rolecall/x"), "");
    // The search ignores files that a test wrote, until something else changes them.
    let other = fixture.aws.add_user(ACCOUNT, "other");
    fixture.sandbox.write("home/note", &other.secret);
    assert_eq!(leaks("true"), "");
    assert_eq!(leaks("cat .aws/credentials >>note"), "a secret access key in the file home/note");
    fs::remove_file(fixture.sandbox.home().join("note")).unwrap();
    fixture.sandbox.register_secret("a passphrase", PASSPHRASE);
    fixture.sandbox.write("home/.config/rolecall/phrase", PASSPHRASE);
    assert_eq!(leaks("cp .config/rolecall/phrase y; cp y \"$TMPDIR/x\"; rm y"), "a passphrase in the file tmp/x");
    assert_eq!(leaks("rm \"$TMPDIR/x\""), "");
}

/// Configures a source and a profile for each sign-in method.
fn configure(fixture: &Fixture) {
    let (endpoint, sandbox) = (fixture.aws.endpoint(), &fixture.sandbox);
    let center = fixture.aws.sso();
    center.interval(Duration::from_secs(1));
    let assigned = center.assign("dev", ACCOUNT, "developers");
    sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "developers");
    let ci = "arn:aws:iam::111122223333:role/ci";
    fixture.aws.add_role(Role::new(ci).trusts_web_identity("repo:acme/app"));
    sandbox.write_web_identity("ci", ci, &fixture.aws.web_identity_token("repo:acme/app"), &endpoint);
    let (id, secret) = (&fixture.user.id, &fixture.user.secret);
    let says = format!(r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}"#);
    // This program prints its secret on standard error, and fails when it runs a second time.
    let script =
        format!("#!/bin/sh\necho 'debug: {says}' >&2\n[ -e \"$0.asked\" ] && exit 3\n: >\"$0.asked\"\necho '{says}'\n");
    let script = sandbox.write("home/bin/talks", &script);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    sandbox.write_aws_config("talks", &AwsProfile::process(&script.display().to_string()), &endpoint);
    fixture.aws.update_role(ROLE, |role| role.trusts(&assigned).trusts(ci));
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    fixture.aws.add_role(Role::new(CODED).trusts(&fixture.user.arn).requires_mfa());
    fixture.aws.grant("prod", REGION, CODED, "dev:{{SessionName}}", &["view"]);

    let mut config = fs::read_to_string(fixture.config_path()).unwrap();
    let sources = [
        ("coded", format!("aws_profile = \"work\"\nmfa = {{ serial = \"{serial}\" }}"), CODED),
        ("corp", "aws_profile = \"corp\"".to_owned(), ROLE),
        ("ci", "aws_profile = \"ci\"".to_owned(), ROLE),
        ("talks", "aws_profile = \"talks\"".to_owned(), ROLE),
        ("glass", "keyring = \"glass\"".to_owned(), ROLE),
    ];
    for (name, source, role) in sources {
        config.extend([format!("\n[sources.{name}]\n{source}\n\n"), profile(name, name, role)]);
    }
    fixture.write_config(&config);
}

/// Logs in, gets a token that the cluster accepts for each profile, and logs out.
fn use_every_sign_in(fixture: &Fixture, profiles: &[&str], run: &dyn Fn(&[&str], &str) -> Output) {
    let serial = format!("arn:aws:iam::{ACCOUNT}:mfa/dev");
    run(&["login", "coded", "--code-stdin"], "000000").assert_code(5);
    run(&["login", "coded", "--code-stdin"], &fixture.aws.mfa_code(&serial)).assert_ok();
    fixture.aws.sso().approve_all();
    run(&["login", "corp", "--device"], "").assert_ok();
    for profile in profiles {
        let said = run(&["token", profile], "");
        said.assert_ok();
        fixture.api.username(said.json()["status"]["token"].as_str().unwrap()).unwrap();
    }
    run(&["status"], "").assert_ok();
    run(&["refresh", "talks"], "");
    run(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
    run(&["lock"], "").assert_ok();
    run(&["unlock", "--stdin"], "seven grey geese").assert_code(1);
    run(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    run(&["token", "prod"], "").assert_ok();
    for source in ["coded", "corp"] {
        run(&["logout", source], "").assert_ok();
    }
    run(&["agent", "restart"], "").assert_ok();
    run(&["token", "prod"], "").assert_ok();
}

/// Fault matrix row 54.
#[test]
fn every_sign_in_method_leaks_no_secret() {
    let desktop = Desktop::at(SessionBus::start);
    let (bus, fixture, key) = match desktop {
        Some(Desktop { bus, fixture, key }) => (Some(bus), fixture, Some(key)),
        None => (None, desktop::fixture(), None),
    };
    configure(&fixture);
    for text in [PASSPHRASE, "seven grey geese"] {
        fixture.sandbox.register_secret("a passphrase", text);
    }
    let run = |arguments: &[&str], input: &str| {
        let mut command = fixture.sandbox.rolecall();
        if let Some(bus) = &bus {
            bus.set_address(&mut command);
        }
        fixture.sandbox.run_with_input(command.args(arguments), input.as_bytes())
    };
    let mut profiles = vec!["prod", "coded", "corp", "ci", "talks"];
    if let Some(key) = &key {
        fixture.aws.update_role(ROLE, |role| role.trusts(&key.arn));
        run(&["keys", "put", "glass", "--stdin"], &format!("{}\n{}\n", key.id, key.secret)).assert_ok();
        run(&["keys", "rotate", "glass"], "").assert_ok();
        profiles.push("glass");
    }
    use_every_sign_in(&fixture, &profiles, &run);
    let log = fs::read_to_string(fixture.sandbox.state_home().join("rolecall/daemon.log")).unwrap();
    assert!(log.contains("DEBUG"), "the log has no debug lines: {log}");
    assert_eq!(fixture.sandbox.leaks(), Vec::<String>::new());
    drop(bus);
}

/// Fault matrix row 53. The test endpoints of AWS have no TLS, so secrets on a connection to AWS are visible here.
#[test]
fn daemon_writes_secrets_to_sockets_alone() {
    let fixture = Fixture::configured();
    let trace = fixture.sandbox.root().join("tmp/trace");
    let calls = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg,splice,sendfile";
    let mut command = fixture.sandbox.command("strace");
    command.args(["-f", "-yy", "-xx", "-s", "1000000", "-e", calls, "-o"]).arg(&trace).arg("rolecalld");
    if !fixture
        .sandbox
        .command("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|said| said.status.success())
    {
        return skipped("system calls: strace is not installed, or may not trace");
    }
    let daemon = fixture.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(HANG_GUARD);
    for arguments in [&["token", "prod"][..], &["refresh", "prod"], &["status"], &["show", "prod"]] {
        fixture.rolecall(arguments).assert_ok();
    }
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let traced = within(HANG_GUARD, || {
        let text = fs::read_to_string(&trace).unwrap();
        text.contains("+++ exited with 0 +++").then_some(text)
    });
    fs::remove_file(&trace).unwrap(); // it has the secrets, as the search of the sandbox's files would find
    let traced = traced.expect("the daemon ends");
    let (mut to_sockets, mut elsewhere) = (0, Vec::new());
    for line in traced.lines() {
        let found = fixture.sandbox.secrets_in(&bytes_of(line));
        let is_socket = line.split_once('<').is_some_and(|(_, to)| to.starts_with("UNIX") || to.starts_with("TCP"));
        if is_socket {
            to_sockets += found.len();
        } else if !found.is_empty() {
            elsewhere.push(format!("{found:?} in {}", line.get(..100).unwrap_or(line)));
        }
    }
    assert!(to_sockets > 0, "the trace has no token");
    assert_eq!(elsewhere, Vec::<String>::new());
}

/// Returns the bytes that strace prints in hexadecimal.
fn bytes_of(line: &str) -> Vec<u8> {
    let digits = line.split("\\x").skip(1);
    digits.filter_map(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok()).collect()
}
