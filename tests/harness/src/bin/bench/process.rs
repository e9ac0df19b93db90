//! What the kernel reports of a process.

use std::fs;
use std::time::Duration;

/// Returns the processor time of a process so far, with threads that have ended. `/proc/PID/stat` has it in steps of 10 ms, which
/// is as much as hundreds of requests.
#[cfg(target_os = "linux")]
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a process id fits"));
    let clock = nix::time::clock_getcpuclockid(pid).expect("the process runs");
    nix::time::clock_gettime(clock).expect("the clock exists").into()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let [user, system, _] = times(&pid.to_string());
    user + system
}

/// Returns the user time of all processes that this process and its children have waited for.
pub(crate) fn children_user_time() -> Duration {
    let [_, _, children] = times("self");
    children
}

/// Returns the fields 14 to 16 of `/proc/PID/stat`: user time, system time, and user time of children.
fn times(pid: &str) -> [Duration; 3] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name of the program, the second field, is in parentheses and may contain spaces.
    let (_, fields) = stat.rsplit_once(')').expect("the second field is in parentheses");
    let mut ticks = fields.split_whitespace().skip(11).map(|field| field.parse::<u64>().expect("a number of ticks"));
    let tick = Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).expect("a small number");
    std::array::from_fn(|_| tick * u32::try_from(ticks.next().expect("stat has 52 fields")).expect("a small number"))
}

/// Returns a field of `/proc/PID/status` in MB.
pub(crate) fn megabytes(pid: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel reports the field");
    let kilobytes: f64 = line.trim_end_matches(" kB").trim().parse().expect("a number");
    kilobytes * 1024.0 / 1e6
}

/// Returns how often the threads of a process went to sleep, and so were woken before. A wait for a page of the program that the system
/// has dropped from memory (a major fault, field 12 of `/proc/PID/task/TID/stat`) is none.
pub(crate) fn wake_ups(pid: u32) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let of_task = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let major_faults = stat.rsplit_once(')')?.1.split_whitespace().nth(9)?;
        Some(switches.trim().parse::<u32>().ok()?.saturating_sub(major_faults.parse().ok()?))
    };
    tasks.filter_map(|task| of_task(task.ok()?)).sum()
}
