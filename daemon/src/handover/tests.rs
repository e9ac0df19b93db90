use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::{FdFlags, fcntl_getfd};

use super::*;
#[cfg(target_os = "linux")]
use linux::seal;

fn secret(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

#[test]
#[cfg(target_os = "linux")]
fn sealed_state_cannot_be_changed() {
    let sealed = seal(&secret("state")).unwrap();
    assert!(fcntl_getfd(&sealed).unwrap().contains(FdFlags::CLOEXEC));
    let mut file = File::from(sealed.try_clone().unwrap());
    assert!(file.write_all(b"other").is_err());
    assert!(file.set_len(0).is_err() && file.set_len(99).is_err());
    // Nor by another descriptor of the same memory.
    let again = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", sealed.as_raw_fd()));
    assert!(again.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) || file.write(b"x").is_err());
    assert_eq!(unseal(sealed).unwrap().expose(), b"state");
    assert!(unseal(seal(&secret("")).unwrap()).unwrap().expose().is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn unsealed_state_is_rejected() {
    let file = tempfile::tempfile().unwrap();
    assert!(matches!(unseal(file.into()), Err(StateError::Open)));
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("test", flags).unwrap();
    rustix::fs::fcntl_add_seals(&memory, rustix::fs::SealFlags::GROW | rustix::fs::SealFlags::SHRINK).unwrap();
    assert!(matches!(unseal(memory), Err(StateError::Open)));
    let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(matches!(unseal(stream.into()), Err(StateError::Open)));
    assert!(matches!(seal(&Secret::new(vec![0; 65 << 20])), Err(StateError::Large(_))));
}

#[test]
fn fd_args_survive_a_round_trip() {
    for text in ["1,3,4,5", "7,12,4,2047,64768,18446744073709551615"] {
        assert_eq!(text.parse::<FdArgs>().unwrap().to_string(), text);
    }
    for text in ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,-3,4,5", "a,b,c,d", "1,3,4,99999999999", "1,3,4,5 "]
    {
        assert_eq!(text.parse::<FdArgs>(), Err(InvalidFdArgs), "{text}");
    }
    // A user who types the option has no descriptors to pass.
    assert!("1,0,1,2".parse::<FdArgs>().unwrap().take().is_err());
}

#[test]
fn next_run_gets_the_same_arguments_and_one_handover() {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let options = [HANDOVER_OPTION, "1,3,4,5", PROGRAM_OPTION, "/old"];
    let started = [&["rolecalld", "--socket", "/s"], options.as_slice(), &["--detached"]].concat();
    let program = Program::new("/bin/rolecalld".into(), words(&started).into_iter());
    assert_eq!(program.arguments, words(&["rolecalld", "--socket", "/s", "--detached"]));
    let next = program.arguments_with(&"2,6,7,8".parse().unwrap());
    let options = [HANDOVER_OPTION, "2,6,7,8", PROGRAM_OPTION, "/bin/rolecalld"];
    assert_eq!(next, words(&[&["rolecalld", "--socket", "/s", "--detached"], options.as_slice()].concat()));
}

/// A program that is a shell with a script as its arguments.
#[cfg(target_os = "linux")]
fn shell(folder: &tempfile::TempDir, script: &str) -> Program {
    let path = folder.path().join("rolecalld");
    fs::copy("/bin/sh", &path).unwrap();
    Program::new(path, ["rolecalld", "-c", script].map(OsString::from).into_iter())
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn broken_program_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let checked = async |script| shell(&folder, script).check().await;
    assert!(checked("echo rolecalld 9.9.9").await.is_ok());
    assert!(matches!(checked("exit 1").await, Err(ProgramCheckError::Failed { .. })));
    assert!(matches!(checked("echo rolecalld 9; kill -KILL $$").await, Err(ProgramCheckError::Failed { .. })));
    assert!(matches!(checked("echo something else").await, Err(ProgramCheckError::NotRolecalld(_))));
    // An older version does not know the options.
    assert!(matches!(
        checked("test $1 = --version && echo rolecalld 0.0.1").await,
        Err(ProgramCheckError::Failed { .. })
    ));
    let missing = Program::new(folder.path().join("gone"), std::iter::empty());
    let error = missing.check().await.unwrap_err().body().to_string();
    assert!(error.starts_with("the agent was not restarted: /") && error.contains("cannot be started"), "{error}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn hanging_program_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let hangs = shell(&folder, "exec sleep 60");
    // Real time: a paused clock does not pause a child process.
    assert!(matches!(hangs.check().await, Err(ProgramCheckError::Slow(_))));
}

#[test]
#[cfg(target_os = "linux")]
fn failed_exec_changes_nothing() {
    let open = || OwnedFd::from(File::open("/dev/null").unwrap());
    let state = HandoverState { restarts: 1, listener: open(), lock: open(), snapshot: secret("state"), name: None };
    let program = Program::new("/nonexistent/rolecalld".into(), std::iter::empty());
    let checked = CheckedProgram { file: open(), is_copy: false, scope: SnapshotScope::AllSessions };
    assert_eq!(program.replace_this(&checked, &state).kind(), io::ErrorKind::PermissionDenied);
    for fd in [&state.listener, &state.lock] {
        assert!(fcntl_getfd(fd.as_fd()).unwrap().contains(FdFlags::CLOEXEC));
    }
}
