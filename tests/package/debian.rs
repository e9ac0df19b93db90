//! The Debian package in a new Debian system: installed, used as README.md says, and removed.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolecall_harness::{ApiServer, Aws, Clock, Network, Output, Role, Sandbox};
use tempfile::TempDir;

use crate::packages::{Format, package, repository};
use crate::skip;

const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
/// The user of the new system.
const USER: &str = "1000:1000";
/// What package managers write on every run.
const NOT_COMPARED: [&str; 5] = ["var/lib/dpkg", "var/log", "var/cache", "proc", "tmp"];

/// A copy of the new Debian system, in which programs run with the files of a sandbox.
struct Debian<'a> {
    root: TempDir,
    sandbox: &'a Sandbox,
}

impl<'a> Debian<'a> {
    /// Copies the system and mounts into it what the tests use. Needs a mount namespace of its own.
    #[allow(clippy::disallowed_methods)] // configures the tests
    fn new(original: &Path, sandbox: &'a Sandbox) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        run("/bin/cp", &[Path::new("-a"), &original.join("."), root.path()]);
        let debian = Self { root, sandbox };
        debian.mount(&["-t", "proc", "proc"], "proc");
        debian.mount(&["--bind", sandbox.root().to_str().unwrap()], sandbox.root().strip_prefix("/").unwrap());
        if let Some(kubectl) = sandbox.kubectl() {
            let place = debian.root.path().join("usr/local/bin/kubectl");
            fs::copy(kubectl.get_program(), place).unwrap();
        }
        debian
    }

    fn mount(&self, arguments: &[&str], place: impl AsRef<Path>) {
        let place = self.root.path().join(place);
        fs::create_dir_all(&place).unwrap();
        let status = Command::new("/usr/bin/mount").args(arguments).arg(&place).status().unwrap();
        assert!(status.success(), "cannot mount {}", place.display());
    }

    /// Runs a program of the system as root.
    fn as_root(&self, arguments: &[&str]) -> Output {
        let mut command = self.sandbox.command("/usr/sbin/chroot");
        command.arg(self.root.path()).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        self.sandbox.run(&mut command)
    }

    /// Runs a line of the README in a shell of the user.
    fn as_user(&self, line: &str) -> Output {
        let mut command = self.sandbox.command("/usr/sbin/chroot");
        command.arg(format!("--userspec={USER}")).arg(self.root.path()).args(["/bin/sh", "-c"]);
        command.arg(format!("cd; {line}")).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        self.sandbox.run(&mut command)
    }

    /// Returns the files and folders of the system.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path().strip_prefix(self.root.path()).unwrap().to_owned();
                if NOT_COMPARED.iter().any(|prefix| path.starts_with(prefix)) {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                found.insert(path);
            }
        }
        found
    }
}

impl Drop for Debian<'_> {
    fn drop(&mut self) {
        for place in [Path::new("proc"), self.sandbox.root().strip_prefix("/").unwrap()] {
            let _ = Command::new("/usr/bin/umount").arg("--lazy").arg(self.root.path().join(place)).status();
        }
    }
}

fn run(program: &str, arguments: &[&Path]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// Returns the commands in the section of README.md with this title.
fn commands_of_readme(title: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with(title)).expect("the README has the section");
    section.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn lintian_finds_nothing() {
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning"]).arg(package(Format::Deb, ".deb"));
    let Ok(output) = lintian.output() else { return skip("lintian is not installed") };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.trim().is_empty(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[allow(clippy::disallowed_methods)] // configures the tests
fn package_works_as_the_readme_says_and_its_removal_leaves_the_users_files() {
    let Some(original) = env::var_os("ROLECALL_TEST_DEBIAN_ROOT") else {
        return skip("there is no new Debian system; tests/run package makes one");
    };
    let done = Network::isolated(|network| {
        network.up();
        try_package(Path::new(&original));
    });
    if done.is_none() {
        skip("namespaces cannot be made");
    }
}

fn try_package(original: &Path) {
    let clock = Clock::system();
    let aws = Aws::start(clock.clone());
    let user = aws.add_user("111122223333", "dev");
    aws.add_role(Role::new(ROLE).trusts(&user.arn));
    let api = ApiServer::start(clock, &aws, "prod", "eu-west-1");
    aws.add_cluster(api.cluster());
    aws.grant("prod", "eu-west-1", ROLE, "dev:{{SessionName}}", &["system:masters"]);
    let sandbox = Sandbox::new();
    sandbox.write_aws_profile("work", &user, &aws.endpoint());
    run("/bin/chown", &[Path::new("-R"), Path::new(USER), sandbox.root()]);

    let debian = Debian::new(original, &sandbox);
    let has_kubectl = sandbox.kubectl().is_some();
    if !has_kubectl {
        skip("there is no kubectl");
    }
    let before = debian.files();
    let deb = debian.root.path().join("tmp/rolecall.deb");
    fs::copy(package(Format::Deb, ".deb"), &deb).unwrap();
    debian.as_root(&["/usr/bin/dpkg", "--install", "/tmp/rolecall.deb"]).assert_ok();

    let commands = commands_of_readme("First cluster");
    assert!(commands.len() >= 2 && commands.last().unwrap().starts_with("kubectl "), "{commands:?}");
    for line in commands {
        if line.starts_with("kubectl ") && !has_kubectl {
            continue;
        }
        let output = debian.as_user(&line);
        output.assert_ok();
        assert!(!line.starts_with("kubectl ") || output.stdout.contains("Running"), "{output}");
    }
    let status = debian.as_user("rolecall agent status");
    assert!(status.assert_ok().stdout.contains("running"), "{status}");

    // An upgrade keeps the daemon, a removal stops it.
    debian.as_root(&["/usr/bin/dpkg", "--install", "/tmp/rolecall.deb"]).assert_ok();
    let status = debian.as_user("rolecall agent status");
    assert!(status.assert_ok().stdout.contains("running"), "{status}");
    debian.as_root(&["/usr/bin/dpkg", "--purge", "rolecall"]).assert_ok();
    assert_eq!(sandbox.kill_leftovers(), Vec::<u32>::new(), "the removal stops the daemon");

    let after = debian.files();
    let left: Vec<_> = after.difference(&before).collect();
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(left.is_empty() && lost.is_empty(), "left {left:?}, lost {lost:?}");
    for file in [".config/rolecall/config.toml", ".kube/config", ".aws/config"] {
        assert!(sandbox.home().join(file).is_file(), "{file}");
    }
}
