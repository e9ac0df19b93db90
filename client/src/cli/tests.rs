//! What the command line takes, and how it refuses the rest.

use super::*;

mod man_page;

const ARN: &str = "arn:aws:iam::111122223333:role/developers";

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn cli_help_names_every_command() {
    let mut command = Cli::command();
    command.clone().debug_assert();
    let help = command.render_help().to_string();
    for subcommand in command.get_subcommands() {
        let names: Vec<&str> = std::iter::once(subcommand.get_name()).chain(subcommand.get_visible_aliases()).collect();
        let name = names.join(", ");
        let about = subcommand.get_about().unwrap().to_string();
        let line = format!("  {name:<13}{about}");
        assert!(help.lines().any(|have| have == line), "{line:?} is not in\n{help}");
    }
    // Clap wraps the options only.
    let commands = help.split("\nOptions:\n").next().unwrap();
    assert!(commands.lines().all(|line| line.chars().count() < 80), "{commands}");
}

#[test]
fn cli_as_kubectl_plugin_names_kubectl() {
    let usage = |line: &[&str]| parse_words(line).unwrap_err().render().to_string();
    assert!(usage(&["/x/kubectl-rolecall", "use", "--help"]).contains("Usage: kubectl rolecall use "));
    assert!(usage(&["kubectl-rolecall", "shell"]).contains("Usage: kubectl rolecall shell "));
    assert!(usage(&["/x/rolecall", "use", "--help"]).contains("Usage: rolecall use "));
}

/// Fault matrix row 39: a kubeconfig chooses the arguments of the plugin.
#[test]
fn usage_error_repeats_no_control_characters() {
    let hostile = "x\u{202e}B\u{9b}31m\u{1b}[2J\u{200b}\r\nrolecall: forged";
    for words in [
        &["token", "prod", hostile][..],
        &["token", hostile],
        &["token", &format!("--{hostile}")],
        &[hostile],
        &["list", "-o", hostile],
        &["status", &format!("--watc{hostile}")],
        &["access", "list", hostile],
    ] {
        let arguments = std::iter::once("rolecall").chain(words.iter().copied()).map(Into::into).collect();
        let text = super::parse(arguments).unwrap_err().render().to_string();
        assert!(!text.contains(|c: char| c != '\n' && is_unsafe_for_terminal(c)), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("rolecall: forged")), "{text:?}");
    }
}

fn parse_words(words: &[&str]) -> Result<Cli, clap::Error> {
    super::parse(words.iter().map(Into::into).collect())
}

#[test]
fn cli_valid_lines_parse() {
    for line in [
        "rolecall add prod --region eu-west-1",
        &format!("rolecall add a --cluster prod --region eu-west-1 --role-arn {ARN} --aws-profile work --use"),
        &format!("rolecall add a --region eu-west-1 --role-arn {ARN} --via {ARN} --via {ARN} --external-id abc"),
        &format!("rolecall add a --region eu-west-1 --role-arn {ARN} --session-name {{user}}@x --duration 45m"),
        &format!("rolecall add a --region eu-west-1 --role-arn {ARN} --session-name {{profile}}-{{source_session}}"),
        &format!("rolecall add a --region eu-west-1 --role-arn {ARN} --tag team=x --tag a=b=c --transitive-tag team"),
        &format!("rolecall add a --region eu-west-1 --role-arn {ARN} --source-identity dev --policy p.json --fips"),
        &format!("rolecall add a --region eu-west-1 --role-arn {ARN} --sts-endpoint https://x --dual-stack"),
        "rolecall add a --region eu-west-1 --no-verify --server https://x --certificate-authority ca.pem",
        "rolecall add a --region eu-west-1 --keyring k --mfa-serial arn:aws:iam::111122223333:mfa/dev",
        "rolecall list -q",
        "rolecall ls --json",
        "rolecall ls -o yaml",
        "rolecall list --wide",
        "rolecall show prod",
        "rolecall show prod staging -o yaml",
        "rolecall show --all",
        "rolecall remove a b --keep-context",
        "rolecall kubeconfig --all --print",
        "rolecall kubeconfig a b --use --repin",
        "rolecall use prod --kubeconfig x",
        "rolecall use",
        "rolecall use -",
        "rolecall use -n web",
        "rolecall use arn:aws:eks:eu-west-1:111122223333:cluster/x --namespace web",
        "rolecall shell prod -n web -y",
        "rolecall prompt --format zsh",
        "rolecall token prod",
        "rolecall credentials prod --force",
        "rolecall credentials prod --install",
        "rolecall credentials prod --install prod-aws --print",
        "rolecall env prod --shell fish --force",
        "rolecall env --unset",
        "rolecall exec prod -- terraform plan -out x",
        "rolecall exec prod --namespace web --server --yes -- sh -c x",
        "rolecall status --json",
        "rolecall status prod staging -o wide",
        "rolecall status -w",
        "rolecall -v status",
        "rolecall agent status -v -o yaml",
        "rolecall status --watch --json",
        "rolecall rename prod prod-eu --kubeconfig x",
        "rolecall source ls -o yaml",
        "rolecall source show work --json",
        "rolecall source rm work partner",
        "rolecall config check",
        "rolecall config edit",
        "rolecall config init",
        "rolecall config path",
        "rolecall refresh prod",
        "rolecall refresh prod audit",
        "rolecall refresh --all",
        "rolecall keys put break-glass",
        "rolecall keys put work --region cn-north-1 --replace --source --stdin",
        "rolecall keys ls --json",
        "rolecall keys rotate work",
        "rolecall keys forget work -y",
        "rolecall login",
        "rolecall login work --device --no-browser --renew --json",
        "rolecall login work --code-stdin",
        "rolecall logout work partner",
        "rolecall logout --all",
        "rolecall lock",
        "rolecall lock --passphrase --stdin",
        "rolecall unlock --stdin",
        "rolecall audit",
        "rolecall audit --since 1h --profile prod --refused -n 5 -o yaml",
        "rolecall access list prod -o yaml",
        "rolecall access ls prod --wide",
        "rolecall access explain prod",
        "rolecall access explain prod --role x --namespace web --json",
        "rolecall access policies prod",
        "rolecall access grant prod --role a b --role c --user d --policy P Q --namespace web api --dry-run -o json",
        "rolecall access grant prod --user --from users.txt --group dev ops --username x --via aws-auth -y --force",
        "rolecall access grant prod --from - --policy AmazonEKSViewPolicy",
        "rolecall access revoke prod --user alice --via access-entries --yes",
        "rolecall access restore prod --backup x",
        "rolecall access lint -",
        "rolecall access lint aws-auth.yaml --json",
        "rolecall access migrate prod --mode api-and-config-map",
        "rolecall access recover prod --repair-aws-auth",
        "rolecall access plan prod --as teams --format terraform --namespace web",
        "rolecall access plan prod --as users --from users.txt --via aws-auth",
        "rolecall access plan prod --account 111122223333",
        "rolecall agent start",
        "rolecall agent logs -f -n 10",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn cli_invalid_value_names_the_option() {
    for (line, named) in [
        ("rolecall", "Usage"),
        ("rolecall agent", "Usage"),
        ("rolecall access plan prod --account 1111", "12 digits"),
        ("rolecall access plan prod --account 11112222333x", "12 digits"),
        ("rolecall stauts", "'status'"),
        ("rolecall help stauts", "stauts"),
        ("rolecall add pr/od --region eu-west-1", "profile name: may hold only"),
        ("rolecall add prod --region evil.com#", "--region"),
        ("rolecall add prod --region eu-west-1 --role-arn developers", "--role-arn"),
        ("rolecall add prod --region eu-west-1 --cluster a.b", "--cluster"),
        ("rolecall add prod --region eu-west-1 --aws-profile a --source b", "--source"),
        ("rolecall add prod --region eu-west-1 --keyring a --source b", "--source"),
        ("rolecall add prod --region eu-west-1 --keyring a --aws-profile b", "--aws-profile"),
        ("rolecall add prod --region eu-west-1 --source b --mfa-serial x", "--mfa-serial"),
        ("rolecall add prod --region eu-west-1 --external-id abc", "--role-arn"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --duration 13h"), "15m to 12h"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --tag team"), "must look like KEY=VALUE"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --tag aws:x=y"), "may not begin with aws:"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --transitive-tag x"), "--tag"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --policy-arn X"), "policy ARN: must look like"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --sts-endpoint sts"), "must be an https URL"),
        ("rolecall add p --region eu-west-1 --source-identity dev", "--role-arn"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --duration soon"), "--duration"),
        (&format!("rolecall add p --region eu-west-1 --role-arn {ARN} --session-name {{nobody}}"), "--session-name"),
        ("rolecall add prod --region eu-west-1 --server https://x", "--certificate-authority"),
        ("rolecall add prod --region eu-west-1 --server http://x --certificate-authority y", "https URL"),
        ("rolecall remove", "<NAME>"),
        ("rolecall kubeconfig", "<NAME|--all>"),
        ("rolecall kubeconfig a --all", "--all"),
        ("rolecall kubeconfig a --print --use", "--use"),
        ("rolecall rename prod", "NEW"),
        ("rolecall rename prod a/b", "profile name"),
        ("rolecall source", "Usage"),
        ("rolecall source remove", "NAME"),
        ("rolecall config", "Usage"),
        ("rolecall refresh", "<NAME|--all>"),
        ("rolecall refresh prod --all", "--all"),
        ("rolecall list -q --json", "--json"),
        ("rolecall list -q -o wide", "--output"),
        ("rolecall list -o json --wide", "--wide"),
        ("rolecall status -o xml", "possible values: json, yaml, wide"),
        ("rolecall show", "<NAME|--all>"),
        ("rolecall show prod --all", "--all"),
        ("rolecall token", "<NAME>"),
        ("rolecall login wo/rk", "source name"),
        ("rolecall login --code-stdin", "SOURCE"),
        ("rolecall login work 123456", "'123456'"),
        ("rolecall logout", "<SOURCE|--all>"),
        ("rolecall logout work --all", "--all"),
        ("rolecall agent logs -n many", "--lines"),
        ("rolecall access", "Usage"),
        ("rolecall access list", "<PROFILE>"),
        ("rolecall access grant prod", "--role [<NAME|ARN>...]|--user [<NAME|ARN>...]|--from <FILE>"),
        ("rolecall access grant prod --role x --namespace web", "--policy"),
        ("rolecall access grant prod --role x --via configmap", "--via"),
        ("rolecall access grant prod --role x --yes --dry-run", "--dry-run"),
        ("rolecall access explain prod --role x --user y", "--user"),
        ("rolecall access migrate prod --mode config-map", "possible values: api, api-and-config-map"),
        ("rolecall access plan prod --as admin", "possible values: user, role, teams, users"),
        ("rolecall keys", "Usage"),
        ("rolecall keys put", "<NAME>"),
        ("rolecall keys put a/b", "key name: may hold only"),
        ("rolecall keys put work AKIAIOSFODNN7EXAMPLE", "unexpected argument"),
        ("rolecall keys put work --region moon", "--region"),
        ("rolecall unlock hunter2", "hunter2"),
        ("rolecall lock --passphrase=hunter2", "--passphrase"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(named), "{line}: {error}");
    }
}

#[test]
fn cli_help_and_version_exit_with_0() {
    for line in [
        "rolecall --help",
        "rolecall -V",
        "rolecall token --help",
        "rolecall agent stop -h",
        "rolecall help",
        "rolecall help add",
        "rolecall help agent stop",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
    }
}
