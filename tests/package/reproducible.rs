//! `install/build.sh`: the programs contain no path of the computer that builds them, so every folder gives the same bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rolecall_harness::Sandbox;

use crate::packages::repository;

/// A crate of the registry, with code that its build script generated. Panics name both files.
const CRATE: &str = "pub fn f(x: &[u8]) -> u8 { x[7] }\ninclude!(\"TARGET/out/generated.rs\");\n";

/// Acts as cargo for build.sh: compiles the crate with the flags that it gets.
const CARGO: &str = r#"#!/bin/sh
case $1 in
metadata) echo '{"target_directory":"TARGET"}' ;;
build)
    printf '%s' "$CARGO_ENCODED_RUSTFLAGS" | tr '\037' '\n' |
        xargs -d '\n' rustc --crate-name it --crate-type lib --out-dir 'TARGET' "$CARGO_HOME/registry/src/index/it/lib.rs"
    ;;
esac
"#;

#[test]
fn built_program_contains_no_path_of_the_builder() {
    let sandbox = Sandbox::new();
    // With a space, which RUSTFLAGS could not pass.
    let target = sandbox.root().join("a target");
    let fill_in = |text: &str| text.replace("TARGET", target.to_str().unwrap());
    sandbox.write("cargo home/registry/src/index/it/lib.rs", &fill_in(CRATE));
    sandbox.write("a target/out/generated.rs", "pub fn g(x: &[u8]) -> u8 { x[9] }\n");
    let cargo = sandbox.write("cargo", &fill_in(CARGO));
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o700)).unwrap();
    for program in ["client", "daemon"] {
        // With the caller's environment: the toolchain is in the caller's home.
        let mut build = Command::new(repository().join("install/build.sh"));
        build.arg(program).env("CARGO", &cargo).env("CARGO_HOME", sandbox.root().join("cargo home"));
        sandbox.run(build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS")).assert_ok();
        let library = fs::read(target.join("libit.rlib")).unwrap();
        let has = |text: &str| library.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has("/registry/index/it/lib.rs") && has("/target/out/generated.rs"), "{program}");
        assert!(!has(sandbox.root().to_str().unwrap()), "{program}");
        fs::remove_file(target.join("libit.rlib")).unwrap();
    }
}
