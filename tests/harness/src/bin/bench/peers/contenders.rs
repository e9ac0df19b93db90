//! The programs that are compared, each set up as its documentation says, and with the role of the cluster if it can assume one.

use super::contender::{Contender, RunningDaemon, start_daemon};
use super::programs::{Program, Programs};
use super::world::{CLUSTER, KEYS, REGION, ROLE, World};
use crate::build;

/// The passphrase of the encrypted files of aws-vault and granted, which they read from the environment.
const PASSPHRASE: &str = "correct horse battery staple";
/// Sections of `~/.aws/config`: a role, and the same with base credentials that only aws-vault has.
const ROLE_PROFILE: &str = "developers";
const VAULT_ROLE_PROFILE: &str = "vault-developers";
const VAULT_KEYS_PROFILE: &str = "vault-work";
const GRANTED_PROFILE: &str = "granted-developers";

/// The end of the names of `aws eks get-token` with a role, for which the design has a bar.
pub(super) const ROLE_OPTION: &str = " eks get-token --role-arn";

/// A contender, or its name and why it cannot be measured.
pub(super) type Entry = Result<Contender, (String, String)>;

/// Returns all programs beside Rolecall.
pub(super) fn peers(world: &World, programs: &Programs) -> Vec<Entry> {
    let mut peers = Vec::new();
    for (number, name) in [(1, "aws-cli-1"), (2, "aws-cli-2")] {
        let get_token = |arguments: &[&str]| programs.find(name).map(|cli| aws(cli, arguments));
        let title = format!("aws {number}");
        let role = get_token(&["--profile", KEYS, "--role-arn", ROLE]);
        peers.push(entry(&format!("{title}{ROLE_OPTION}"), world, role, &[]));
        peers.push(entry(&format!("{title} eks get-token, access key"), world, get_token(&["--profile", KEYS]), &[]));
    }
    let profile = any_aws_cli(programs).map(|cli| aws(cli, &["--profile", ROLE_PROFILE]));
    peers.push(entry("aws eks get-token, AWS profile with role", world, profile, &[".aws/cli/cache"]));
    peers.push(entry("aws-iam-authenticator", world, authenticator(programs, &["--role", ROLE]), &[]));
    peers.push(authenticator_with_cache(world, programs));
    peers.push(aws_vault(world, programs));
    peers.push(granted(world, programs));
    peers.push(kcc_cache(world, programs));
    peers
}

/// A command line with the version of the program.
type Setup = (Vec<String>, String);

fn entry(name: &str, world: &World, setup: Result<Setup, String>, caches: &[&'static str]) -> Entry {
    let (command_line, version) = setup.map_err(|reason| (name.to_owned(), reason))?;
    let role = format!("[profile {ROLE_PROFILE}]\nregion = {REGION}\nrole_arn = {ROLE}\nsource_profile = {KEYS}\n");
    let vault = format!(
        "[profile {VAULT_KEYS_PROFILE}]\nregion = {REGION}\n\
         [profile {VAULT_ROLE_PROFILE}]\nregion = {REGION}\nrole_arn = {ROLE}\nsource_profile = {VAULT_KEYS_PROFILE}\n"
    );
    let sandbox = world.sandbox(&format!("{role}{vault}"));
    let mut environment = world.environment(&sandbox);
    // aws-iam-authenticator has no option for it.
    environment.push(("AWS_PROFILE".to_owned(), KEYS.to_owned()));
    let (name, caches) = (name.to_owned(), caches.to_vec());
    Ok(Contender { name, version, sandbox, command_line, environment, caches, daemon: None })
}

/// `aws eks get-token`.
fn aws(cli: &Program, arguments: &[&str]) -> Setup {
    let fixed = ["eks", "get-token", "--cluster-name", CLUSTER, "--region", REGION];
    (command_line(cli, &[&fixed, arguments].concat()), cli.version.clone())
}

/// The AWS CLI that other programs run: version 2 if it is installed.
fn any_aws_cli(programs: &Programs) -> Result<&Program, String> {
    programs.find("aws-cli-2").or_else(|_| programs.find("aws-cli-1"))
}

fn authenticator(programs: &Programs, arguments: &[&str]) -> Result<Setup, String> {
    let program = programs.find("aws-iam-authenticator")?;
    let fixed = ["token", "--cluster-id", CLUSTER, "--region", REGION];
    Ok((command_line(program, &[&fixed, arguments].concat()), program.version.clone()))
}

/// Its cache holds the credentials of the AWS profile, and not those of `--role`.
fn authenticator_with_cache(world: &World, programs: &Programs) -> Entry {
    let (setup, caches) = (authenticator(programs, &["--cache"]), [".kube/cache/aws-iam-authenticator"]);
    let mut contender = entry("aws-iam-authenticator --cache", world, setup, &caches)?;
    contender.environment.push(("AWS_PROFILE".to_owned(), ROLE_PROFILE.to_owned()));
    Ok(contender)
}

/// aws-vault has the access key in an encrypted file and passes a session of the role to the AWS CLI.
fn aws_vault(world: &World, programs: &Programs) -> Entry {
    let setup = || -> Result<Setup, String> {
        let (vault, (get_token, cli_version)) = (programs.find("aws-vault")?, aws(any_aws_cli(programs)?, &[]));
        let mut line = command_line(vault, &["exec", VAULT_ROLE_PROFILE, "--"]);
        line.extend(get_token);
        Ok((line, both(vault, &cli_version)))
    };
    let mut contender = entry("aws-vault exec -- aws eks get-token", world, setup(), &[])?;
    let variables = [("AWS_VAULT_BACKEND", "file"), ("AWS_VAULT_FILE_PASSPHRASE", PASSPHRASE)];
    contender.environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut add = contender.in_environment(&contender.command_line[0]);
    add.args(["add", VAULT_KEYS_PROFILE, "--env", "--no-add-config"]);
    add.env("AWS_ACCESS_KEY_ID", &world.user.id).env("AWS_SECRET_ACCESS_KEY", &world.user.secret);
    let added = contender.sandbox.run(&mut add);
    if added.status.success() {
        return Ok(contender);
    }
    Err((contender.name.clone(), format!("aws-vault add: {}", added.stderr.trim())))
}

/// granted as the `credential_process` of an AWS profile. It keeps sessions in encrypted files.
fn granted(world: &World, programs: &Programs) -> Entry {
    let setup = || -> Result<Setup, String> {
        let granted = programs.find("granted")?;
        let (line, cli_version) = aws(any_aws_cli(programs)?, &["--profile", GRANTED_PROFILE]);
        Ok((line, both(granted, &cli_version)))
    };
    let caches = [".granted/secure-storage-aws-session-credentials", ".granted/log"];
    let mut contender = entry("aws eks get-token, process granted", world, setup(), &caches)?;
    let granted = programs.find("granted").expect("it is in the version").path.display().to_string();
    let config = contender.sandbox.home().join(".aws/config");
    let config = std::fs::read_to_string(config).expect("the sandbox has AWS's own files");
    let process = format!("{granted} credential-process --profile {ROLE_PROFILE}");
    let profile = format!("[profile {GRANTED_PROFILE}]\nregion = {REGION}\ncredential_process = {process}\n");
    contender.sandbox.write("home/.aws/config", &format!("{config}{profile}"));
    contender.sandbox.write("home/.granted/config", "DefaultBrowser = \"STDOUT\"\n[Keyring]\nBackend = \"file\"\n");
    contender.environment.push(("CF_KEYRING_FILE_PASSWORD".to_owned(), PASSPHRASE.to_owned()));
    Ok(contender)
}

/// kcc-cache keeps tokens in a file.
fn kcc_cache(world: &World, programs: &Programs) -> Entry {
    let setup = || -> Result<Setup, String> {
        let (cache, cli) = (programs.find("kcc-cache")?, any_aws_cli(programs)?);
        let (get_token, cli_version) = aws(cli, &["--profile", KEYS, "--role-arn", ROLE]);
        let mut line = command_line(cache, &[]);
        line.extend(get_token);
        Ok((line, both(cache, &cli_version)))
    };
    let caches = [".cache/kube-credential-cache"];
    entry("kcc-cache aws eks get-token …", world, setup(), &caches)
}

fn command_line(program: &Program, arguments: &[&str]) -> Vec<String> {
    let path = program.path.display().to_string();
    std::iter::once(path).chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
}

fn both(program: &Program, other: &str) -> String {
    format!("{} and {other}", program.version)
}

/// Rolecall, with a profile that `rolecall add` has verified.
pub(super) fn rolecall(world: &World, programs: &build::Programs) -> Contender {
    let sandbox = world.sandbox("");
    let network = format!(
        "[network]\nproxy = \"{}\"\nca_bundle = \"{}\"\n",
        world.proxy(),
        sandbox.home().join("ca.pem").display()
    );
    sandbox.write("home/.config/rolecall/config.toml", &network);
    let process = start_daemon(&sandbox, &programs.daemon);
    let client = programs.client.display().to_string();
    let mut add = sandbox.command(&client);
    add.args(["add", CLUSTER, "--region", REGION, "--role-arn", ROLE, "--aws-profile", KEYS]);
    sandbox.run(&mut add).assert_ok();
    let version = sandbox.run(sandbox.command(&client).arg("--version")).assert_ok().stdout.trim().to_owned();
    Contender {
        name: "Rolecall".to_owned(),
        version,
        environment: world.environment(&sandbox),
        sandbox,
        command_line: [&client, "token", CLUSTER].map(str::to_owned).to_vec(),
        caches: Vec::new(),
        daemon: Some(RunningDaemon { program: programs.daemon.clone(), process }),
    }
}
