//! A program whose process is closed to its user from the first instruction on.
//!
//! `execve` makes a process dumpable, and other processes of its user can then open its memory and its descriptors. What they open
//! stays open, so a later `PR_SET_DUMPABLE` is too late. The kernel makes an exception for a program that the user may execute but
//! not read: its process is not dumpable from the start (`would_dump` in fs/exec.c). Such a program is either a copy in sealed
//! memory with mode 0111, which only this process can open, or a file of root without read permission.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;

use rolecall_trusted_file::Writers;
use rustix::fs::{MemfdFlags, Mode, fchmod, fcntl_add_seals};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::CheckedProgram;
use super::program_file::ProgramFile;
use super::sealed_memory::{SEALS, memory};
use crate::harden;
use crate::services::snapshot::SnapshotScope;

/// The size of a program.
const MAX_PROGRAM_BYTES: u64 = 512 * 1024 * 1024;
/// With these, root may read a file without read permission.
const READ_ANY_FILE: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// Returns the program as one that starts closed, with the sessions that it may get. Errors if it cannot start closed.
pub(super) fn close(program: &ProgramFile) -> io::Result<CheckedProgram> {
    if !unreadable_programs_start_closed() {
        return Err(io::Error::other("fs.suid_dumpable is 1 or cannot be read"));
    }
    // A child of another thread must not inherit the sessions. Only this thread's table is separated.
    std::thread::scope(|scope| scope.spawn(harden::own_descriptor_table).join())
        .unwrap_or_else(|_| Err(io::Error::other("a thread ended unexpectedly")))?;
    let is_copy = program.content.is_some();
    let (file, scope) = match &program.content {
        Some(content) => {
            let copy = copy(content)?;
            let is_trusted = program.writers == Writers::Root || is_running_program(&copy);
            (copy.into(), if is_trusted { SnapshotScope::AllSessions } else { SnapshotScope::NoBaseSessions })
        }
        // Its user could give it read permission before it is executed.
        None if program.writers == Writers::User => return Err(io::Error::other("it has no read permission")),
        None => (program.file.try_clone()?, SnapshotScope::AllSessions),
    };
    Ok(CheckedProgram { file, is_copy, scope })
}

/// Returns the program as one that starts open, so that it gets no session.
pub(super) fn leave_open(program: ProgramFile) -> CheckedProgram {
    CheckedProgram { file: program.file, is_copy: false, scope: SnapshotScope::NoSessions }
}

/// Whether the kernel keeps a program closed that the user cannot read: with 1 it does not. A container may hide the setting.
fn unreadable_programs_start_closed() -> bool {
    let setting = std::fs::read_to_string("/proc/sys/fs/suid_dumpable");
    setting.is_ok_and(|setting| matches!(setting.trim(), "0" | "2"))
}

/// Copies a program into sealed memory. The user cannot change the copy between its check and its execution.
fn copy(content: &File) -> io::Result<File> {
    let length = content.metadata()?.len();
    if length > MAX_PROGRAM_BYTES {
        return Err(io::Error::other(format!("it has {length} bytes")));
    }
    let mut copy = File::from(memory(MemfdFlags::EXEC)?);
    let mut content = content;
    content.rewind()?;
    io::copy(&mut content.take(MAX_PROGRAM_BYTES), &mut copy)?;
    fchmod(&copy, Mode::XUSR | Mode::XGRP | Mode::XOTH)?;
    fcntl_add_seals(&copy, SEALS)?;
    Ok(copy)
}

/// Copies a copy, into the descriptor table of the calling thread. A process of the user may have changed the mode of the first one,
/// see `linux::exec`, but not its bytes.
pub(super) fn copy_again(first: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(copy(&File::from(first.try_clone()?))?.into())
}

/// Whether a copy has the bytes of the running program, which already has the sessions.
fn is_running_program(copy: &File) -> bool {
    let running = || -> io::Result<bool> {
        let running = File::open("/proc/self/exe")?;
        have_same_bytes(&running, copy)
    };
    running().unwrap_or(false)
}

fn have_same_bytes(one: &File, other: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    const CHUNK: usize = 256 * 1024;
    let length = one.metadata()?.len();
    if other.metadata()?.len() != length {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < length {
        let size = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
        let (Some(left), Some(right)) = (left.get_mut(..size), right.get_mut(..size)) else { return Ok(false) };
        one.read_exact_at(left, at)?;
        other.read_exact_at(right, at)?;
        if left != right {
            return Ok(false);
        }
        at += size as u64;
    }
    Ok(true)
}

/// Removes the capabilities with which root may read every file from the calling thread. The kernel gives them to the next program
/// again.
pub(super) fn drop_read_capabilities() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    if sets.effective.intersects(READ_ANY_FILE) {
        sets.effective -= READ_ANY_FILE;
        set_capabilities(None, sets)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;
    use crate::handover::program_file;

    #[test]
    fn copy_cannot_be_read_or_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "content").unwrap();
        let copy = copy(&File::open(&path).unwrap()).unwrap();
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o111);
        assert!(copy.write_at(b"x", 0).is_err() && copy.set_len(0).is_err());
        fchmod(&copy, Mode::RWXU).unwrap();
        let copy = File::from(copy_again(&copy.into()).unwrap());
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o111);
        assert!(have_same_bytes(&File::open(&path).unwrap(), &copy).unwrap());
        fs::write(&path, "contemt").unwrap();
        assert!(!have_same_bytes(&File::open(&path).unwrap(), &copy).unwrap());
        fs::write(&path, "contents").unwrap();
        assert!(!have_same_bytes(&File::open(&path).unwrap(), &copy).unwrap());
    }

    /// A program of the user that differs from the running one may be anything.
    #[test]
    fn replaced_program_of_the_user_gets_no_base_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecalld");
        let scope = |writers| {
            let mut program = program_file::open(&path).unwrap();
            program.writers = writers;
            close(&program).unwrap().scope
        };
        fs::copy("/proc/self/exe", &path).unwrap();
        assert_eq!(scope(Writers::User), SnapshotScope::AllSessions);
        fs::copy("/bin/sh", &path).unwrap();
        assert_eq!(scope(Writers::User), SnapshotScope::NoBaseSessions);
        assert_eq!(scope(Writers::Root), SnapshotScope::AllSessions);
    }

    #[test]
    fn unreadable_program_is_trusted_only_from_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecalld");
        fs::copy("/bin/sh", &path).unwrap();
        let mut program = program_file::open(&path).unwrap();
        program.content = None;
        program.writers = Writers::User;
        assert!(close(&program).is_err());
        program.writers = Writers::Root;
        assert_eq!(close(&program).unwrap().scope, SnapshotScope::AllSessions);
        assert_eq!(leave_open(program).scope, SnapshotScope::NoSessions);
    }

    #[test]
    fn read_capabilities_are_dropped_for_one_thread() {
        let before = capabilities(None).unwrap();
        let dropped = std::thread::spawn(|| {
            drop_read_capabilities().unwrap();
            capabilities(None).unwrap()
        });
        assert!(!dropped.join().unwrap().effective.intersects(READ_ANY_FILE));
        assert_eq!(capabilities(None).unwrap(), before);
    }
}
