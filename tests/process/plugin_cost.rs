//! What `rolecall token` costs kubectl, counted so that the load of the machine does not matter.

use std::fs;

use crate::files::skipped;
use crate::fixture::Fixture;

/// The calls from the first one of the client's own `main`. Those before it belong to the C library and its dynamic linker, which the
/// shipped program does not have.
const MAX_SYSTEM_CALLS: usize = 16;

#[test]
fn token_makes_few_system_calls() {
    let fixture = Fixture::added();
    fixture.token().assert_ok(); // the daemon runs, and has a session
    let trace = fixture.sandbox.root().join("tmp/trace");
    let mut command = fixture.sandbox.command("strace");
    command.arg("-o").arg(&trace).args(["rolecall", "token", "prod"]);
    if !fixture.sandbox.command("strace").args(["-o", "/dev/null", "true"]).output().is_ok_and(|it| it.status.success())
    {
        return skipped("system calls: strace is not installed, or may not trace");
    }
    fixture.sandbox.run(&mut command).assert_ok();
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(&trace).unwrap(); // it has the start of the token
    let names = text.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    let own: Vec<&str> =
        names.skip_while(|name| *name != "rt_sigaction").filter(|name| !is_not_shipped(name)).collect();
    assert!(own.contains(&"connect") && own.contains(&"exit_group"), "{text}");
    assert!(own.len() <= MAX_SYSTEM_CALLS, "{} calls: {own:?}", own.len());
    assert!(!own.iter().any(|name| name.starts_with("open")), "it opens a file: {own:?}");
}

/// Whether a call belongs to the C library's allocator, or is a check that only debug builds make before they close a descriptor.
fn is_not_shipped(name: &str) -> bool {
    ["brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "getrandom", "fcntl"].contains(&name)
}
