//! Load generator of `cargo measure`. Knows HTTP/1.1 on a Unix socket and nothing of Rolecall: requests come from a file.
//!
//! ```text
//! rolecall-load serve  SOCKET BYTES                         empty server, whose responses have a body of this length
//! rolecall-load closed SOCKET REQUESTS MODE CLIENTS MILLIS  sends as fast as the server responds; MODE: reuse or connect
//! rolecall-load open   SOCKET REQUESTS RATE MILLIS          sends RATE requests a second, on a connection each
//! rolecall-load burst  SOCKET REQUESTS CLIENTS              prints ready; after a line on stdin, sends on all connections at once
//! rolecall-load launch PROGRAM ARGUMENT…                    runs a program once
//! ```
//!
//! `closed` prints the number of responses, `open` and `burst` the time of each response in ns, `launch` the time of the
//! process in ns. Any other response than 200 ends the program with an error.

// The program prints its result and ends with a reason if it fails. It measures real time.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod connection;
mod generate;
mod serve;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use generate::Mode;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", socket, bytes] => serve::run(Path::new(socket), number(bytes)),
        ["closed", socket, requests, mode, clients, millis] => {
            let mode = if *mode == "reuse" { Mode::Reuse } else { Mode::Connect };
            generate::closed(Path::new(socket), Path::new(requests), mode, number(clients), duration(millis));
        }
        ["open", socket, requests, rate, millis] => {
            generate::open(Path::new(socket), Path::new(requests), number(rate), duration(millis));
        }
        ["burst", socket, requests, clients] => {
            generate::burst(Path::new(socket), Path::new(requests), number(clients));
        }
        ["launch", program, rest @ ..] => launch(program, rest),
        _ => panic!("wrong arguments: {arguments:?}; see the head of the source"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("the argument is a number")
}

fn duration(millis: &str) -> Duration {
    Duration::from_millis(millis.parse().expect("the argument is a number"))
}

/// Measures one process, from before its start until after its end. Its parent is this new process, as kubectl is the parent
/// of a plugin: the daemon takes several requests from children of one process for rejections by the cluster.
fn launch(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("the program can be started");
    let took = begin.elapsed();
    assert!(status.success(), "{program}: {status}");
    println!("{}", took.as_nanos());
}
