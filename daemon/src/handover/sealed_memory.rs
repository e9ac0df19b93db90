//! Files in memory that no process can change.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, memfd_create};
use rustix::io::Errno;

/// No change, and no removal of these seals.
pub(super) const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Creates a file in memory. `executable` says whether it can be executed; kernels before 6.3 do not know the flag.
pub(super) fn memory(executable: MemfdFlags) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("rolecalld", flags | executable) {
        Err(Errno::INVAL) => memfd_create("rolecalld", flags),
        made => made,
    }
    .map_err(Into::into)
}
