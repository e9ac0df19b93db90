//! The packages, made once for all tests from the programs of this build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rolecall_harness::Sandbox;
use tempfile::TempDir;

/// Compressing the programs of a debug build takes a minute on a busy computer.
const TIMEOUT: Duration = Duration::from_mins(10);

/// A format of `install/package.sh`.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Tar,
    Deb,
    Rpm,
    Recipes,
    Sbom,
}

impl Format {
    const ALL: [Self; 5] = [Self::Tar, Self::Deb, Self::Rpm, Self::Recipes, Self::Sbom];

    fn name(self) -> &'static str {
        ["tar", "deb", "rpm", "recipes", "sbom"][self as usize]
    }

    /// The folder of the packages, which the first caller makes.
    fn folder(self) -> &'static Path {
        static FOLDERS: [OnceLock<TempDir>; 5] = [const { OnceLock::new() }; 5];
        let made = FOLDERS[self as usize].get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            make(&[self.name()], folder.path());
            folder
        });
        made.path()
    }
}

/// The folder of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns the only file of the format whose name ends like this.
pub(crate) fn package(format: Format, end: &str) -> PathBuf {
    let files = fs::read_dir(format.folder()).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = files.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    assert!(found.len() == 1, "{end}: {found:?}");
    found.into_iter().next().unwrap()
}

/// Makes packages from the programs of this build.
fn make(formats: &[&str], output: &Path) {
    let sandbox = Sandbox::new();
    let programs = sandbox.rolecall().get_program().to_owned();
    // With the caller's environment: the toolchain is in the caller's home.
    let mut command = Command::new(repository().join("install/package.sh"));
    command.arg("--programs").arg(Path::new(&programs).parent().unwrap()).arg("--output").arg(output).args(formats);
    command.env("DEBFULLNAME", "Rolecall maintainers").env("DEBEMAIL", "rolecall@example.org");
    command.env("SOURCE_DATE_EPOCH", "1767323045");
    sandbox.run_within(TIMEOUT, &mut command).assert_ok();
}

/// Two runs make the same bytes, and SHA256SUMS lists every file.
#[test]
fn packages_are_reproducible() {
    let again = tempfile::tempdir().unwrap();
    make(&Format::ALL.map(Format::name), again.path());
    let sums = fs::read_to_string(again.path().join("SHA256SUMS")).unwrap();
    for format in Format::ALL {
        for entry in fs::read_dir(format.folder()).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name == "SHA256SUMS" {
                continue;
            }
            // Without --source-url, a recipe names the path of the source tarball, which differs.
            let [first, second] = [format.folder(), again.path()].map(|folder| {
                let bytes = fs::read(folder.join(&name)).unwrap();
                let path = folder.to_str().unwrap();
                String::from_utf8(bytes.clone()).map_or(bytes, |text| text.replace(path, "").into_bytes())
            });
            assert!(first == second, "{name} differs between two runs");
            assert!(sums.contains(&name), "{name} has no checksum");
        }
    }
}
