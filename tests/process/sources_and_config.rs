//! `rolecall source`, `rolecall config` and `rolecall rename`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{ADD, Fixture, HANG_GUARD, REGION, ROLE, error_line};

#[test]
fn source_list_show_and_remove() {
    let fixture = Fixture::configured();
    let more = format!("{}\n# old\n[sources.spare]\nkeyring = \"glass\"\n", config(&fixture));
    fixture.write_config(&more);
    let said = fixture.rolecall(&["source", "list"]);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[0], "SOURCE  KIND                             LOGIN           PROFILES");
    assert_eq!(lines[1], "spare   access key glass in the keyring  needs no login  -");
    assert_eq!(lines[2], "work    AWS profile work                 needs no login  prod");
    let json = fixture.rolecall(&["source", "ls", "-o", "json"]).json();
    assert_eq!(json[1]["name"], "work");
    assert_eq!(json[1]["profiles"], serde_json::json!(["prod"]));

    let said = fixture.rolecall(&["source", "show", "work"]);
    assert!(said.assert_ok().stdout.contains("  kind      AWS profile work\n"), "{said}");
    assert!(said.stdout.contains("  profiles  prod\n"), "{said}");
    assert_eq!(fixture.rolecall(&["source", "show", "work", "--json"]).json()["profiles"][0], "prod");
    let line = error_line(&fixture.rolecall(&["source", "show", "wrok"]), 1);
    assert_eq!(line, "rolecall: there is no source \"wrok\". Did you mean work?");

    let before = config(&fixture);
    assert_eq!(
        error_line(&fixture.rolecall(&["source", "remove", "spare", "work"]), 1),
        "rolecall: the source \"work\" is in use: the profile prod uses it. Nothing was changed. Remove the profile first: \
         rolecall remove prod"
    );
    let line = error_line(&fixture.rolecall(&["source", "rm", "spar"]), 1);
    assert!(line.contains("there is no source \"spar\"") && line.ends_with("Did you mean spare?"), "{line}");
    assert_eq!(config(&fixture), before);
    let said = fixture.rolecall(&["source", "remove", "spare"]);
    assert_eq!(said.assert_ok().stdout, "✓ removed the source spare from ~/.config/rolecall/config.toml\n");
    assert!(!config(&fixture).contains("spare") && !config(&fixture).contains("# old"), "{}", config(&fixture));
    assert!(!fixture.rolecall(&["source", "list"]).stdout.contains("spare"));
}

#[test]
fn config_path_and_check() {
    let fixture = Fixture::configured();
    let path = fixture.config_path().display().to_string();
    assert_eq!(fixture.rolecall(&["config", "path"]).assert_ok().stdout, format!("{path}\n"));
    let said = fixture.rolecall(&["config", "check"]);
    assert_eq!(said.assert_ok().stdout, "✓ ~/.config/rolecall/config.toml is valid (1 profile)\n");
    fixture.write_config(&config(&fixture).replace("cluster =", "clutser ="));
    let line = error_line(&fixture.rolecall(&["config", "check"]), 1);
    assert!(
        line.contains(&format!("{path}:5: profiles.prod.clutser")) || line.contains(&format!("{path}:5")),
        "{line}"
    );
    fixture.write_config("[profiles\n");
    let line = error_line(&fixture.rolecall(&["config", "check"]), 1);
    assert!(line.contains(&format!("{path}:1")) && !line.contains("left as it was"), "{line}");
    fs::remove_file(fixture.config_path()).unwrap();
    let said = fixture.rolecall(&["config", "check"]);
    assert!(said.assert_ok().stderr.contains("there is no ~/.config/rolecall/config.toml yet"), "{said}");
}

#[test]
fn config_check_of_another_file_leaves_no_daemon() {
    let fixture = Fixture::configured();
    let other = fixture.sandbox.home().join("other.toml");
    let check = |text: &str| {
        fs::write(&other, text).unwrap();
        fixture.sandbox.run(fixture.sandbox.rolecall().args(["config", "check"]).env("ROLECALL_CONFIG", &other))
    };
    let is_running = || fixture.rolecall(&["agent", "status"]).code() == Some(0);
    let valid = config(&fixture);
    for is_started in [false, true] {
        if is_started {
            fixture.token().assert_ok();
        }
        let said = check(&valid);
        assert_eq!(said.assert_ok().stdout, "✓ ~/other.toml is valid (1 profile)\n");
        let note =
            format!("rolecall: the agent uses {}: ~/other.toml is not in force\n", fixture.config_path().display());
        assert_eq!(said.stderr, if is_started { note } else { String::new() });
        let said = check(&valid.replace("cluster =", "clutser ="));
        said.assert_code(1);
        assert!(said.stderr.contains(&format!("{}:", other.display())), "{said}");
        assert!(said.stderr.contains("unknown key \"clutser\""), "{said}");
        fs::set_permissions(&other, fs::Permissions::from_mode(0o666)).unwrap();
        let said =
            fixture.sandbox.run(fixture.sandbox.rolecall().args(["config", "check"]).env("ROLECALL_CONFIG", &other));
        said.assert_code(1);
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(is_running(), is_started);
    }
    let status = fixture.rolecall(&["agent", "status", "--json"]).json();
    assert_eq!(status["config"]["path"], fixture.config_path().display().to_string());
}

#[test]
fn config_init_writes_a_new_file_only() {
    let fixture = Fixture::configured();
    let before = config(&fixture);
    let refused =
        "rolecall: ~/.config/rolecall/config.toml exists already. Nothing was changed. Edit it: rolecall config edit";
    assert_eq!(error_line(&fixture.rolecall(&["config", "init"]), 1), refused);
    assert_eq!(config(&fixture), before);
    fixture.write_config("");
    assert_eq!(error_line(&fixture.rolecall(&["config", "init"]), 1), refused);

    fs::remove_file(fixture.config_path()).unwrap();
    let said = fixture.rolecall(&["config", "init"]);
    assert_eq!(
        said.assert_ok().stdout,
        "✓ ~/.config/rolecall/config.toml is written; every setting in it is a comment\n"
    );
    assert_eq!(fs::metadata(fixture.config_path()).unwrap().permissions().mode() & 0o777, 0o600);
    let template = config(&fixture);
    assert!(
        template.contains("\n#[defaults]\n") && template.lines().all(|line| line.is_empty() || line.starts_with('#'))
    );
    let said = fixture.rolecall(&["config", "check"]);
    assert_eq!(said.assert_ok().stdout, "✓ ~/.config/rolecall/config.toml is valid (0 profiles)\n");

    // Tables are added below the comments.
    fixture.rolecall(&ADD).assert_ok();
    let added = config(&fixture);
    assert!(added.starts_with(&template) && added.contains("\n[profiles.prod]\n"), "{added}");
    assert_eq!(fixture.rolecall(&["list", "--quiet"]).assert_ok().stdout, "prod\n");
}

#[test]
fn config_edit_installs_only_a_valid_copy() {
    let fixture = Fixture::configured();
    let before = config(&fixture);
    let edit = |editor: &str| {
        fixture
            .sandbox
            .run(crate::fixture::without_terminal(&fixture.sandbox).args(["config", "edit"]).env("EDITOR", editor))
    };
    // An editor with options, as in `code --wait`.
    let said = edit("sed -i s/^region.*/region=\\\"us-east-1\\\"/");
    assert_eq!(said.assert_ok().stdout, "✓ ~/.config/rolecall/config.toml is changed and in force\n");
    assert!(config(&fixture).contains("region=\"us-east-1\""), "{}", config(&fixture));
    assert_eq!(fixture.rolecall(&["list", "--json"]).json()[0]["region"], "us-east-1");
    let said = edit("true");
    assert_eq!(said.assert_ok().stdout, "  ~/.config/rolecall/config.toml is unchanged\n");

    // A mistake, an editor that fails, and a change by another program leave the file as it is.
    let valid = config(&fixture);
    let line = error_line(&edit("sed -i s/region/regoin/"), 1);
    assert!(line.contains("regoin") && line.contains("Nothing was changed; your copy is /"), "{line}");
    assert!(error_line(&edit("false"), 1).contains("the editor false failed (exit status: 1). Nothing was changed."));
    let touch = format!("sed -i '$a # other' {}; sed -i '$a # mine'", fixture.config_path().display());
    let line = error_line(&edit(&touch), 1);
    assert!(line.contains("was changed by another program") && line.contains("your copy is /"), "{line}");
    assert_eq!(config(&fixture), format!("{valid}# other\n"));
    assert!(!before.is_empty());
}

#[test]
fn config_edit_offers_to_edit_again() {
    let fixture = Fixture::configured();
    let editor = fixture.sandbox.write(
        "home/editor",
        "#!/bin/sh\nif grep -q regoin \"$1\"; then sed -i 's/regoin/region/; s/eu-west-1/eu-west-3/' \"$1\"; else sed -i s/region/regoin/ \"$1\"; fi\n",
    );
    let run = || {
        let mut command = fixture.sandbox.rolecall();
        command.args(["config", "edit"]).env("EDITOR", format!("sh {}", editor.display()));
        fixture.sandbox.terminal(&mut command)
    };
    let before = config(&fixture);
    let terminal = run();
    terminal.wait_for("Edit it again? [Y/n] ", HANG_GUARD);
    assert_eq!(config(&fixture), before);
    terminal.type_text("n\n");
    terminal.assert_exit(1, HANG_GUARD);
    assert_eq!(config(&fixture), before);
    let terminal = run();
    terminal.wait_for("Edit it again? [Y/n] ", HANG_GUARD);
    terminal.type_text("\n");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(config(&fixture).contains("eu-west-3"), "{}", config(&fixture));
}

#[test]
fn rename_keeps_context_session_and_current_context() {
    let fixture = Fixture::bare();
    fixture.rolecall(&[&ADD[..], &["--use"]].concat()).assert_ok();
    let kubeconfig = fixture.sandbox.kubeconfig();
    let text = fs::read_to_string(&kubeconfig).unwrap();
    // What the user added to the context stays.
    let text = text.replace("    user: rolecall-prod\n", "    namespace: web\n    user: rolecall-prod\n");
    fs::write(&kubeconfig, text).unwrap();
    let said = fixture.rolecall(&["rename", "prod", "prod-eu"]);
    assert_eq!(
        said.assert_ok().stdout,
        "✓ renamed the profile prod to prod-eu in ~/.config/rolecall/config.toml\n\
         ✓ renamed its context in ~/.kube/config (it is your current context)\n"
    );
    let text = fs::read_to_string(&kubeconfig).unwrap();
    for part in ["current-context: prod-eu\n", "namespace: web\n", "name: rolecall-prod-eu\n", "- prod-eu\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("rolecall-prod\n") && !text.contains("name: prod\n"), "{text}");
    assert!(config(&fixture).contains("[profiles.prod-eu]\n"), "{}", config(&fixture));
    fixture.rolecall(&["token", "prod-eu"]).assert_ok();
    assert_eq!(fixture.assume_role_calls(), 1, "the session stays");

    for (arguments, expected) in [
        (["rename", "prod", "x"], "there is no profile \"prod\". Nothing was written. Did you mean prod-eu?"),
        (["rename", "prod-eu", "prod-eu"], "there is a profile \"prod-eu\" already"),
    ] {
        let line = error_line(&fixture.rolecall(&arguments), 1);
        assert!(line.contains(expected), "{line}");
    }
    // A context of another tool has the name: nothing changes.
    let taken = "apiVersion: v1\nkind: Config\ncontexts:\n- name: other\n  context: {cluster: x, user: them}\n";
    let file = fixture.sandbox.write("home/taken", taken);
    let before = config(&fixture);
    let line = error_line(
        &fixture.sandbox.run(
            fixture
                .sandbox
                .rolecall()
                .args(["rename", "prod-eu", "other"])
                .env("KUBECONFIG", format!("{}:{}", kubeconfig.display(), file.display())),
        ),
        1,
    );
    assert!(line.contains("other"), "{line}");
    assert_eq!(config(&fixture), before);
    // The context is in another kubeconfig.
    let said = fixture.rolecall(&["rename", "prod-eu", "prod", "--kubeconfig", &file.display().to_string()]);
    assert!(
        said.assert_ok()
            .stderr
            .contains("no context prod-eu was found; write the new one with: rolecall kubeconfig prod")
    );
    assert!(config(&fixture).contains(&format!("region = \"{REGION}\"")) && config(&fixture).contains(ROLE));
}

fn config(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.config_path()).unwrap()
}
