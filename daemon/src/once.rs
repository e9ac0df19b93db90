//! `--once token NAME`: one answer without a socket, for machines that have no usable runtime folder.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use rolecall_protocol::{ErrorBody, ErrorCode, Secret, location};

use rolecalld::agent::About;

use crate::args::{Args, Word};
use crate::run;

/// Answers and exits: standard output has the ExecCredential or nothing, standard error one line or nothing.
pub(crate) fn run(args: &Args, command: &[Word]) -> ExitCode {
    let [verb, name] = command else { return usage() };
    if verb.as_str() != "token" {
        return usage();
    }
    match token(args, name).and_then(|answer| print(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::complain(&format!("rolecall: {error}"));
            ExitCode::from(error.code.exit_code())
        }
    }
}

fn token(args: &Args, name: &Word) -> Result<Secret<Vec<u8>>, ErrorBody> {
    let failed = |error: String| ErrorBody::new(ErrorCode::Internal, error);
    let about = About { socket: String::new(), log: None, restarts: 0 };
    let agent = run::agent(args, about).map_err(|error| failed(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let info = location::exec_info().unwrap_or_default();
    runtime.block_on(agent.token(name, info.as_bytes(), None)).map_err(|error| error.0)
}

fn print(answer: &Secret<Vec<u8>>) -> Result<(), ErrorBody> {
    let mut out = std::io::stdout().lock();
    out.write_all(answer.expose())
        .and_then(|()| out.flush())
        .map_err(|error| ErrorBody::new(ErrorCode::Internal, format!("the answer could not be written: {error}")))
}

fn usage() -> ExitCode {
    run::complain("rolecalld: --once takes: token NAME");
    ExitCode::from(2)
}
