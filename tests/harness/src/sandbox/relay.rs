//! A TCP relay on loopback between a program and a server. It can drop all traffic of its connections, as a sleeping
//! laptop's router does, or stop accepting connections, as a firewall does.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::listen;

/// A connect on loopback that the kernel accepts takes less than this.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// A relay to one server. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct TcpRelay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    state: Mutex<RelayState>,
    changed: Condvar,
}

#[derive(Debug)]
struct RelayState {
    mode: Mode,
    /// The relay thread has stopped accepting.
    idle: bool,
    connections: Vec<Connection>,
    /// Connections that fill the accept queue of a blocked relay.
    queue_fillers: Vec<TcpStream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Blocked,
    Stopped,
}

#[derive(Clone, Debug)]
struct Connection {
    near: Arc<TcpStream>,
    far: Arc<TcpStream>,
    blackholed: Arc<AtomicBool>,
}

impl TcpRelay {
    /// Starts a relay to `to`.
    pub fn to(to: SocketAddr) -> Self {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let state = RelayState { mode: Mode::Open, idle: false, connections: Vec::new(), queue_fillers: Vec::new() };
        let shared = Arc::new(Shared { to, state: Mutex::new(state), changed: Condvar::new() });
        let relay = Arc::clone(&shared);
        let thread = thread::Builder::new().name("tcp-relay".to_owned()).spawn(move || relay.run(&listener));
        Self { addr, shared, thread: Some(thread.expect("a thread can be started")) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Drops all traffic of the existing connections, which stay open. New connections work.
    pub fn blackhole_existing(&self) {
        self.shared.state().blackhole_existing();
    }

    /// Drops all traffic of the existing connections, and leaves new ones without a response to their SYN.
    pub fn blackhole_all(&self) {
        let mut state = self.shared.state();
        state.mode = Mode::Blocked;
        state.blackhole_existing();
        drop(state);
        // The first connection wakes the relay thread, which stops accepting. The others fill its accept queue.
        let first = TcpStream::connect_timeout(&self.addr, CONNECT_TIMEOUT);
        drop(self.shared.wait_while(|state| !state.idle));
        let more = std::iter::from_fn(|| TcpStream::connect_timeout(&self.addr, CONNECT_TIMEOUT).ok());
        let queue_fillers: Vec<TcpStream> = first.into_iter().chain(more).collect();
        self.shared.state().queue_fillers = queue_fillers;
    }

    /// Relays new connections again.
    pub fn restore(&self) {
        self.shared.switch(Mode::Open);
        self.shared.state().queue_fillers.clear();
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.shared.switch(Mode::Stopped);
        // The relay thread may be waiting for a connection.
        let last = TcpStream::connect_timeout(&self.addr, CONNECT_TIMEOUT);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        drop(last);
        let mut state = self.shared.state();
        state.blackhole_existing();
        for connection in state.connections.drain(..) {
            let _ = connection.near.shutdown(Shutdown::Both);
        }
        drop(state);
        // A failing test shows its own message.
        assert!(ended || thread::panicking(), "the relay thread panicked");
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, RelayState> {
        // A panic under the lock is a failed test already; a second panic while it unwinds would abort the whole run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, so: impl Fn(&RelayState) -> bool) -> MutexGuard<'_, RelayState> {
        self.changed.wait_while(self.state(), |state| so(state)).unwrap_or_else(PoisonError::into_inner)
    }

    fn switch(&self, mode: Mode) {
        self.state().mode = mode;
        self.changed.notify_all();
    }

    fn run(&self, listener: &TcpListener) {
        loop {
            // The client may close the connection before it is accepted.
            let Ok((near, _)) = listener.accept() else { continue };
            match self.wait_while_blocked() {
                Mode::Stopped => return,
                // The connection came while the relay was blocked.
                Mode::Blocked => drop(near),
                Mode::Open => self.relay(near),
            }
        }
    }

    /// Waits while the relay is blocked. Returns `Blocked` if it was.
    fn wait_while_blocked(&self) -> Mode {
        let mut state = self.state();
        if state.mode == Mode::Blocked {
            state.idle = true;
            drop(state);
            self.changed.notify_all();
            let mut state = self.wait_while(|state| state.mode == Mode::Blocked);
            state.idle = false;
            return if state.mode == Mode::Stopped { Mode::Stopped } else { Mode::Blocked };
        }
        state.mode
    }

    fn relay(&self, near: TcpStream) {
        // If the server is gone, the client sees a closed connection.
        let Ok(far) = TcpStream::connect(self.to) else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let connection = Connection { near: near.into(), far: far.into(), blackholed: Arc::default() };
        let mut state = self.state();
        // The threads of an ended connection have dropped their copies.
        state.connections.retain(|known| Arc::strong_count(&known.near) > 1);
        state.connections.push(connection.clone());
        drop(state);
        let back = connection.clone();
        thread::spawn(move || copy(&connection.near, &connection.far, &connection.blackholed));
        thread::spawn(move || copy(&back.far, &back.near, &back.blackholed));
    }
}

impl RelayState {
    fn blackhole_existing(&mut self) {
        for connection in &self.connections {
            connection.blackholed.store(true, Ordering::SeqCst);
            // The server sees the end of the connection; the client, whose half stays open, sees nothing.
            let _ = connection.far.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, blackholed: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // Data of a black-holed connection is discarded.
        if !blackholed.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    if !blackholed.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// Returns a listener with the shortest accept queue, so that a few connections fill it.
fn listener() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    // A second listen(2) changes the length of the queue.
    listen(&listener, 0).expect("a bound socket can listen");
    listener
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const SHORT_WAIT: Duration = Duration::from_millis(50);

    /// Starts a server that echoes its input.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        addr
    }

    fn echo_reply(stream: &TcpStream) -> std::io::Result<[u8; 2]> {
        let (mut reader, mut writer) = (stream, stream);
        writer.write_all(b"hi")?;
        let mut answer = [0; 2];
        reader.read_exact(&mut answer).map(|()| answer)
    }

    #[test]
    fn relay_blackholed_connection_times_out_new_works() {
        let relay = TcpRelay::to(echo());
        let old = TcpStream::connect(relay.addr).unwrap();
        old.set_read_timeout(Some(SHORT_WAIT)).unwrap();
        assert_eq!(&echo_reply(&old).unwrap(), b"hi");
        relay.blackhole_existing();
        assert_eq!(echo_reply(&old).unwrap_err().kind(), ErrorKind::WouldBlock, "open, without data");
        assert_eq!(&echo_reply(&TcpStream::connect(relay.addr).unwrap()).unwrap(), b"hi");
    }

    #[test]
    fn relay_blocked_refuses_until_restored() {
        let relay = TcpRelay::to(echo());
        for _ in 0..3 {
            relay.blackhole_all();
            let waited = TcpStream::connect_timeout(&relay.addr, SHORT_WAIT);
            assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
            relay.restore();
            assert_eq!(&echo_reply(&TcpStream::connect(relay.addr).unwrap()).unwrap(), b"hi");
        }
        relay.blackhole_all();
    }
}
