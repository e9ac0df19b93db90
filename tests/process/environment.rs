//! The user's environment: HOME, the modes of files, and root with the files of another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{ADD, Fixture, REGION, error_line};

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

/// A file that the agent refuses is refused before AWS is called and before a success is reported.
#[test]
fn config_that_others_can_write_is_refused_with_chmod() {
    let fixture = Fixture::bare();
    fixture.write_config("# mine\n");
    let mode = |mode| fs::set_permissions(fixture.config_path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o664);
    let path = fixture.config_path().display().to_string();
    let expected = format!(
        "rolecall: {path} can be written by other users (mode 0664). Nothing was written. The agent refuses such a \
         file. Fix it: chmod go-w {path}"
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
    assert!(line.ends_with("This command runs as root: run it without sudo, as the user with uid 23456."), "{line}");
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
