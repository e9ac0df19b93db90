//! The user's environment: HOME, the modes of files, and root with the files of another user.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::fixture::{ADD, Fixture, HANG_GUARD, REGION, error_line, profile};

/// Without HOME, no command asks the password database: the installed client is static and would crash in NSS.
#[test]
fn missing_home_is_an_error_with_exit_1() {
    let fixture = Fixture::configured();
    for arguments in [&["status"][..], &["token", "prod"], &["list"], &["add", "x", "--region", REGION], &["login"]] {
        let run = |home: Option<&str>| {
            let mut command = fixture.sandbox.rolecall();
            command.args(arguments).env_clear();
            if let Some(home) = home {
                command.env("HOME", home);
            }
            error_line(&fixture.sandbox.run(&mut command), 1)
        };
        let hint = "Set HOME to the absolute path of your home folder";
        let line = run(None);
        assert!(line.contains("HOME is not set. ") && line.ends_with(hint), "{arguments:?}: {line}");
        let line = run(Some("home"));
        assert!(line.contains("HOME is not an absolute path: home. ") && line.ends_with(hint), "{arguments:?}: {line}");
    }
}

/// `~` in a completed path is the home folder too.
#[test]
fn completion_without_home_is_an_error() {
    let fixture = Fixture::configured();
    let mut command = fixture.sandbox.rolecall();
    command
        .args(["--", "rolecall", "remove", "prod", "--kubeconfig", "~/"])
        .env_clear()
        .env("ROLECALL_COMPLETE", "bash");
    assert!(error_line(&fixture.sandbox.run(&mut command), 1).contains("HOME is not set. "));
}

/// A file that the agent refuses is refused before AWS is called and before a success is reported.
#[test]
fn config_that_others_can_write_is_refused_with_chmod() {
    let fixture = Fixture::bare();
    fixture.write_config("# mine\n");
    let mode = |mode| fs::set_permissions(fixture.config_path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o646);
    let path = fixture.config_path().display().to_string();
    let expected = format!(
        "rolecall: other users can write {path} (mode 0646), and so choose what Rolecall does. Nothing was written. \
         Fix it with: chmod go-w {path}"
    );
    assert_eq!(error_line(&fixture.rolecall(&ADD), 1), expected);
    assert!(fixture.aws.log().is_empty());
    assert_eq!(fs::read_to_string(fixture.config_path()).unwrap(), "# mine\n");
    assert!(!fixture.sandbox.kubeconfig().exists());

    mode(0o600);
    fixture.rolecall(&ADD).assert_ok();
    mode(0o666);
    for arguments in [&["remove", "prod"][..], &["keys", "put", "k", "--source", "--stdin"]] {
        let line = error_line(&fixture.rolecall(arguments), 1);
        assert!(line.contains("(mode 0666)") && line.ends_with(&format!("chmod go-w {path}")), "{line}");
    }
}

#[test]
fn root_with_the_files_of_a_user_is_named() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let fixture = Fixture::configured();
    std::os::unix::fs::chown(fixture.config_path(), Some(23456), None).unwrap();
    let line = error_line(&fixture.rolecall(&ADD), 1);
    assert!(line.contains("belongs to another user (uid 23456)"), "{line}");
    assert!(line.ends_with("Rolecall runs as root: run it without sudo, as the user with uid 23456."), "{line}");
}

/// Fault matrix row 91: with a stranger's configuration, or AWS files that others can write, nothing is run and AWS is not called.
#[test]
fn files_that_others_can_change_are_not_obeyed() {
    let fixture = Fixture::configured();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let aws_config = fixture.sandbox.home().join(".aws/config");
    let marker = fixture.sandbox.root().join("marker");
    let run = format!("\n[profile other]\ncredential_process = touch {}\n", marker.display());
    fs::write(&aws_config, fs::read_to_string(&aws_config).unwrap() + &run).unwrap();
    let other = profile("other", "other", "arn:aws:iam::111122223333:role/dev");
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{config}\n[sources.other]\naws_profile = \"other\"\n{other}"));
    let folder = fixture.config_path().parent().unwrap().to_owned();
    for (path, shown, mode, safe) in [
        (&aws_config, aws_config.display().to_string(), 0o666, 0o600),
        (
            &aws_config.parent().unwrap().to_owned(),
            format!("the folder {}", aws_config.parent().unwrap().display()),
            0o757,
            0o700,
        ),
        (&folder, format!("the folder {}", folder.display()), 0o777, 0o700),
    ] {
        set_mode(path, mode);
        let line = error_line(&fixture.rolecall(&["token", "other"]), 1);
        assert!(line.contains(&format!("other users can write {shown} (mode {mode:04o})")), "{line}");
        assert!(line.contains(&format!("Fix it with: chmod go-w {}", path.display())), "{line}");
        set_mode(path, safe);
        fixture.rolecall(&["agent", "stop"]).assert_ok();
    }
    assert!(!marker.exists());
    assert!(fixture.aws.log().is_empty());
    fixture.token().assert_ok();
    // The program of the profile ran, and printed no credentials.
    error_line(&fixture.rolecall(&["token", "other"]), 1);
    assert!(marker.exists());
}

/// Fault matrix row 91. In a folder such as /tmp, a stranger can create a link where the daemon looks for a file.
#[test]
fn link_of_another_user_is_not_followed() {
    let fixture = Fixture::configured();
    if !rustix::process::geteuid().is_root() {
        writeln!(std::io::stderr(), "SKIPPED: giving links away: only root can").unwrap(); // past the test runner's capture
        return;
    }
    let shared = fixture.sandbox.root().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    let entry = shared.join("config.toml");
    fs::rename(fixture.config_path(), shared.join("mine.toml")).unwrap();
    std::os::unix::fs::symlink("mine.toml", &entry).unwrap();
    std::os::unix::fs::symlink(&entry, fixture.config_path()).unwrap();
    fixture.token().assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    std::os::unix::fs::lchown(&entry, Some(23456), None).unwrap();
    let line = error_line(&fixture.token(), 1);
    assert!(line.contains(&format!("the link {} belongs to another user (uid 23456)", entry.display())), "{line}");
}

/// The settings of an existing profile differ: no login is offered, and AWS is not called.
#[test]
fn add_existing_name_is_refused_before_aws() {
    let fixture = Fixture::configured();
    fixture.aws.outage(&rolecall_harness::Fault::Reset);
    let other = ["add", "prod", "--region", "eu-west-2", "--aws-profile", "work"];
    let line = error_line(&fixture.rolecall(&other), 1);
    assert!(line.contains("the profile prod exists, and it differs: region is eu-west-1"), "{line}");
    assert!(fixture.aws.log().is_empty());
}

/// Fault matrix row 93: a runtime folder in which no socket can be created. (A full folder fails in the same way.)
#[test]
fn token_with_unusable_runtime_folder_runs_without_daemon() {
    let fixture = Fixture::configured();
    let folder = fixture.socket().parent().unwrap().to_owned();
    fs::create_dir_all(folder.join("agent.lock")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let said = fixture.token();
    said.assert_ok();
    assert!(said.json()["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."));
    assert!(said.stderr.contains("cannot open the lock") && said.stderr.lines().count() == 1, "{said}");
    let line = error_line(&fixture.rolecall(&["status"]), 3);
    assert!(line.contains("the agent cannot start: ") && line.contains("cannot open the lock"), "{line}");
}

/// Fault matrix row 50.
#[test]
fn client_is_not_dumpable() {
    let fixture = Fixture::configured();
    let log = fixture.sandbox.write("home/state/rolecall/daemon.log", "here\n");
    let folder = log.parent().unwrap().parent().unwrap().to_owned();
    let mut command = fixture.sandbox.command("setpriv");
    if rustix::process::geteuid().is_root() {
        // The files of root's processes in /proc belong to root in any case.
        command.args(["--reuid=23456", "--regid=23456", "--clear-groups"]);
        for path in [fixture.sandbox.root(), &fixture.sandbox.home(), &folder, &folder.join("rolecall"), &log] {
            std::os::unix::fs::chown(path, Some(23456), None).unwrap();
        }
    }
    command.arg(fixture.sandbox.rolecall().get_program()).args(["agent", "logs", "--follow"]);
    command.env("XDG_STATE_HOME", &folder).env("XDG_RUNTIME_DIR", "/nonexistent").current_dir("/");
    let terminal = fixture.sandbox.terminal(&mut command);
    terminal.wait_for("here", HANG_GUARD);
    let owner =
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{}/environ", terminal.pid())).unwrap());
    assert_eq!(owner, 0);
}

#[test]
fn token_at_a_terminal_is_named_a_secret() {
    let fixture = Fixture::configured();
    let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().args(["token", "prod"]));
    terminal.assert_exit(0, HANG_GUARD);
    let text = terminal.text();
    let (json, note) = text.split_once("\r\n").unwrap();
    assert!(json.starts_with('{') && json.ends_with('}'), "{text}");
    assert_eq!(note, "rolecall: this is a secret: it gives access to the cluster until it expires\r\n");
    // kubectl gets the bytes of the agent.
    assert!(fixture.token().assert_ok().stdout.ends_with('}'));
}
