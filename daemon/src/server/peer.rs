//! Who is at the other end (P1). Handlers take an [`AuthorizedStream`], and only the check makes one.

use tokio::net::UnixStream;

/// A connection from the user's own processes.
pub(super) struct AuthorizedStream(UnixStream);

/// A connection from somebody else; it is closed before a byte of it is read.
pub(super) struct Denied {
    /// Whose it is; `None` if the kernel does not say.
    pub(super) uid: Option<u32>,
}

impl AuthorizedStream {
    /// Lets the daemon's own uid in and nobody else: not root either, which inside a container may be anybody.
    pub(super) fn check(stream: UnixStream) -> Result<Self, Denied> {
        let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
        if is_own(uid, rustix::process::geteuid().as_raw()) { Ok(Self(stream)) } else { Err(Denied { uid }) }
    }

    pub(super) fn into_inner(self) -> UnixStream {
        self.0
    }
}

fn is_own(peer: Option<u32>, own: u32) -> bool {
    peer == Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_1_to_3_only_the_own_uid_comes_in() {
        assert!(is_own(Some(1000), 1000));
        for peer in [None, Some(0), Some(1001), Some(65534)] {
            assert!(!is_own(peer, 1000), "{peer:?}");
        }
    }
}
