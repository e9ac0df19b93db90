//! `rolecall access` with a real API server and authenticator: changes of aws-auth let principals in and keep them out.
//!
//! The real authenticator reads aws-auth alone. Access entries exist in the embedded EKS, and let no principal in here.

use std::thread;
use std::time::Duration;

use rolecall_harness::{AccessKey, Output, Sandbox, within};
use serde_json::{Value, json};

use crate::config_map::{AwsAuth, WATCH_TIMEOUT};
use crate::control_plane::{ACCOUNT, CLUSTER, REGION};
use crate::fixture::Fixture;

/// How often a command is repeated after a conflict.
const MAX_ATTEMPTS: usize = 5;
/// A user who does not answer for so long is a hanging test.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// The profile `admin` is the role `NAME-admins`, which aws-auth maps as an administrator.
struct Administrator {
    fixture: Fixture,
    role: String,
    /// The text of `mapRoles`, as its author wrote it.
    roles: String,
}

impl Administrator {
    fn new(name: &str) -> Option<Self> {
        let fixture = Fixture::new(name)?;
        let role = fixture.role("admins", &fixture.user.arn);
        let roles = format!(
            "# of the platform team\n- rolearn:   {role}\n  username: 'admin:{{{{SessionName}}}}'\n  groups: [system:masters]  # all rights\n"
        );
        fixture.aws_auth.apply(&[("mapRoles", &roles)]);
        fixture.add("admin", &["--role-arn", &role]);
        Some(Self { fixture, role, roles })
    }

    fn aws_auth(&self) -> &AwsAuth {
        &self.fixture.aws_auth
    }

    /// Runs `rolecall access VERB PROFILE …`.
    #[track_caller]
    fn access(&self, verb: &str, options: &[&str]) -> Output {
        self.fixture.rolecall(&[&["access", verb, "admin"][..], options].concat())
    }

    /// Returns a session of a role.
    fn session(&self, role: &str) -> AccessKey {
        session(&self.fixture, role)
    }

    #[track_caller]
    fn assert_entered_as_administrator(&self) {
        let user = self.fixture.control_plane.whoami(&self.session(&self.role)).unwrap();
        assert!(user["username"].as_str().unwrap().starts_with("admin:"), "{user:#}");
        assert_eq!(user["groups"], json!(["system:masters", "system:authenticated"]));
    }
}

fn session(fixture: &Fixture, role: &str) -> AccessKey {
    fixture.control_plane.aws.session(role, "dev@laptop", Duration::from_hours(1))
}

/// Returns another place with the access key of the fixture's user, which has an agent of its own.
fn colleague(fixture: &Fixture) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_aws_profile("work", &fixture.user, &fixture.control_plane.aws.endpoint());
    sandbox
}

/// Adds a profile of a role.
#[track_caller]
fn add(sandbox: &Sandbox, profile: &str, role: &str) {
    let options = ["--cluster", CLUSTER, "--region", REGION, "--aws-profile", "work", "--role-arn", role];
    sandbox.run(sandbox.rolecall().args(["add", profile]).args(options)).assert_ok();
}

/// Returns a text of aws-auth.
#[track_caller]
fn text(aws_auth: &AwsAuth, key: &str) -> String {
    aws_auth.read().unwrap()["data"][key].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn version(aws_auth: &AwsAuth) -> Value {
    aws_auth.read().unwrap()["metadata"]["resourceVersion"].clone()
}

/// Two administrators with an agent each change aws-auth at the same time: what one has written, the other keeps.
#[test]
fn concurrent_grants_let_in_and_revokes_keep_out() {
    let Some(admin) = Administrator::new("grants") else { return };
    let fixture = &admin.fixture;
    let other = colleague(fixture);
    add(&other, "admin", &admin.role);
    let namespace = fixture.namespace_for_viewers();
    let developers = fixture.role("team/developers", &fixture.user.arn);
    let both = [(&fixture.sandbox, developers), (&other, fixture.user.arn.clone())];
    let option = |arn: &str| if arn.contains(":user/") { "--user" } else { "--role" };

    at_once(&both, |arn| {
        let who = [option(arn), arn, "--group", &namespace, "--username", "granted"];
        [&["access", "grant", "admin", "--yes", "-o", "json"][..], &who]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    });
    let roles = text(admin.aws_auth(), "mapRoles");
    let canonical = both[0].1.replace("team/", "");
    assert!(roles.starts_with(&admin.roles) && roles.contains(&canonical), "{roles}");
    for key in [&admin.session(&both[0].1), &fixture.user] {
        let user = admin.aws_auth().wait_until_accepted(key);
        assert_eq!((&user["username"], &user["groups"][0]), (&json!("granted"), &json!(namespace)), "{user:#}");
    }
    fixture.add("dev", &["--role-arn", &both[0].1]);
    fixture.kubectl("dev", &["get", "pods", "-n", &namespace]).assert_ok();
    let denied = fixture.kubectl("dev", &["get", "pods", "-n", "default"]);
    assert!(denied.stderr.contains("Forbidden"), "{denied}");

    // The second time there is nothing to change.
    let before = version(admin.aws_auth());
    let grant = ["--role", &both[0].1, "--group", &namespace, "--yes", "-o", "json"];
    assert_eq!(admin.access("grant", &grant).assert_ok().json()["results"][0]["action"], "keep");
    assert_eq!(version(admin.aws_auth()), before);

    // With --force there is no check of the caller's access, which takes a quarter of a minute.
    at_once(&both, |arn| {
        ["access", "revoke", "admin", option(arn), arn, "--force", "--yes", "-o", "json"].map(str::to_owned).to_vec()
    });
    assert_eq!(text(admin.aws_auth(), "mapRoles"), admin.roles);
    for key in [&admin.session(&both[0].1), &fixture.user] {
        admin.aws_auth().wait_until_rejected(key);
    }
    let refused = fixture.kubectl("dev", &["get", "pods", "-n", &namespace]);
    admin.assert_entered_as_administrator();
    // The API server keeps the answer about a token for two minutes.
    assert!(refused.code() == Some(0) || refused.stderr.contains("Unauthorized"), "{refused}");
}

/// Runs a command in each sandbox at the same time, and repeats one that reports a conflict.
#[track_caller]
fn at_once(both: &[(&Sandbox, String)], command: impl Fn(&str) -> Vec<String> + Sync) {
    thread::scope(|scope| {
        for (sandbox, arn) in both {
            let command = &command;
            scope.spawn(move || {
                let attempt = || {
                    let said = sandbox.run(sandbox.rolecall().args(command(arn)));
                    let is_conflict = said.code() == Some(1) && said.stderr.contains("Run the command again");
                    (!is_conflict).then(|| said.assert_ok().json())
                };
                let report = (0..MAX_ATTEMPTS).find_map(|_| attempt()).expect("an attempt without conflict");
                assert_eq!((&report["rolled_back"], &report["results"][0]["error"]), (&Value::Null, &Value::Null));
            });
        }
    });
}

#[test]
fn edit_between_plan_and_answer_conflicts_and_stays() {
    let Some(admin) = Administrator::new("conflict") else { return };
    let fixture = &admin.fixture;
    let role = fixture.role("developers", &fixture.user.arn);
    let grant = ["access", "grant", "admin", "--role", &role, "--group", "developers"];
    let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().args(grant));
    terminal.wait_for("[y/N] ", ANSWER_TIMEOUT);
    let colleague =
        format!("{}- rolearn: arn:aws:iam::{ACCOUNT}:role/colleagues\n  username: colleague\n", admin.roles);
    admin.aws_auth().apply(&[("mapRoles", &colleague)]);
    terminal.type_text("y\r");
    terminal.assert_exit(1, ANSWER_TIMEOUT);
    assert!(terminal.text().contains("changed since the plan was shown"), "{}", terminal.text());
    assert_eq!(text(admin.aws_auth(), "mapRoles"), colleague);
}

#[test]
fn change_that_removes_the_own_way_in_is_refused() {
    let Some(admin) = Administrator::new("lastway") else { return };
    let before = version(admin.aws_auth());
    let said = admin.access("revoke", &["--role", &admin.role, "--yes"]);
    said.assert_code(1);
    assert!(said.stderr.contains("your own last way into the cluster"), "{said}");
    assert_eq!(version(admin.aws_auth()), before);
    admin.assert_entered_as_administrator();
}

/// No reading of aws-auth shows this lock-out: the authenticator rejects a session whose name is not the id of an instance,
/// because it cannot fill in `{{EC2PrivateDNSName}}`.
#[test]
fn lock_out_is_rolled_back_and_restore_applies_a_backup() {
    let Some(admin) = Administrator::new("rollback") else { return };
    let whole = admin.aws_auth().read().unwrap()["data"].clone();
    let grant = ["--role", &admin.role, "--username", "system:node:{{EC2PrivateDNSName}}", "--yes", "-o", "json"];
    let said = admin.access("grant", &grant);
    said.assert_code(1);
    let report = said.json();
    let reason = report["rolled_back"]["message"].as_str().unwrap_or_else(|| panic!("{said}"));
    assert!(reason.contains("401"), "{said}");
    assert_eq!(admin.aws_auth().read().unwrap()["data"], whole);
    admin.aws_auth().wait_until_accepted(&admin.session(&admin.role));
    admin.assert_entered_as_administrator();
    let backup = report["backup"].as_str().unwrap();
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(backup).unwrap()).unwrap();
    assert_eq!(saved["data"], whole);

    // A mapping that its author adds by hand, and takes back with the backup.
    let intern = admin.fixture.role("interns", &admin.fixture.user.arn);
    let by_hand = format!("{}- rolearn: {intern}\n  username: intern\n", admin.roles);
    admin.aws_auth().apply(&[("mapRoles", &by_hand)]);
    admin.aws_auth().wait_until_accepted(&admin.session(&intern));
    let said = admin.access("restore", &["--yes"]);
    said.assert_ok();
    assert!(said.stdout.contains("kube-system/aws-auth was written"), "{said}");
    assert_eq!(admin.aws_auth().read().unwrap()["data"], whole);
    admin.aws_auth().wait_until_rejected(&admin.session(&intern));
    admin.assert_entered_as_administrator();
}

/// `list`, `explain` and `lint` say what the authenticator does with each mapping.
#[test]
fn explain_agrees_with_the_authenticator() {
    let Some(admin) = Administrator::new("agree") else { return };
    let fixture = &admin.fixture;
    let role = |kind: &str| fixture.role(kind, &fixture.user.arn);
    let with_path = role("platform/with-path");
    let path_removed = role("platform/path-removed");
    let (capitals, assumed, unmapped, dead) = (role("capitals"), role("assumed"), role("unmapped"), role("no-groups"));
    let session_arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/agree-assumed/dev@laptop");
    let mappings =
        [with_path.clone(), path_removed.replace("platform/", ""), capitals.to_uppercase(), session_arn, dead.clone()];
    let mapping = |arn: &String| format!("- RoleARN: {arn}\n  username: dev\n  Groups: developers\n");
    let roles = format!("{}{}", admin.roles, mappings.iter().map(mapping).collect::<String>());
    admin.aws_auth().apply(&[("mapRoles", &roles)]);

    for (role, expected) in [
        (&with_path, false),
        (&path_removed, true),
        (&capitals, true),
        (&assumed, false),
        (&dead, true),
        (&unmapped, false),
        (&admin.role, true),
    ] {
        let entered = fixture.control_plane.whoami(&admin.session(role));
        assert_eq!(entered.is_ok(), expected, "{role}: {entered:?}");
        let said = admin.access("explain", &["--role", role, "-o", "json"]);
        said.assert_ok();
        assert_eq!(said.json()["can_enter"], expected, "{said}");
    }

    let said = admin.access("list", &["-o", "json"]);
    said.assert_ok();
    let row = |arn: &str| {
        let found = said.json();
        let row = found["rows"].as_array().unwrap().iter().find(|row| row["principal"] == arn).cloned();
        row.unwrap_or_else(|| panic!("{arn}: {said}"))
    };
    let codes = |row: &Value| -> Vec<String> {
        let findings = row["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    let broken = row(&with_path);
    assert_eq!(broken["applies"], false, "{broken:#}");
    assert!(codes(&broken).contains(&"path_in_arn".to_owned()), "{broken:#}");
    assert_eq!(row(&dead)["groups"], Value::Null, "the authenticator ignores a text in place of a list");

    let said = admin.access("lint", &[]);
    said.assert_code(1);
    assert!(said.stdout.contains("agree-with-path"), "{said}");
}

/// One principal is in no mapping and IAM lets it make an access entry; the other one is in `mapUsers`, which a broken
/// `mapRoles` leaves valid.
#[test]
fn recover_repairs_a_broken_aws_auth() {
    let Some(admin) = Administrator::new("recovery") else { return };
    let fixture = &admin.fixture;
    let aws = &fixture.control_plane.aws;
    let users = format!("- userarn: {}\n  username: dev\n  groups:\n    - system:masters\n", fixture.user.arn);
    admin.aws_auth().apply(&[("mapRoles", &admin.roles), ("mapUsers", &users)]);
    let good = admin.aws_auth().read().unwrap()["data"].clone();
    // The change that leaves the backup.
    let granted = fixture.role("granted", &fixture.user.arn);
    admin.access("grant", &["--role", &granted, "--group", "developers", "--force", "--yes"]).assert_ok();

    let broken = format!("{} - rolearn: arn:aws:iam::{ACCOUNT}:role/new\n", admin.roles);
    admin.aws_auth().apply(&[("mapRoles", &broken), ("mapUsers", &users)]);
    admin.aws_auth().wait_until_rejected(&admin.session(&admin.role));
    let stranger = fixture.role("strangers", &fixture.user.arn);
    // An agent makes one change at a time.
    let other = colleague(fixture);
    add(&other, "stranger", &stranger);
    fixture.add("user", &[]);
    let has_entry = |arn: &str| aws.access_entries(CLUSTER, REGION).iter().any(|entry| entry["principalArn"] == arn);

    thread::scope(|scope| {
        let recovering = scope.spawn(|| other.run(other.rolecall().args(["access", "recover", "stranger", "--yes"])));
        let made = within(WATCH_TIMEOUT, || (has_entry(&stranger) || recovering.is_finished()).then_some(()));
        assert!(made.is_some() && has_entry(&stranger), "{}", recovering.join().unwrap());
        assert_eq!(aws.authentication_mode(CLUSTER, REGION), "API_AND_CONFIG_MAP");

        let said = fixture.rolecall(&["access", "recover", "user", "--repair-aws-auth", "--yes"]);
        said.assert_ok();
        assert!(said.stdout.contains("the cluster accepts your role"), "{said}");
        assert_eq!(admin.aws_auth().read().unwrap()["data"], good);
        assert!(has_entry(&fixture.user.arn));
        admin.aws_auth().wait_until_accepted(&admin.session(&admin.role));

        // The entry of the other principal exists, and Rolecall says that this cluster does not accept it.
        let said = recovering.join().unwrap();
        said.assert_ok();
        assert!(said.stdout.contains("your access was not confirmed"), "{said}");
    });
}
