//! The daemon's start: harden the process, parse the command line, then run the daemon or one command.

mod args;
mod once;
mod run;

use std::process::ExitCode;

use args::{Args, Parsed};

/// Wipes freed memory: the SDK, the HTTP client and TLS make copies of credentials and do not wipe them (row 48).
#[global_allocator]
static HEAP: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    // SAFETY: no thread has been started yet.
    #[allow(unsafe_code)] // its one caller
    let hardened = unsafe { rolecalld::harden::harden_process() };
    rolecalld::panic_hook::install();
    let args = match Args::parse(std::env::args_os()) {
        Ok(Parsed::Run(args)) => args,
        Ok(Parsed::Print(text)) => return run::print(&text),
        Err(error) => {
            run::print_error(&format!("rolecalld: {error}; see: rolecalld --help"));
            return ExitCode::from(2);
        }
    };
    let hardened = match hardened {
        Ok(hardened) => hardened,
        Err(error) => return run::fail_start(&args, &error.to_string()),
    };
    match &args.once {
        Some(command) => once::run(&args, command),
        None => run::run(&args, hardened),
    }
}
