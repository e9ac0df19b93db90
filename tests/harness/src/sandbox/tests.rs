use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::aws::AccessKey;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn sandbox_new_folders_private_and_paths_short() {
    let sandbox = Sandbox::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, folder) in sandbox.folders() {
        assert_eq!(mode(&folder), 0o700, "{name}");
    }
    assert_eq!(mode(sandbox.root()), 0o700);
    assert_eq!(mode(&sandbox.write("home/a/b", "c")), 0o600);
    assert!(sandbox.runtime_dir().join("rolecall/agent.sock").as_os_str().len() < 60);
    let root = sandbox.root().to_owned();
    drop(sandbox);
    assert!(!root.exists());
}

#[test]
fn command_environment_is_only_the_sandbox() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&mut sandbox.command("env"));
    let mut names: Vec<&str> = output.assert_ok().stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let expected = ["HOME", "LANG", "PATH", "ROLECALL_LOG_LEVEL", "TMPDIR", "TZ", "USER"];
    assert_eq!(names[..7], expected);
    assert!(names[7..].iter().all(|name| name.starts_with("XDG_")), "{names:?}");
    assert!(output.stdout.contains(&format!("HOME={}", sandbox.home().display())));
}

#[test]
fn command_output_captured_and_asserted() {
    let sandbox = Sandbox::new();
    let mut shell = sandbox.command("sh");
    let output = sandbox.run_with_input(shell.args(["-c", "cat; echo oops >&2; exit 3"]), b"{\"a\":1}");
    output.assert_code(3);
    assert_eq!((output.json()["a"].as_i64(), output.stderr.as_str()), (Some(1), "oops\n"));
    assert!(std::panic::catch_unwind(|| output.assert_ok()).is_err());
    assert!(std::panic::catch_unwind(|| output.assert_stdout_empty()).is_err());
    let timed_out = std::panic::catch_unwind(|| {
        let sandbox = Sandbox::new();
        sandbox.run_within(Duration::from_millis(50), sandbox.command("sleep").arg("60"))
    });
    assert!(timed_out.is_err());
}

#[test]
fn daemon_stopped_and_terminated_is_reaped() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo bye >&2; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let daemon = sandbox.spawn_daemon(sandbox.command("sh").args(["-c", script]));
    daemon.wait_ready(LIMIT);
    daemon.stop();
    daemon.terminate();
    assert!(daemon.is_running());
    daemon.resume();
    assert_eq!(daemon.wait_exit(LIMIT).code(), Some(7));
    daemon.wait_stderr("bye", LIMIT);
    daemon.kill();

    let unready = sandbox.spawn_daemon(sandbox.command("sh").args(["-c", "echo not yet; exit 1"]));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unready.wait_ready(LIMIT))).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn background_process_killed_with_leftovers() {
    let sandbox = Sandbox::new();
    let background = "sleep 300 </dev/null >/dev/null 2>&1 & echo $!";
    let output = sandbox.run(sandbox.command("sh").args(["-c", background]));
    assert!(!output.pipes_left_open);
    let pid: u32 = output.stdout.trim().parse().unwrap();
    assert_eq!(sandbox.kill_leftovers(), [pid]);
    assert!(sandbox.kill_leftovers().is_empty());
}

#[test]
fn aws_files_have_a_section_per_profile() {
    let sandbox = Sandbox::new();
    let key = |id: &str, token: Option<&str>| AccessKey {
        id: id.to_owned(),
        secret: "s".to_owned(),
        arn: String::new(),
        session_token: token.map(str::to_owned),
    };
    sandbox.write_aws_profile("work", &key("AKIAOLD", None), "http://127.0.0.1:1");
    sandbox.write_aws_profile("work", &key("AKIANEW", None), "http://127.0.0.1:2");
    sandbox.append_aws_config("[profile child]\nsource_profile = work");
    sandbox.write_aws_profile("default", &key("ASIA", Some("t")), "http://127.0.0.1:3");
    let read = |file: &str| fs::read_to_string(sandbox.home().join(".aws").join(file)).unwrap();
    let (config, credentials) = (read("config"), read("credentials"));
    assert!(config.contains("[profile work]\nregion = sa-east-1\nservices = work-embedded\n"));
    let endpoint = "  endpoint_url = http://127.0.0.1:2\n";
    assert!(config.contains(&format!("[services work-embedded]\nsts =\n{endpoint}eks =\n{endpoint}")));
    assert!(config.contains("[default]") && config.ends_with("[profile child]\nsource_profile = work\n"));
    assert!(
        credentials.contains("AKIANEW")
            && !credentials.contains("AKIAOLD")
            && credentials.contains("aws_session_token = t")
    );
}

#[test]
fn aws_role_profile_has_no_access_key() {
    let sandbox = Sandbox::new();
    let role = AwsProfile::role("arn:aws:iam::111122223333:role/hub", "work").with("mfa_serial", "serial");
    sandbox.write_aws_config("hub", &role, "http://127.0.0.1:1");
    let read = |file: &str| fs::read_to_string(sandbox.home().join(".aws").join(file)).unwrap();
    assert!(read("config").starts_with(
        "[profile hub]\nregion = sa-east-1\nservices = hub-embedded\nrole_arn = arn:aws:iam::111122223333:role/hub\n\
         source_profile = work\nmfa_serial = serial\n\n[services hub-embedded]\nsts =\n"
    ));
    assert_eq!(read("credentials"), "");
}
