//! The line between a program and a server: a relay on loopback that can lose what runs through it, as a sleeping
//! laptop's router does, or stop answering, as a firewall does.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

/// How long a connection on loopback takes at most that is not left without an answer.
const ANSWERED: Duration = Duration::from_millis(200);

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
    /// The relay accepts nothing: it has seen that it is cut.
    idle: bool,
    connections: Vec<Connection>,
    /// What fills the queue of a line that is cut.
    plug: Vec<TcpStream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Cut,
    Over,
}

#[derive(Clone, Debug)]
struct Connection {
    near: Arc<TcpStream>,
    far: Arc<TcpStream>,
    lost: Arc<AtomicBool>,
}

impl TcpRelay {
    /// A line that carries everything to `to`.
    pub fn to(to: SocketAddr) -> Self {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let state = RelayState { mode: Mode::Open, idle: false, connections: Vec::new(), plug: Vec::new() };
        let shared = Arc::new(Shared { to, state: Mutex::new(state), changed: Condvar::new() });
        let relay = Arc::clone(&shared);
        let thread = thread::Builder::new().name("line".to_owned()).spawn(move || relay.run(&listener));
        Self { addr, shared, thread: Some(thread.expect("a thread can be started")) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Loses every connection there is: what is sent on one is taken and never answered, and it stays open. New ones are
    /// carried.
    pub fn blackhole_existing(&self) {
        self.shared.state().blackhole_existing();
    }

    /// Leaves everybody without an answer: connections are lost, and who connects waits for an answer to the SYN.
    pub fn blackhole_all(&self) {
        let mut state = self.shared.state();
        state.mode = Mode::Cut;
        state.blackhole_existing();
        drop(state);
        // The first wakes the relay, which accepts no more from there on; the others fill its queue.
        let first = TcpStream::connect_timeout(&self.addr, ANSWERED);
        drop(self.shared.wait_while(|state| !state.idle));
        let more = std::iter::from_fn(|| TcpStream::connect_timeout(&self.addr, ANSWERED).ok());
        let plug: Vec<TcpStream> = first.into_iter().chain(more).collect();
        self.shared.state().plug = plug;
    }

    /// Carries again.
    pub fn restore(&self) {
        self.shared.switch(Mode::Open);
        self.shared.state().plug.clear();
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.shared.switch(Mode::Over);
        // It may be waiting for a caller.
        let last = TcpStream::connect_timeout(&self.addr, ANSWERED);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        drop(last);
        let mut state = self.shared.state();
        state.blackhole_existing();
        for connection in state.connections.drain(..) {
            let _ = connection.near.shutdown(Shutdown::Both);
        }
        drop(state);
        // While a test is failing already its own message is the one to read.
        assert!(ended || thread::panicking(), "the line's thread panicked");
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, RelayState> {
        // A panic under the lock is a failed test already; a second one while the first unwinds would end the whole
        // run.
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
            // A peer that is gone before it was accepted is its own business.
            let Ok((near, _)) = listener.accept() else { continue };
            match self.cleared() {
                Mode::Over => return,
                // It came while the line was cut.
                Mode::Cut => drop(near),
                Mode::Open => self.carry(near),
            }
        }
    }

    /// Waits while the line is cut, and says so: `Cut` if it was.
    fn cleared(&self) -> Mode {
        let mut state = self.state();
        if state.mode == Mode::Cut {
            state.idle = true;
            drop(state);
            self.changed.notify_all();
            let mut state = self.wait_while(|state| state.mode == Mode::Cut);
            state.idle = false;
            return if state.mode == Mode::Over { Mode::Over } else { Mode::Cut };
        }
        state.mode
    }

    fn carry(&self, near: TcpStream) {
        // A server that is gone is as one that closes.
        let Ok(far) = TcpStream::connect(self.to) else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let connection = Connection { near: near.into(), far: far.into(), lost: Arc::default() };
        self.state().connections.push(connection.clone());
        let back = connection.clone();
        thread::spawn(move || copy(&connection.near, &connection.far, &connection.lost));
        thread::spawn(move || copy(&back.far, &back.near, &back.lost));
    }
}

impl RelayState {
    fn blackhole_existing(&mut self) {
        for connection in &self.connections {
            connection.lost.store(true, Ordering::SeqCst);
            // The server hears the end; the caller, whose half we keep, hears nothing.
            let _ = connection.far.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, lost: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // What comes on a lost connection is taken and goes nowhere.
        if !lost.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    if !lost.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// A listener with the shortest queue there is, so that a few connections fill it.
fn listener() -> TcpListener {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = socket.expect("a socket can be made");
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listen(&socket, 0).expect("a bound socket can listen");
    socket.into()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    /// A server that says back what it is told.
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

    fn says_back(stream: &TcpStream) -> std::io::Result<[u8; 2]> {
        let (mut reader, mut writer) = (stream, stream);
        writer.write_all(b"hi")?;
        let mut answer = [0; 2];
        reader.read_exact(&mut answer).map(|()| answer)
    }

    #[test]
    fn it_carries_and_loses_and_carries_again() {
        let relay = TcpRelay::to(echo());
        let old = TcpStream::connect(relay.addr).unwrap();
        old.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(&says_back(&old).unwrap(), b"hi");
        relay.blackhole_existing();
        assert_eq!(says_back(&old).unwrap_err().kind(), ErrorKind::WouldBlock, "open, and silent");
        assert_eq!(&says_back(&TcpStream::connect(relay.addr).unwrap()).unwrap(), b"hi");
    }

    #[test]
    fn a_cut_line_answers_no_one_until_it_is_mended() {
        let relay = TcpRelay::to(echo());
        for _ in 0..3 {
            relay.blackhole_all();
            let waited = TcpStream::connect_timeout(&relay.addr, SHORT);
            assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
            relay.restore();
            assert_eq!(&says_back(&TcpStream::connect(relay.addr).unwrap()).unwrap(), b"hi");
        }
        relay.blackhole_all();
    }
}
