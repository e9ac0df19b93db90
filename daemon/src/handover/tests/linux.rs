use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::{FdFlags, fcntl_getfd};

use crate::handover::linux::seal;
use crate::handover::*;

fn secret(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

#[test]
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

/// A program that is a shell with a script as its arguments.
fn shell(folder: &tempfile::TempDir, script: &str) -> Program {
    let path = folder.path().join("rolecalld");
    fs::copy("/bin/sh", &path).unwrap();
    Program::new(path, ["rolecalld", "-c", script].map(OsString::from).into_iter())
}

#[tokio::test]
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

/// The paused clock moves on as soon as nothing but the child is left to wait for.
#[tokio::test(start_paused = true)]
async fn hanging_program_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let hangs = shell(&folder, "exec sleep 60");
    assert!(matches!(hangs.check().await, Err(ProgramCheckError::Slow(_))));
}

#[test]
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
