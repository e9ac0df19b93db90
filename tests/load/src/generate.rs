//! Clients: as many requests as the server answers, a fixed rate, or all at once.

use std::fs;
use std::io::stdin;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// Separates the requests in their file. No request contains it.
const SEPARATOR: u8 = 0;
/// Threads that send at a fixed rate. At 1,000 requests a second they keep the rate if each response takes less than 48 ms. The
/// daemon lets one process have 64 connections.
const SENDERS: usize = 48;

/// Whether a connection serves several requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Reuse,
    Connect,
}

/// Requests that are sent in turn.
struct Requests {
    all: Vec<Vec<u8>>,
    next: AtomicUsize,
}

impl Requests {
    fn read(path: &Path) -> Self {
        let text = fs::read(path).expect("the file of requests is readable");
        let all: Vec<_> = text.split(|byte| *byte == SEPARATOR).map(<[u8]>::to_vec).collect();
        Self { all, next: AtomicUsize::new(0) }
    }

    /// Returns the next request and its number.
    fn next(&self) -> (usize, &[u8]) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, &self.all[number % self.all.len()])
    }
}

/// Sends the next request when the response to the last one is there, from this number of threads. Prints the number of responses
/// within the time.
pub(crate) fn closed(socket: &Path, requests: &Path, mode: Mode, clients: usize, time: Duration) {
    let (requests, responses) = (Requests::read(requests), AtomicUsize::new(0));
    let end = Instant::now() + time;
    let send = || {
        let mut connection = None;
        while Instant::now() < end {
            let mut current = connection.take().unwrap_or_else(|| Connection::open(socket));
            current.send(requests.next().1);
            current.receive();
            if Instant::now() < end {
                responses.fetch_add(1, Ordering::Relaxed);
            }
            connection = (mode == Mode::Reuse).then_some(current);
        }
    };
    thread::scope(|scope| (0..clients).for_each(|_| drop(scope.spawn(send))));
    println!("{}", responses.into_inner());
}

/// Sends at a fixed rate, whether or not earlier responses are there, and prints the time from when each request was due until its
/// response. A request that is sent late, because the server or this program was slow, has waited during that time.
pub(crate) fn open(socket: &Path, requests: &Path, rate: usize, time: Duration) {
    let requests = Requests::read(requests);
    let interval = Duration::from_secs(1) / u32::try_from(rate).expect("the rate is small");
    let latencies = Mutex::new(Vec::new());
    let begin = Instant::now() + interval;
    let send = || {
        precise_sleep();
        let mut own = Vec::new();
        loop {
            let (number, request) = requests.next();
            let due = begin + interval * u32::try_from(number).expect("the number of requests is small");
            if due >= begin + time {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut connection = Connection::open(socket);
            connection.send(request);
            connection.receive();
            own.push(due.elapsed());
        }
        latencies.lock().expect("no thread panicked").append(&mut own);
    };
    thread::scope(|scope| (0..SENDERS).for_each(|_| drop(scope.spawn(send))));
    print(&latencies.into_inner().expect("no thread panicked"));
}

/// Prints `ready`, waits for a line on standard input, opens all connections and sends on each before it reads the first response. Prints the time
/// from that line until each response was read.
pub(crate) fn burst(socket: &Path, requests: &Path, clients: usize) {
    let requests = Requests::read(requests);
    println!("ready");
    stdin().read_line(&mut String::new()).expect("standard input is readable");
    let begin = Instant::now();
    let open = |_| {
        let mut connection = Connection::open(socket);
        connection.send(requests.next().1);
        connection
    };
    let connections: Vec<Connection> = (0..clients).map(open).collect();
    let receive = |mut connection: Connection| {
        connection.receive();
        begin.elapsed()
    };
    print(&connections.into_iter().map(receive).collect::<Vec<_>>());
}

/// Lets this thread sleep as exactly as the kernel can, rather than up to 50 µs too long.
fn precise_sleep() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

fn print(times: &[Duration]) {
    for time in times {
        println!("{}", time.as_nanos());
    }
}
