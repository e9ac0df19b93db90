//! Output and effects of `list`, `show`, `status`, `use`, `remove`, `kubeconfig` and `refresh`.

use std::fs;
use std::process::Stdio;

use rolecall_harness::Role;

use crate::fixture::{ACCOUNT, ADD, ADMINS, Fixture, REGION, ROLE, error_line};

#[test]
fn list_and_show_print_the_profile() {
    let fixture = Fixture::added();
    let said = fixture.rolecall(&["list"]);
    said.assert_ok();
    assert!(said.stdout.lines().next().unwrap().contains("PROFILE"), "{}", said.stdout);
    for part in ["prod", "eu-west-1", "developers", "work"] {
        assert!(said.stdout.lines().nth(1).unwrap().contains(part), "{}", said.stdout);
    }
    assert_eq!(fixture.rolecall(&["list", "-q"]).stdout, "prod\n");
    let said = fixture.rolecall(&["list", "--json"]);
    assert_eq!(said.json()[0]["name"], "prod");

    let said = fixture.rolecall(&["show", "prod"]);
    said.assert_ok();
    for part in [ROLE, "AWS profile work", &fixture.api.url(), "@"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert_eq!(fixture.rolecall(&["show", "prod", "--json"]).json()["role_arn"], ROLE);
    assert_eq!(
        error_line(&fixture.rolecall(&["show", "prdo"]), 1),
        "rolecall: there is no profile \"prdo\". Did you mean prod?"
    );
}

#[test]
fn status_prints_table_and_json() {
    let fixture = Fixture::added();
    fixture.token().assert_ok();
    let said = fixture.rolecall(&["status"]);
    said.assert_ok();
    let row = said.stdout.lines().find(|line| line.starts_with('●')).unwrap();
    assert!(row.contains("prod eu-west-1") && row.contains("developers") && row.contains("59 min left"), "{row}");
    // The daemon renews a session at about half of its lifetime.
    assert!(said.stdout.contains("  NEXT RENEWAL  ") && row.contains("  in "), "{}", said.stdout);
    assert!(fixture.rolecall(&["show", "prod"]).stdout.contains("  next renewal  in "));
    assert!(!said.stdout.contains('\u{1b}'), "no colours into a pipe");
    let status = fixture.rolecall(&["status", "--json"]).json();
    assert_eq!(status["profiles"][0]["state"], "ready");
    assert_eq!(status["daemon"]["protocol"], 1);
    for secret in fixture.aws.secrets() {
        assert!(!status.to_string().contains(&secret));
    }
}

#[test]
fn refresh_takes_several_names_and_all() {
    let fixture = Fixture::with_profiles(3);
    let said = fixture.rolecall(&["refresh", "p0", "p2"]);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("✓ p0: a new session of ") && lines[1].starts_with("✓ p2: "), "{lines:?}");
    assert_eq!(fixture.rolecall(&["refresh", "--all"]).assert_ok().stdout.lines().count(), 3);
    assert_eq!(fixture.assume_role_calls(), 5);
    // An error of one profile does not keep the others from a new session.
    fixture.aws.remove_role(&format!("arn:aws:iam::{ACCOUNT}:role/r0"));
    let said = fixture.rolecall(&["refresh", "p0", "nope", "p1"]);
    said.assert_code(1);
    assert!(said.stdout.starts_with("✓ p1: a new session") && said.stdout.lines().count() == 1, "{said}");
    assert!(said.stderr.contains("rolecall: p0: AWS denied") && said.stderr.contains("no profile \"nope\""), "{said}");
}

#[test]
fn use_sets_current_context_and_rejects_unknown() {
    let fixture = Fixture::added();
    let said = fixture.rolecall(&["use", "prod"]);
    said.assert_ok();
    assert!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains("current-context: prod\n"));
    let said = fixture.rolecall(&["use", "prdo"]);
    said.assert_code(1);
    assert!(said.stderr.contains("prod"), "{}", said.stderr);
    assert!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains("current-context: prod\n"));
}

#[test]
fn remove_deletes_only_what_add_wrote() {
    let fixture = Fixture::bare();
    let path = fixture.sandbox.kubeconfig();
    let theirs =
        "# mine\napiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\ncurrent-context: other\nusers: []\n";
    fixture.sandbox.write(path.strip_prefix(fixture.sandbox.root()).unwrap(), theirs);
    fixture.rolecall(&ADD).assert_ok();
    fixture.token().assert_ok();
    let said = fixture.rolecall(&["remove", "prdo"]);
    said.assert_code(1);
    assert!(said.stderr.contains("prod"), "{}", said.stderr);
    let said = fixture.rolecall(&["remove", "prod", "prod"]);
    assert_eq!(said.assert_ok().stdout.matches("removed the profile prod").count(), 1, "{said}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("# mine\n") && text.contains("current-context: other") && !text.contains("prod"),
        "{text}"
    );
    assert!(!fs::read_to_string(fixture.config_path()).unwrap().contains("profiles.prod"));
    let line = error_line(&fixture.token(), 1);
    assert!(line.contains("there is no profile \"prod\""), "{line}");
}

/// A tunnel: AWS describes another API server than the one that the user gave.
#[test]
fn kubeconfig_keeps_a_given_server() {
    let fixture = Fixture::bare();
    let ca = fixture.sandbox.write("home/ca.pem", fixture.api.ca_pem());
    let url = "https://localhost:8443";
    let given = ["--server", url, "--certificate-authority", ca.to_str().unwrap()];
    fixture.rolecall(&[&ADD[..], &given].concat()).assert_ok();
    fs::remove_file(ca).unwrap();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    assert!(config.contains("certificate_authority_data = "), "{config}");
    let before = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    fs::remove_file(fixture.sandbox.kubeconfig()).unwrap();
    fixture.rolecall(&["kubeconfig", "--all"]).assert_ok();
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), before);
    fixture.rolecall(&["kubeconfig", "prod", "--repin"]).assert_ok();
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), before);
    assert_eq!(fs::read_to_string(fixture.config_path()).unwrap(), config);
    let printed = fixture.rolecall(&["kubeconfig", "prod", "--print"]);
    printed.assert_ok();
    assert!(printed.stdout.contains(url) && printed.stdout.contains("current-context: prod\n"), "{}", printed.stdout);
    // Another certificate authority than the pinned one is refused.
    let other = config.replace("certificate_authority_data = \"", "certificate_authority_data = \"QQ==\" # \"");
    fixture.write_config(&other);
    let said = fixture.rolecall(&["kubeconfig", "prod", "--print"]);
    said.assert_code(1);
    assert!(said.stderr.contains("is not the pinned certificate authority") && said.stdout.is_empty(), "{said:?}");
    // Without the option, AWS is asked again.
    fixture.rolecall(&[&ADD[..], &["--replace"]].concat()).assert_ok();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    assert!(!config.contains("certificate_authority_data") && config.contains(&fixture.api.url()), "{config}");
}

#[test]
fn kubeconfig_print_has_the_good_ones_if_one_fails() {
    let fixture = Fixture::added();
    fixture.aws.add_role(Role::new(ADMINS).trusts(&fixture.user.arn));
    let add = ["add", "gone", "--region", REGION, "--cluster", "prod", "--role-arn", ADMINS, "--aws-profile", "work"];
    fixture.rolecall(&add).assert_ok();
    fixture.aws.deny(ADMINS, "eks:DescribeCluster");
    fixture.aws.deny(&fixture.user.arn, "eks:DescribeCluster");
    let said = fixture.rolecall(&["kubeconfig", "prod", "gone", "--print"]);
    said.assert_code(1);
    assert!(said.stdout.contains("name: prod\n") && !said.stdout.contains("name: gone\n"), "{said:?}");
    assert!(said.stdout.contains("current-context: \"\"\n") && said.stderr.contains("gone"), "{said:?}");
}

#[test]
fn remove_reports_a_context_that_another_tool_changed() {
    let fixture = Fixture::added();
    fixture.rolecall(&["use", "prod"]).assert_ok();
    let path = fixture.sandbox.kubeconfig();
    let text = fs::read_to_string(&path).unwrap();
    let taken =
        text.replace("    cluster: rolecall-prod\n    user: rolecall-prod\n", "    cluster: other\n    user: other\n");
    assert_ne!(taken, text);
    fs::write(&path, taken).unwrap();
    let said = fixture.rolecall(&["remove", "prod"]);
    said.assert_ok();
    assert_eq!(
        said.stdout,
        "✓ removed the profile prod and its cluster and user (in ~/.kube/config); the context prod was changed by \
         another program and stays\n"
    );
    assert!(said.stderr.contains("prod is still your current context, and it is not Rolecall's"), "{}", said.stderr);
    assert!(fs::read_to_string(&path).unwrap().contains("current-context: prod\n"));
}

#[test]
fn kubeconfig_writes_prints_and_checks_the_pin() {
    let fixture = Fixture::added();
    fs::remove_file(fixture.sandbox.kubeconfig()).unwrap();
    fixture.rolecall(&["kubeconfig", "--all"]).assert_ok();
    assert!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains(&fixture.api.url()));
    let said = fixture.rolecall(&["kubeconfig", "prod", "--print"]);
    said.assert_ok();
    assert!(said.stdout.contains("current-context: prod"), "{}", said.stdout);

    // Another cluster now has the same name.
    let other = rolecall_harness::ApiServer::start(rolecall_harness::Clock::system(), &fixture.aws, "prod", REGION);
    fixture.aws.remove_cluster("prod", REGION);
    fixture.aws.add_cluster(other.cluster());
    let said = fixture.rolecall(&["kubeconfig", "prod"]);
    said.assert_code(1);
    assert!(said.stderr.contains("--repin"), "{}", said.stderr);
    assert!(!fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains(&other.url()));
    fixture.rolecall(&["kubeconfig", "prod", "--repin"]).assert_ok();
    assert!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains(&other.url()));
    assert!(fs::read_to_string(fixture.config_path()).unwrap().contains(&other.url()));
}

#[test]
fn refresh_assumes_the_role_again() {
    let fixture = Fixture::added();
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    assert_eq!(fixture.assume_role_calls(), 2);
}

/// Fault matrix row 110.
#[test]
fn token_with_unwritable_stdout_fails_without_panic() {
    let fixture = Fixture::added();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for stdout in [Stdio::from(writer), Stdio::from(full)] {
        let mut command = fixture.sandbox.rolecall();
        fixture.sandbox.pass_entry_key(&mut command, "prod");
        let child = command.args(["token", "prod"]).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("rolecall: ") && said.lines().count() == 1, "{said}");
    }
}

/// Fault matrix row 110. The client opens `/dev/null` for a closed standard output; a `/dev/null` of the caller is no error.
#[test]
fn closed_stdout_fails_and_dev_null_does_not() {
    let fixture = Fixture::added();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let run = |arguments: &str, redirection: &str| {
        let mut shell = fixture.sandbox.command("sh");
        let script = format!("exec rolecall {arguments} {redirection}");
        fixture.sandbox.run(shell.args(["-c", &script]).env("ROLECALL_ENTRY_KEY", &key))
    };
    for arguments in ["token prod", "list", "status -o json", "--help"] {
        let said = run(arguments, ">&-");
        said.assert_code(1);
        let expected = "rolecall: cannot write to standard output: Bad file descriptor";
        assert!(said.stderr.starts_with(expected) && said.stderr.lines().count() == 1, "{arguments}: {said}");
    }
    for redirection in [">/dev/null", "1<>/dev/null", ">/dev/null 2>&-", ">/dev/null <&-"] {
        run("token prod", redirection).assert_ok();
    }
}

#[test]
fn errors_of_every_kind_have_one_prefix() {
    let fixture = Fixture::bare();
    for arguments in [&["foo"][..], &["add"], &["show", "none"], &["token"], &["list", "--what"]] {
        let said = fixture.rolecall(arguments);
        assert!(!said.status.success() && said.stderr.starts_with("rolecall: "), "{arguments:?}: {said}");
    }
}
