//! An HTTP proxy on loopback that tunnels (CONNECT, RFC 9110, 9.3.6). Every tunnel leads to one server, so a test can
//! use real host names.

use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Read timeout for the request of a client.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest request head.
const MAX_HEAD: usize = 16 * 1024;

/// A running proxy. Dropping it closes its port; a tunnel ends when its ends close.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    /// The required value of `Proxy-Authorization`.
    required: Option<String>,
    targets: Mutex<Vec<String>>,
    is_stopped: AtomicBool,
}

impl Proxy {
    /// Starts a proxy that connects every tunnel to `to`. With `user` (`NAME:PASSWORD`) it requires basic
    /// authentication.
    pub fn start(to: SocketAddr, user: Option<&str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let required = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
        let shared = Arc::new(Shared { to, required, targets: Mutex::default(), is_stopped: AtomicBool::new(false) });
        let handlers = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if handlers.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let handlers = Arc::clone(&handlers);
                // A client may disconnect at any time.
                thread::spawn(move || handlers.serve(client).unwrap_or_default());
            }
        });
        Self { addr, shared, thread: Some(thread) }
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the targets of all requests so far, as `HOST:PORT`.
    pub fn targets(&self) -> Vec<String> {
        self.shared.targets().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the proxy's thread panicked");
        }
    }
}

impl Shared {
    fn targets(&self) -> MutexGuard<'_, Vec<String>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(REQUEST_TIMEOUT))?;
        let head = head(&mut client)?;
        let mut words = head.split_whitespace();
        let (Some("CONNECT"), Some(target)) = (words.next(), words.next()) else {
            return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
        };
        self.targets().push(target.to_owned());
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let mut given = headers.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
        if self.required.as_deref() != given.next().map(|(_, value)| value) {
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

/// Reads a request up to its empty line.
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
    // Any error ends the tunnel.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
