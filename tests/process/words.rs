//! What is said is true, is said once, and says what to do next.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{World, one_line};

#[test]
fn a_configuration_that_was_never_good_is_no_empty_one() {
    let world = World::configured();
    world.write_config("[profiles.prod]\ncluster = 3\n");
    let said = world.rolecall(&["status"]);
    said.assert_ok();
    assert_eq!(said.stderr, "");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("! ") && lines[0].contains("config.toml:2: profiles.prod.cluster: "), "{lines:?}");
    assert_eq!(&lines[1..], ["  No profile is served until this is fixed."]);
    for arguments in [&["list"][..], &["list", "-q"], &["list", "--json"], &["kubeconfig", "--all"]] {
        let line = one_line(&world.rolecall(arguments), 1);
        assert!(line.contains("config.toml:2: profiles.prod.cluster: "), "{line}");
        assert!(line.ends_with(". No profile is served until this is fixed"), "{line}");
    }
    let said = world.rolecall(&["agent", "status"]);
    said.assert_ok();
    let row = format!("  config    {} (broken, see rolecall status)\n", world.config_path().display());
    assert!(said.stdout.contains(&row), "{}", said.stdout);
}

#[test]
fn a_configuration_that_broke_later_leaves_the_good_one_in_force() {
    let world = World::added();
    world.write_config("[profiles.prod]\ncluster = 3\n");
    // An unknown name makes the daemon look at the file, whether its watch has told it or not.
    world.rolecall(&["show", "nobody"]).assert_code(1);
    let said = world.rolecall(&["status"]);
    said.assert_ok();
    assert_eq!(said.stdout.matches("stays in force until this is fixed.\n").count(), 1, "{}", said.stdout);
    assert!(said.stdout.contains("  The configuration read at "), "{}", said.stdout);
    assert!(said.stdout.contains("\n● prod"), "{}", said.stdout);
    let said = world.rolecall(&["list"]);
    said.assert_ok();
    assert!(said.stderr.ends_with(" stays in force until this is fixed\n"), "{}", said.stderr);
    assert!(said.stdout.contains("prod"), "{}", said.stdout);
}

#[test]
fn that_there_is_no_profile_is_said_alike_everywhere() {
    let world = World::bare();
    let words = "rolecall: there are no profiles yet. Add one: rolecall add --help";
    for command in ["list", "status"] {
        let said = world.rolecall(&[command]);
        said.assert_ok().assert_stdout_empty();
        assert_eq!(said.stderr.trim_end(), words, "{command}");
    }
    assert_eq!(one_line(&world.rolecall(&["kubeconfig", "--all"]), 1), words);
}

#[test]
fn a_context_that_is_not_there_to_remove_is_said() {
    let world = World::added();
    let said =
        world.rolecall(&["remove", "prod", "--kubeconfig", &world.sandbox.home().join("other").display().to_string()]);
    said.assert_ok();
    assert_eq!(said.stdout, "✓ removed the profile prod; no context prod in ~/other\n");
    assert!(fs::read_to_string(world.sandbox.kubeconfig()).unwrap().contains("rolecall-prod"));

    let world = World::added();
    let (a, b) = (world.sandbox.home().join("a"), world.sandbox.home().join("b"));
    let list = std::env::join_paths([a, b]).unwrap();
    let said = world.sandbox.run(world.sandbox.rolecall().args(["remove", "prod"]).env("KUBECONFIG", list));
    said.assert_ok();
    assert_eq!(said.stdout, "✓ removed the profile prod; no context prod in ~/a, ~/b\n");
}

#[test]
fn use_of_what_has_no_context_says_what_would_write_it() {
    let world = World::added();
    fs::remove_file(world.sandbox.kubeconfig()).unwrap();
    let line = one_line(&world.rolecall(&["use", "prod"]), 1);
    assert!(line.ends_with("Write that of the profile prod with: rolecall kubeconfig prod --use"), "{line}");
    let line = one_line(&world.rolecall(&["use", "nix"]), 1);
    assert!(line.starts_with("rolecall: there is no context \"nix\" in "), "{line}");
    assert!(line.ends_with("There is no profile of that name either; see: rolecall list"), "{line}");
    world.rolecall(&["kubeconfig", "prod", "--use"]).assert_ok();
    let line = one_line(&world.rolecall(&["use", "prdo"]), 1);
    assert!(line.contains("Did you mean prod? There is no profile of that name either"), "{line}");
}

#[test]
fn an_unknown_name_among_several_writes_nothing() {
    let world = World::added();
    fs::remove_file(world.sandbox.kubeconfig()).unwrap();
    let line = one_line(&world.rolecall(&["kubeconfig", "prod", "prdo"]), 1);
    assert_eq!(line, "rolecall: there is no profile \"prdo\". Nothing was written. Did you mean prod?");
    assert!(!world.sandbox.kubeconfig().exists());
}

#[test]
fn a_cluster_that_may_not_be_described_names_no_option_that_kubeconfig_lacks() {
    let world = World::added();
    world.aws.deny(crate::world::ROLE, "eks:DescribeCluster");
    world.aws.deny(&world.user.arn, "eks:DescribeCluster");
    let said = world.rolecall(&["kubeconfig", "prod"]);
    said.assert_code(1);
    assert!(said.stderr.contains("eks:DescribeCluster") && !said.stderr.contains("--server"), "{}", said.stderr);
}

#[test]
fn a_runtime_folder_of_our_own_that_is_open_is_closed_as_it_says() {
    let world = World::configured();
    let folder = world.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in [&["token", "prod"][..], &["agent", "stop"]] {
        let line = one_line(&world.rolecall(arguments), 3);
        assert!(line.ends_with(&format!("Make the folder private: chmod 700 {}", folder.display())), "{line}");
    }
    // A folder that somebody else made may have other uses.
    let other = world.sandbox.home().join("shared");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = world.sandbox.rolecall();
    let said = world.sandbox.run(command.args(["token", "prod"]).env("ROLECALL_SOCKET", other.join("agent.sock")));
    let line = one_line(&said, 3);
    assert!(!line.contains("chmod") && line.contains("ROLECALL_SOCKET"), "{line}");
}

#[test]
fn stopping_what_does_not_run_is_no_achievement() {
    let world = World::configured();
    let said = world.rolecall(&["agent", "stop"]);
    said.assert_ok();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("the agent is not running\n", ""));
}

#[test]
fn keys_without_an_end_are_read_again_and_not_renewed() {
    let world = World::bare();
    world.rolecall(&["add", "prod", "--region", crate::world::REGION, "--aws-profile", "work"]).assert_ok();
    let said = world.rolecall(&["refresh", "prod"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ prod: the source's keys were read again (access key …"), "{}", said.stdout);
    let said = world.rolecall(&["show", "prod"]);
    assert!(said.stdout.contains("  until       no end (long-lived keys)\n"), "{}", said.stdout);
}

#[test]
fn help_is_a_command_too() {
    let world = World::bare();
    for arguments in [&["help"][..], &["help", "add"], &["help", "agent", "stop"]] {
        assert!(world.rolecall(arguments).assert_ok().stdout.contains("Usage: rolecall"), "{arguments:?}");
    }
    assert!(world.rolecall(&["help", "add"]).stdout.contains("--certificate-authority"));
}

#[test]
fn a_shell_offers_files_for_files_alone() {
    let world = World::bare();
    let script = world.rolecall(&["completions", "fish"]).stdout;
    let line = |option: &str| {
        let wanted = format!(" -l {option} ");
        script.lines().find(|line| line.contains("subcommand add\"") && line.contains(&wanted)).unwrap()
    };
    assert!(line("aws-profile").ends_with(" -r -f"), "{}", line("aws-profile"));
    assert!(line("certificate-authority").ends_with(" -r -F"), "{}", line("certificate-authority"));
}
