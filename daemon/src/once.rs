//! `--once token NAME`: one token without a socket, for machines without a usable runtime folder.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use rolecall_protocol::{Endpoint, EntryProof, ErrorBody, ErrorCode, Secret, location};

use rolecalld::processes::Process;
use rolecalld::services::audit::Client;
use rolecalld::services::status::About;

use crate::args::{Args, Word};
use crate::run;

/// Prints the ExecCredential on standard output, or one line on standard error.
pub(crate) fn run(args: &Args, [verb, name]: &[Word; 2]) -> ExitCode {
    if verb.as_str() != "token" {
        return usage();
    }
    match token(args, name).and_then(|credential| print(&credential)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::print_error(&format!("rolecall: {error}"));
            ExitCode::from(error.code.exit_code())
        }
    }
}

fn token(args: &Args, name: &Word) -> Result<Secret<Vec<u8>>, ErrorBody> {
    let failed = |error: String| ErrorBody::new(ErrorCode::Internal, error);
    let about = About { socket: String::new(), log: None, restarts: 0 };
    let agent = run::create_agent(args, about).map_err(|error| failed(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let info = location::exec_info().unwrap_or_default();
    let proof = match location::entry_key() {
        Some(key) => EntryProof::Key(key),
        None if args.to_terminal => EntryProof::Terminal,
        None => EntryProof::Absent,
    };
    // The client is the parent of this process.
    let parent = std::os::unix::process::parent_id();
    let client =
        Client { uid: Some(rustix::process::geteuid().as_raw()), pid: Some(parent), process: Process::find(parent) };
    let audited = agent.audit.begin(&Endpoint::Token(name.clone()), &client);
    let served = runtime.block_on(agent.token.token_without_daemon(name, info.as_bytes(), &proof));
    if let Some(request) = audited {
        let result = served.as_ref().map(|token| Some(token.facts.clone())).map_err(|error| error.0.code);
        agent.audit.decided(request, result);
        agent.audit.log().flush(run::AUDIT_FLUSH_TIMEOUT);
    }
    served.map(|token| token.credential).map_err(|error| error.0)
}

fn print(credential: &Secret<Vec<u8>>) -> Result<(), ErrorBody> {
    let mut out = std::io::stdout().lock();
    out.write_all(credential.expose())
        .and_then(|()| out.flush())
        .map_err(|error| ErrorBody::new(ErrorCode::Internal, format!("cannot write the token: {error}")))
}

fn usage() -> ExitCode {
    run::print_error("rolecalld: usage: rolecalld --once token NAME");
    ExitCode::from(2)
}
