//! Whether other processes of this user can read the agent's memory, where the sessions are.

use super::checked::Checked;
use super::facts::Facts;
use rolecall_protocol::Hint;

/// The next command starts the agent, which then protects its memory.
const START_AGAIN: &str = "rolecall agent stop && rolecall agent start";

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    match &facts.agent {
        Ok(agent) if cfg!(target_os = "linux") => vec![memory(agent.status.daemon.pid), core(agent.status.daemon.pid)],
        _ => Vec::new(),
    }
}

/// The kernel refuses to open the memory of a process that is not dumpable, unless root asks.
fn memory(pid: u32) -> Checked {
    let name = "agent's memory";
    let opened = std::fs::File::open(format!("/proc/{pid}/mem"));
    match opened {
        Err(_) => Checked::ok(name, "closed to other processes of this user"),
        Ok(_) if rustix::process::geteuid().is_root() => {
            Checked::warning(name, "runs_as_root", "not checked: root can read the memory of every process")
                .consequence("Every process of root can read the sessions.")
                .fix("Run Rolecall as a user other than root")
        }
        Ok(_) => Checked::problem(name, "memory_open", "open to other processes of this user")
            .consequence("Each of them can read the sessions and the tokens.")
            .fix(Hint::command(START_AGAIN)),
    }
}

/// A limit of one byte also prevents a dump into a pipe (core(5)).
fn core(pid: u32) -> Checked {
    let name = "core dumps";
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    match core_limit(&limits) {
        Some("0" | "1") => Checked::ok(name, "the agent writes none"),
        limit => {
            let cause = limit.map_or_else(
                || "the limit is unknown".to_owned(),
                |limit| format!("the agent may write {limit} bytes"),
            );
            Checked::problem(name, "core_dumps", cause)
                .consequence("A crash could write the sessions to a disk.")
                .fix(Hint::command(START_AGAIN))
        }
    }
}

/// Returns the soft limit in the text of `/proc/PID/limits`.
fn core_limit(limits: &str) -> Option<&str> {
    limits.lines().find_map(|line| line.strip_prefix("Max core file size"))?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::core_limit;

    #[test]
    fn core_limit_is_the_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max core file size        1                    unlimited            bytes\n";
        assert_eq!(core_limit(limits), Some("1"));
        assert_eq!(core_limit(""), None);
    }
}
