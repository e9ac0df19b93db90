//! What happens to the machine: its network changes, its clock is set, it wakes up. Nothing depends on hearing of it, since
//! everything is tried again in time; but then it is tried at once (B10, B11).

use tokio_util::sync::CancellationToken;

/// Calls `changed` after each change, until `stop`.
pub async fn follow(stop: CancellationToken, changed: impl Fn()) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = kernel::tell(&changed) => {}
    }
}

/// Linux tells of both: rtnetlink(7) of links, addresses and routes; timerfd_create(2), TFD_TIMER_CANCEL_ON_SET, of a clock
/// that was set, which waking up does too.
#[cfg(target_os = "linux")]
mod kernel {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    /// A change of the network is many messages, and containers come and go: what happens after the first of them is told
    /// once more, so much later.
    const BURST: Duration = Duration::from_secs(3);
    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE (linux/rtnetlink.h).
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    /// Some time in the 26th century, in seconds: the timer is not there to expire.
    const NEVER: i64 = 1 << 34;

    /// Calls `changed` after each change.
    pub(super) async fn tell(changed: &impl Fn()) {
        tokio::join!(follow(network(), "network", changed), follow(clock(), "clock", changed));
    }

    async fn follow(source: rustix::io::Result<OwnedFd>, what: &str, changed: &impl Fn()) {
        // Neither is a pipe, but all that is done with them is to wait and to read.
        let source = source.map_err(std::io::Error::from).and_then(Receiver::from_owned_fd_unchecked);
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                return tracing::info!(%error, what, "Changes are not told; what fails is tried again in time");
            }
        };
        while source.readable().await.is_ok() {
            match drain(&source) {
                Ok(false) => {}
                Ok(true) => {
                    tracing::debug!(what, "A change");
                    changed();
                    tokio::time::sleep(BURST).await;
                }
                Err(error) => return tracing::info!(%error, what, "Changes are not told any more"),
            }
        }
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

    /// Reads what there is; what it says does not matter, only that it says something.
    fn drain(source: &Receiver) -> std::io::Result<bool> {
        let mut buffer = [0; 4096];
        let mut is_told = false;
        loop {
            let read = source.try_read(&mut buffer);
            match read.as_ref().map_err(Errno::from_io_error) {
                // Told more than the socket can hold, or told that the clock was set: there may be more.
                Ok(1..) | Err(Some(Errno::NOBUFS | Errno::CANCELED)) => is_told = true,
                Err(Some(Errno::INTR)) => {}
                Err(Some(Errno::WOULDBLOCK)) => return Ok(is_told),
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Err(_) => return read.map(|_| is_told),
            }
        }
    }
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) async fn tell(_: &impl Fn()) {
        std::future::pending().await
    }
}
