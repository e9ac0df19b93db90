//! Whether this user's agent answers, which version it is, and whether it is locked.

use rolecall_protocol::{DaemonStatus, Hint};

use super::checked::{Checked, Repair};
use super::facts::{Facts, Unreachable};
use super::socket::NO_AGENT;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether an agent of this user answers. The client checks the process at each connection.
pub(super) fn process(facts: &Facts) -> Vec<Checked> {
    let name = "agent";
    vec![match &facts.agent {
        Ok(agent) => {
            let (pid, uid) = (agent.status.daemon.pid, rustix::process::geteuid().as_raw());
            Checked::ok(name, format!("process {pid} of this user (uid {uid})")).brief(format!("agent (process {pid})"))
        }
        Err(Unreachable { error, hung_pid: Some(pid) }) => {
            let cause = format!("process {pid} accepts connections and does not answer: {}", error.message());
            Checked::problem(name, "agent_hung", cause)
                .consequence("kubectl waits 10 s and gets no token.")
                .fix(Hint::command("rolecall agent restart"))
        }
        Err(Unreachable { error, hung_pid: None }) => Checked::problem(name, "agent_unreachable", error.message())
            .consequence(NO_AGENT)
            .fix(error.hint().cloned().unwrap_or_else(|| Hint::command("rolecall agent logs"))),
    }]
}

/// The version of the agent.
pub(super) fn version(facts: &Facts) -> Vec<Checked> {
    let of = |daemon: &DaemonStatus| {
        if daemon.version == VERSION {
            return Checked::ok("agent version", format!("{VERSION}, as rolecall"));
        }
        Checked::warning(
            "agent version",
            "agent_version",
            format!("the agent is {}, rolecall {VERSION}", daemon.version),
        )
        .consequence("The agent lacks what is new in rolecall, or rolecall does not understand it.")
        .fix(Hint::command("rolecall agent restart"))
        .repair(Repair::RestartAgent)
    };
    facts.agent.iter().map(|agent| of(&agent.status.daemon)).collect()
}

/// A locked agent, which serves no profile.
pub(super) fn locked(facts: &Facts) -> Vec<Checked> {
    let is_locked = facts.agent.as_ref().is_ok_and(|agent| agent.status.daemon.lock.locked);
    let found = || {
        Checked::problem("lock", "locked", "the agent is locked")
            .consequence("kubectl gets no token, and the profiles cannot be checked.")
            .fix(Hint::command("rolecall unlock"))
    };
    is_locked.then(found).into_iter().collect()
}

/// The agent does not know the endpoint of the checks.
pub(super) fn too_old() -> Checked {
    Checked::problem("agent version", "agent_too_old", "the agent is older than rolecall and cannot check profiles")
        .consequence("Sources, roles and clusters were not checked.")
        .fix(Hint::command("rolecall agent restart"))
        .repair(Repair::RestartAgent)
}
