//! Broken set-ups as a user has them: `rolecall doctor` names the cause first and prints what fixes it. Where that is a command
//! of the user, the test runs it, and the doctor then finds nothing.

use std::fs;

use rolecall_harness::{FakeTime, Fault, Op, Output, Role, SignedDuration};
use serde_json::Value;

use crate::files::skipped;
use crate::fixture::{ACCOUNT, ADD, Fixture, HANG_GUARD, REGION, ROLE, kill, profile};

/// An address at which nothing listens.
const CLOSED: &str = "https://127.0.0.1:1";

/// The first problem that the text of the doctor names, or the first warning if there is no problem.
struct Cause {
    code: String,
    finding: Value,
    text: String,
}

impl Cause {
    /// Runs the doctor, which has to end with this code. The data have the same finding.
    #[track_caller]
    fn of(fixture: &Fixture, code: i32) -> Self {
        Self::reported_by(&|arguments| fixture.rolecall(arguments), code)
    }

    #[track_caller]
    fn reported_by(rolecall: &dyn Fn(&[&str]) -> Output, code: i32) -> Self {
        let text = rolecall(&["doctor", "prod"]).assert_code(code).stdout.clone();
        let marked = |mark| text.lines().find(|line| line.starts_with(mark));
        let line = marked("✗ ").or_else(|| marked("! ")).unwrap_or_else(|| panic!("nothing is wrong: {text}"));
        let data = rolecall(&["doctor", "prod", "-o", "json"]).assert_code(code).json();
        let of_profile = data["profiles"][0]["findings"].as_array().cloned().unwrap_or_default();
        let mut all = data["computer"].as_array().unwrap().iter().cloned().chain(of_profile);
        let finding = all.find(|finding| line.ends_with(finding["cause"].as_str().unwrap()));
        let finding = finding.unwrap_or_else(|| panic!("{line}: {data:#}"));
        Self { code: finding["code"].as_str().unwrap().to_owned(), finding, text }
    }

    /// Asserts the kind of the cause, and that the text has its consequence.
    #[track_caller]
    fn assert(self, code: &str) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        if self.finding["state"] == "problem" {
            let consequence = self.finding["consequence"].as_str().unwrap_or_else(|| panic!("{}", self.text));
            assert!(self.text.contains(consequence), "{}", self.text);
        }
        self
    }

    /// Asserts that the text has this fix.
    #[track_caller]
    fn assert_fix(&self, fix: &str) {
        assert!(self.text.contains(&format!("Fix: {fix}")), "{}", self.text);
    }

    /// The first command for the administrator, without the name of the program.
    fn administrator_command(&self) -> Vec<String> {
        let command = self.finding["administrator"]["commands"][0].as_str().unwrap_or_else(|| panic!("{}", self.text));
        assert!(self.text.contains(command), "{}", self.text);
        command.strip_prefix("rolecall ").unwrap().split(' ').map(str::to_owned).collect()
    }
}

#[track_caller]
fn assert_healthy(fixture: &Fixture) {
    let said = fixture.rolecall(&["doctor", "prod"]);
    assert!(!said.assert_ok().stdout.contains("✗ "), "{said}");
    let data = fixture.rolecall(&["doctor", "prod", "-o", "json"]).json();
    assert_eq!(data["profiles"][0]["state"], "ok", "{data:#}");
}

/// Replaces a part of the configuration, and waits until the daemon uses it.
fn reconfigure(fixture: &Fixture, from: &str, to: &str) {
    let text = fs::read_to_string(fixture.config_path()).unwrap();
    assert!(text.contains(from), "{text}");
    fixture.write_config(&text.replace(from, to));
    fixture.rolecall(&["agent", "restart"]).assert_ok();
}

#[test]
fn expired_login_is_fixed_by_a_login() {
    let (fixture, center) = Fixture::with_sso_profile();
    fixture.write_config(&format!(
        "[sources.corp]\naws_profile = \"corp\"\n\n{}\n[endpoints]\nsts = \"{}\"\n",
        profile("prod", "corp", ROLE),
        fixture.aws.endpoint()
    ));
    let log_in = || {
        fixture.rolecall(&["login", "corp", "--renew", "--device", "--no-browser"]).assert_ok();
    };
    center.approve_all();
    log_in();
    fixture.rolecall(&["kubeconfig", "prod"]).assert_ok();
    assert_healthy(&fixture);
    center.revoke_all();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    Cause::of(&fixture, 5).assert("login_expired").assert_fix("rolecall login corp");
    log_in();
    assert_healthy(&fixture);
}

#[test]
fn wrong_source_is_named() {
    let fixture = Fixture::added();
    reconfigure(&fixture, "aws_profile = \"work\"", "aws_profile = \"wrok\"");
    let cause = Cause::of(&fixture, 1).assert("aws_profile_missing");
    assert!(cause.text.contains("wrok"), "{}", cause.text);
    reconfigure(&fixture, "\"wrok\"", "\"work\"");
    assert_healthy(&fixture);
}

#[test]
fn role_that_does_not_trust_the_user_shows_the_statement() {
    let fixture = Fixture::added();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    fixture.aws.update_role(ROLE, |_| Role::new(ROLE));
    let cause = Cause::of(&fixture, 1);
    assert_eq!(cause.code, "trust_policy", "{}", cause.text);
    let request = &cause.finding["administrator"];
    assert!(request["to"].is_string() && cause.text.contains(&fixture.user.arn), "{}", cause.text);
    let said = fixture.rolecall(&["doctor", "prod", "--for-admin"]);
    assert!(said.stdout.contains(ROLE) && said.stdout.contains(&fixture.user.arn), "{said}");
    fixture.aws.update_role(ROLE, |role| role.trusts(&fixture.user.arn));
    assert_healthy(&fixture);
}

#[test]
fn role_that_is_not_mapped_is_fixed_by_the_printed_grant() {
    let fixture = Fixture::added();
    fixture.aws.revoke("prod", REGION, ROLE);
    // The API server keeps a token that it accepted for two minutes.
    fixture.api.clear_token_cache();
    let cause = Cause::of(&fixture, 1).assert("not_mapped");
    assert!(cause.text.contains("You must be logged in to the server (Unauthorized)"), "{}", cause.text);
    let mut grant = cause.administrator_command();
    grant.push("--yes".to_owned());
    fixture.rolecall(&grant.iter().map(String::as_str).collect::<Vec<_>>()).assert_ok();
    assert_healthy(&fixture);
}

#[test]
fn mapping_with_a_path_is_named() {
    let fixture = Fixture::added();
    let admin = format!("arn:aws:iam::{ACCOUNT}:role/admin");
    fixture.aws.add_role(Role::new(&admin).trusts(&fixture.user.arn));
    fixture.aws.grant("prod", REGION, &admin, "admin", &["system:masters"]);
    let options = ["--cluster", "prod", "--region", REGION, "--role-arn", &admin, "--source", "work"];
    fixture.rolecall(&[&["add", "admin"][..], &options].concat()).assert_ok();
    fixture.api.map_role(&format!("arn:aws:iam::{ACCOUNT}:role/team/developers"), "dev", &["view"]);
    fixture.aws.revoke("prod", REGION, ROLE);
    // The API server keeps a token that it accepted for two minutes.
    fixture.api.clear_token_cache();
    let cause = Cause::of(&fixture, 1).assert("mapping_path_in_arn");
    assert!(cause.text.contains("role/team/developers"), "{}", cause.text);
    fixture.api.map_role(ROLE, "dev", &["view"]);
    assert!(
        fixture.rolecall(&["doctor", "prod", "-o", "json"]).assert_ok().json()["profiles"][0]["state"] != "problem"
    );
}

#[test]
fn clock_that_is_wrong_by_seven_minutes_is_named() {
    let fixture = Fixture::added();
    let Some(clock) = FakeTime::new(&fixture.sandbox) else { return skipped("libfaketime") };
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    // The doctor names the nearest minute.
    clock.set(SignedDuration::from_mins(7));
    let daemon = clock.start_daemon(&fixture.sandbox);
    let cause = Cause::of(&fixture, 0).assert("clock_wrong");
    assert!(cause.text.contains("clock is 7 min ahead of AWS"), "{}", cause.text);
    clock.set(SignedDuration::ZERO);
    daemon.terminate();
    daemon.wait_exit(HANG_GUARD);
    assert_healthy(&fixture);
}

#[test]
fn wrong_cluster_name_is_named() {
    let fixture = Fixture::added();
    reconfigure(&fixture, "cluster = \"prod\"", "cluster = \"prdo\"");
    Cause::of(&fixture, 1).assert("cluster_name_wrong").assert_fix("Set cluster = \"prod\" in [profiles.prod]");
    reconfigure(&fixture, "cluster = \"prdo\"", "cluster = \"prod\"");
    assert_healthy(&fixture);
}

#[test]
fn kubeconfig_with_another_server_is_fixed_by_writing_it() {
    let fixture = Fixture::added();
    let text = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    fs::write(fixture.sandbox.kubeconfig(), text.replace(&fixture.api.url(), "https://evil.example")).unwrap();
    Cause::of(&fixture, 1).assert("pin_mismatch").assert_fix("rolecall kubeconfig prod");
    fixture.rolecall(&["kubeconfig", "prod"]).assert_ok();
    assert_healthy(&fixture);
}

/// `aws eks update-kubeconfig --alias prod` writes a context of this name, with a user of its own.
#[test]
fn context_that_aws_overwrote_is_named() {
    let fixture = Fixture::added();
    let arn = format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod");
    let text = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    let user = format!(
        "- name: {arn}\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: aws\n      \
         args: [--region, {REGION}, eks, get-token, --cluster-name, prod, --output, json]\n"
    );
    assert!(text.contains("user: rolecall-prod"), "{text}");
    let text = text.replace("user: rolecall-prod", &format!("user: {arn}"));
    fs::write(fixture.sandbox.kubeconfig(), text.replace("users:\n", &format!("users:\n{user}"))).unwrap();
    let cause = Cause::of(&fixture, 1).assert("context_of_other_tool");
    cause.assert_fix("kubectl config rename-context prod prod-other && rolecall kubeconfig prod");
    if fixture.sandbox.kubectl().is_none() {
        return skipped("kubectl");
    }
    let mut shell = fixture.sandbox.command("sh");
    fixture.sandbox.run(shell.args(["-c", cause.finding["fix"].as_str().unwrap()])).assert_ok();
    assert_healthy(&fixture);
}

#[test]
fn agent_that_hangs_is_fixed_by_a_restart() {
    let fixture = Fixture::added();
    kill("STOP", fixture.daemon_pid());
    Cause::of(&fixture, 3).assert("agent_hung").assert_fix("rolecall agent restart");
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    assert_healthy(&fixture);
}

/// Fault matrix row 34. After an update of the package, the process still has the old version. Both pairs of versions give tokens,
/// of one session.
#[test]
fn agent_of_another_version_is_fixed_by_a_restart() {
    let fixture = Fixture::bare();
    let folder = fixture.sandbox.root().join("bin");
    fs::create_dir(&folder).unwrap();
    // A child process writes the files: Linux cannot execute a file that another thread's child has open for writing.
    let install = |program: &str, filter: &str| {
        let script = format!("{filter} <\"$1\" >\"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"");
        let mut shell = fixture.sandbox.command("sh");
        shell.args(["-c", &script]).arg(folder.join(program)).arg(fixture.sandbox.command(program).get_program());
        fixture.sandbox.run(shell.env("LC_ALL", "C")).assert_ok();
    };
    assert_eq!(env!("CARGO_PKG_VERSION").len(), "0.0.9".len(), "the program keeps its size");
    install("rolecall", "cat");
    let old = format!("sed s/{}/0.0.9/g", env!("CARGO_PKG_VERSION").replace('.', "[.]"));
    install("rolecalld", &old);
    let rolecall =
        |arguments: &[&str]| fixture.sandbox.run(fixture.sandbox.command(folder.join("rolecall")).args(arguments));
    rolecall(&ADD).assert_ok();
    install("rolecalld", "cat");
    let cause = Cause::reported_by(&rolecall, 0).assert("agent_version");
    assert!(cause.text.contains("the agent is 0.0.9"), "{}", cause.text);
    cause.assert_fix("rolecall agent restart");
    rolecall(&["token", "prod"]).assert_ok();
    rolecall(&["agent", "restart"]).assert_ok();
    install("rolecall", &old);
    assert_eq!(rolecall(&["--version"]).assert_ok().stdout, "rolecall 0.0.9\n");
    rolecall(&["token", "prod"]).assert_ok();
    assert_eq!(fixture.assume_role_calls(), 1);
    install("rolecall", "cat");
    let data = rolecall(&["doctor", "prod", "-o", "json"]).assert_ok().json();
    assert!(!data.to_string().contains("agent_version") && data["profiles"][0]["state"] == "ok", "{data:#}");
}

/// A proxy that terminates TLS with a certificate of its own.
#[test]
fn proxy_that_intercepts_sts_is_named() {
    let fixture = Fixture::added();
    fixture.sandbox.write_aws_profile("work", &fixture.user, &fixture.api.url());
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let cause = Cause::of(&fixture, 1).assert("sts_untrusted");
    assert!(cause.text.contains("ca_bundle"), "{}", cause.text);
    fixture.sandbox.write_aws_profile("work", &fixture.user, &fixture.aws.endpoint());
    fixture.aws.fault(Op::GetCallerIdentity, Fault::Html.forever());
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    Cause::of(&fixture, 1).assert("sts_intercepted");
    fixture.aws.clear_faults();
    assert_healthy(&fixture);
}

/// A private endpoint, for example, without a VPN.
#[test]
fn api_server_that_does_not_answer_is_named() {
    let fixture = Fixture::bare();
    fixture.aws.add_cluster(fixture.api.cluster().endpoint(CLOSED));
    fixture.rolecall(&ADD).assert_ok();
    let cause = Cause::of(&fixture, 1).assert("api_server_unreachable");
    assert!(cause.finding["fix"].is_string(), "{}", cause.text);
}
