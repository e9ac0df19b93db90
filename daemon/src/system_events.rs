//! Events of the system: the network changes, the clock is set, the machine wakes up. After one, failed work is retried immediately
//! (B10, B11); without them it is retried at its next time.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

/// How long messages are collected after one: a change of the network is many messages.
const BURST_TIME: Duration = Duration::from_secs(3);

/// Calls `changed` after each change, until `stop`.
pub async fn follow(stop: CancellationToken, changed: impl Fn()) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = kernel::watch(&changed) => {}
    }
}

/// Calls `changed` after each event of `source`, a socket or another descriptor that becomes readable, until it fails.
async fn follow_source(source: rustix::io::Result<OwnedFd>, what: &str, changed: &impl Fn()) {
    // No source is a pipe, but waiting and reading work in the same way.
    let source = source.map_err(std::io::Error::from).and_then(Receiver::from_owned_fd_unchecked);
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            return tracing::info!(%error, what, "system events unavailable");
        }
    };
    while source.readable().await.is_ok() {
        match drain(&source) {
            Ok(false) => {}
            Ok(true) => {
                tracing::debug!(what, "system changed");
                changed();
                tokio::time::sleep(BURST_TIME).await;
            }
            Err(error) => return tracing::info!(%error, what, "system events ended"),
        }
    }
}

/// Reads all messages. Returns whether there was one; its content does not matter.
fn drain(source: &Receiver) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    let mut has_message = false;
    loop {
        let read = source.try_read(&mut buffer);
        match read.as_ref().map_err(Errno::from_io_error) {
            // The socket's buffer overflowed, or the clock was set: there may be more.
            Ok(1..) | Err(Some(Errno::NOBUFS | Errno::CANCELED)) => has_message = true,
            Err(Some(Errno::INTR)) => {}
            Err(Some(Errno::WOULDBLOCK)) => return Ok(has_message),
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Err(_) => return read.map(|_| has_message),
        }
    }
}

/// Linux reports both: rtnetlink(7) changes of links, addresses and routes; timerfd_create(2) with TFD_TIMER_CANCEL_ON_SET a clock
/// that is set, which a wake-up does too.
#[cfg(target_os = "linux")]
mod kernel {
    use std::os::fd::OwnedFd;

    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };

    /// Netlink groups: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE (linux/rtnetlink.h).
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    /// A time in the 26th century, in seconds since 1970: the timer must not expire.
    const NEVER: i64 = 1 << 34;

    /// Calls `changed` after each change.
    pub(super) async fn watch(changed: &impl Fn()) {
        tokio::join!(
            crate::system_events::follow_source(network(), "network", changed),
            crate::system_events::follow_source(clock(), "clock", changed)
        );
    }

    fn network() -> rustix::io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?; // protocol 0 is NETLINK_ROUTE
        bind(&fd, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(fd)
    }

    fn clock() -> rustix::io::Result<OwnedFd> {
        let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let never = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: NEVER, tv_nsec: 0 },
        };
        timerfd_settime(&fd, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &never)?;
        Ok(fd)
    }
}

/// macOS reports changes of links, addresses and routes to a routing socket (route(4)). They include a wake-up with a network;
/// for a clock that is set, and a wake-up without a network, see `POLL_INTERVAL` of [`crate::renew`].
#[cfg(target_os = "macos")]
mod kernel {
    use std::os::fd::OwnedFd;

    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::io::{FdFlags, fcntl_setfd};
    use rustix::net::{AddressFamily, SocketType, socket};

    /// Calls `changed` after each change.
    pub(super) async fn watch(changed: &impl Fn()) {
        crate::system_events::follow_source(network(), "network", changed).await;
    }

    fn network() -> rustix::io::Result<OwnedFd> {
        let fd = socket(AddressFamily::ROUTE, SocketType::RAW, None)?; // protocol 0 is every address family
        fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        fcntl_setfl(&fd, OFlags::NONBLOCK)?;
        Ok(fd)
    }
}
