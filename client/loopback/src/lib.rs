//! Tells which user made a TCP connection on loopback. Linux lists the owner of each TCP socket; other systems do not.

use std::net::SocketAddr;

/// The user at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerUser {
    /// The user with this id.
    User(u32),
    /// The system lists no such connection: it is closed already, or not of IPv4.
    Unknown,
    /// The system does not tell the user of a connection.
    Unsupported,
}

/// Returns the user that owns the end `peer` of a connection whose other end is `own`.
#[cfg(target_os = "linux")]
#[must_use]
pub fn peer_user(peer: SocketAddr, own: SocketAddr) -> PeerUser {
    match (peer, own) {
        (SocketAddr::V4(peer), SocketAddr::V4(own)) => {
            linux::owner_of(peer, own).map_or(PeerUser::Unknown, PeerUser::User)
        }
        _ => PeerUser::Unknown,
    }
}

/// Returns the user that owns the end `peer` of a connection whose other end is `own`.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub const fn peer_user(_peer: SocketAddr, _own: SocketAddr) -> PeerUser {
    PeerUser::Unsupported
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read};
    use std::net::SocketAddrV4;

    /// How much of the table is read, in bytes: 400,000 sockets.
    const MAX_TABLE: u64 = 64 * 1024 * 1024;

    /// Returns the uid that owns the socket from `local` to `remote`; `None` if it is closed already.
    pub(super) fn owner_of(local: SocketAddrV4, remote: SocketAddrV4) -> Option<u32> {
        let table = BufReader::new(File::open("/proc/net/tcp").ok()?.take(MAX_TABLE));
        find(table, local, remote)
    }

    /// Finds a socket in the table (`proc_pid_net(5)`): number, local address, remote address, state, queues, timer,
    /// retransmissions, uid.
    pub(super) fn find(table: impl BufRead, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u32> {
        let (local, remote) = (entry(local), entry(remote));
        table.lines().map_while(Result::ok).find_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let is_it = fields.next()? == local && fields.next()? == remote;
            // In the state TIME_WAIT (06) the kernel lists no owner.
            let state = fields.next()?;
            fields.nth(3).filter(|_| is_it && state != "06")?.parse().ok()
        })
    }

    /// An address as the table has it: the four bytes in the order of the machine, and the port, in upper-case hex.
    fn entry(address: SocketAddrV4) -> String {
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    }

    #[cfg(test)]
    mod tests {
        use std::net::{Ipv4Addr, TcpListener, TcpStream};

        use super::*;

        #[test]
        fn find_reads_the_uid_of_the_other_end() {
            let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let (own, other) = (entry(at(4711)), entry(at(40000)));
            let row = |local: &str, remote: &str, state: &str, uid: u32| {
                format!(
                    "   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 12345 1\n"
                )
            };
            let table =
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                    .to_owned()
                    + &row(&own, &other, "01", 7)
                    + &row(&other, &own, "01", 1000);
            assert_eq!(find(table.as_bytes(), at(40000), at(4711)), Some(1000));
            assert_eq!(find(table.as_bytes(), at(40001), at(4711)), None);
            assert_eq!(find(row(&other, &own, "06", 0).as_bytes(), at(40000), at(4711)), None);
            assert_eq!(find(&b"x\ny z\n"[..], at(40000), at(4711)), None);
        }

        #[test]
        fn owner_of_a_connection_is_this_user() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (std::net::SocketAddr::V4(local), std::net::SocketAddr::V4(remote)) =
                (client.local_addr().unwrap(), client.peer_addr().unwrap())
            else {
                panic!("IPv4")
            };
            assert_eq!(owner_of(local, remote), Some(rustix::process::geteuid().as_raw()));
        }
    }
}
