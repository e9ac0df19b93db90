//! An HTTP proxy on loopback that tunnels (CONNECT, RFC 9110, 9.3.6): whatever it is asked for, it leads to one server, so
//! that a test may use the names of the real world.

use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How long a client may take over its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// More is no request of a client that a test knows.
const MAX_HEAD: usize = 16 * 1024;

/// A running proxy. Dropping it closes its port; tunnels end with their two ends.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    /// What `Proxy-Authorization` must say.
    wanted: Option<String>,
    asked: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Proxy {
    /// A proxy that leads to `to`, and wants a name and a password (`NAME:PASSWORD`) if there are some.
    pub fn start(to: SocketAddr, user: Option<&str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let wanted = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
        let shared = Arc::new(Shared { to, wanted, asked: Mutex::default(), is_over: AtomicBool::new(false) });
        let inside = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inside.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let inside = Arc::clone(&inside);
                // A client that goes away is its own business.
                thread::spawn(move || inside.serve(client).unwrap_or_default());
            }
        });
        Self { addr, shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it was asked for so far, as `HOST:PORT`.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread up, unless it is gone.
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the proxy's thread panicked");
        }
    }
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let head = head(&mut client)?;
        let mut words = head.split_whitespace();
        let (Some("CONNECT"), Some(target)) = (words.next(), words.next()) else {
            return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
        };
        self.asked().push(target.to_owned());
        let said = head.lines().filter_map(|line| line.split_once(": "));
        let mut said = said.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
        if self.wanted.as_deref() != said.next().map(|(_, value)| value) {
            return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
        }
        let server = TcpStream::connect(self.to)?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        client.set_read_timeout(None)?;
        let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
        let there = thread::spawn(move || pump(from_client, server));
        pump(from_server, client);
        there.join().unwrap_or_default();
        Ok(())
    }
}

/// A request up to its empty line.
fn head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, it has ended.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
