//! Processes by proc_pidinfo(3). It reports processes of this user only, so a chain of parents ends at the first of root.

use std::ffi::c_char;
use std::fs::Metadata;
use std::path::PathBuf;

use rustix::process::{Pid, getsid};

use super::Process;
use crate::darwin;

pub(super) fn find(pid: u32) -> Option<Process> {
    let facts = darwin::process_facts(pid)?;
    let session = getsid(Some(Pid::from_raw(i32::try_from(pid).ok()?)?)).ok()?;
    Some(Process {
        pid,
        started: facts.pbi_start_tvsec * 1_000_000 + facts.pbi_start_tvusec,
        parent: facts.pbi_ppid,
        session: u32::try_from(session.as_raw_nonzero().get()).ok()?,
        command: text(&facts.pbi_comm),
    })
}

pub(super) fn program_path(pid: u32) -> Option<PathBuf> {
    darwin::program_path(pid)
}

/// Returns the metadata of the file that the program's path has now. A replaced program therefore counts as the new file.
pub(super) fn program_metadata(pid: u32) -> Option<Metadata> {
    program_path(pid)?.metadata().ok()
}

/// Returns the text before the first zero.
fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
