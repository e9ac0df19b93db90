//! `--once token NAME`: one token without a socket, for machines without a usable runtime folder. `--once config check`: the status
//! of a configuration that no daemon uses.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::Arc;

use rolecall_protocol::{Endpoint, EntryProof, ErrorBody, ErrorCode, Secret, location};

use rolecalld::agent::Agent;
use rolecalld::processes::Process;
use rolecalld::services::audit::Client;
use rolecalld::services::status::About;

use crate::args::{Args, Word};
use crate::run;

/// Prints the ExecCredential or the status on standard output, or one line on standard error.
pub(crate) fn run(args: &Args, [verb, name]: &[Word; 2]) -> ExitCode {
    let done = match (verb.as_str(), name.as_str()) {
        ("token", _) => token(args, name).and_then(|credential| print(credential.expose(), "token")),
        ("config", "check") => config_status(args).and_then(|status| print(&status, "status")),
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::print_error(&format!("rolecall: {error}"));
            ExitCode::from(error.code.exit_code())
        }
    }
}

fn token(args: &Args, name: &Word) -> Result<Secret<Vec<u8>>, ErrorBody> {
    let agent = agent(args)?;
    run::open_state(&agent);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
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

/// Returns a line with the [`ConfigStatus`](rolecall_protocol::ConfigStatus).
fn config_status(args: &Args) -> Result<Vec<u8>, ErrorBody> {
    let mut line = serde_json::to_vec(&agent(args)?.config.config_status()).map_err(failed)?;
    line.push(b'\n');
    Ok(line)
}

fn agent(args: &Args) -> Result<Arc<Agent>, ErrorBody> {
    run::create_agent(args, About { socket: String::new(), log: None, restarts: 0 }).map_err(failed)
}

fn failed(error: impl Display) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}

fn print(bytes: &[u8], what: &str) -> Result<(), ErrorBody> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| failed(format!("cannot write the {what}: {error}")))
}

fn usage() -> ExitCode {
    run::print_error("rolecalld: usage: rolecalld --once token NAME, or rolecalld --once config check");
    ExitCode::from(2)
}
