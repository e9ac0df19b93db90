//! The software bill of materials of each program.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::packages::{Format, package, repository};

/// Returns the crates of a program by cargo, each as `name version`, without the program itself.
#[allow(clippy::disallowed_methods)] // cargo sets the variable to its own path
fn crates(program: &str) -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--package", program, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = tree.current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates = text.lines().skip(1).filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        format!("{name} {}", version.strip_prefix('v').unwrap())
    });
    crates.collect()
}

/// Returns the checksums in Cargo.lock.
fn checksums() -> BTreeMap<String, String> {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let value = |package: &str, key: &str| {
        let start = format!("{key} = \"");
        package.lines().find_map(|line| Some(line.strip_prefix(&start)?.trim_end_matches('"').to_owned()))
    };
    let packages = lock.split("[[package]]").skip(1);
    let checksum = |package: &str| {
        let (name, version) = (value(package, "name")?, value(package, "version")?);
        Some((format!("{name} {version}"), value(package, "checksum")?))
    };
    packages.filter_map(checksum).collect()
}

#[test]
fn bill_of_materials_lists_the_crates_of_each_program() {
    let checksums = checksums();
    for program in ["rolecall", "rolecalld"] {
        let file = package(Format::Sbom, &format!("/{program}-{}.cdx.json", env!("CARGO_PKG_VERSION")));
        let bill: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
        assert_eq!(bill["metadata"]["component"]["name"], program);
        let mut listed = BTreeSet::new();
        let mut references = BTreeSet::from([bill["metadata"]["component"]["bom-ref"].as_str().unwrap()]);
        for component in bill["components"].as_array().unwrap() {
            let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
            let known = format!("{name} {version}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
            assert_eq!(component["purl"], format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")), "{component}");
            let checksum = checksums.get(&known).map(String::as_str);
            assert_eq!(component["hashes"][0]["content"].as_str(), checksum, "{component}");
            references.insert(component["bom-ref"].as_str().unwrap());
            listed.insert(known);
        }
        assert_eq!(listed, crates(program), "{program}");
        // Each component is needed by another one.
        let dependencies = bill["dependencies"].as_array().unwrap();
        let from: BTreeSet<&str> = dependencies.iter().map(|one| one["ref"].as_str().unwrap()).collect();
        assert_eq!(from, references, "{program}");
        let to = dependencies.iter().flat_map(|one| one["dependsOn"].as_array().unwrap());
        let to: BTreeSet<&str> = to.map(|reference| reference.as_str().unwrap()).collect();
        let missing: Vec<_> = references.symmetric_difference(&to).collect();
        assert_eq!(missing, [bill["metadata"]["component"]["bom-ref"].as_str().unwrap()].iter().collect::<Vec<_>>());
    }
}
