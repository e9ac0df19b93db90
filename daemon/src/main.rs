//! The daemon's start: close the process, read the command line, open the configuration, take the socket, say so, serve.

mod args;
mod once;
mod run;

use std::process::ExitCode;

use clap::Parser;

use args::Args;

/// Wipes what is freed: the SDK, the HTTP client and TLS copy credentials around and forget to (row 48).
#[global_allocator]
static HEAP: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    #[allow(unsafe_code)] // its one caller
    let closed = unsafe { rolecalld::harden::close() };
    let args = Args::parse();
    if let Err(error) = closed {
        return run::refuse(&args, &error.to_string());
    }
    match &args.once {
        Some(command) => once::run(&args, command),
        None => run::run(&args),
    }
}
