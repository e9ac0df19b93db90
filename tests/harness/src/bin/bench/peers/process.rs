//! Processes: the time of one, of many at once, and their memory.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::contender::Contender;
use crate::load::launched;

/// How often the memory of a program is read. Without a pause at first, for programs that end within milliseconds.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(2);
/// Runs of a program whose memory is read, unless they take longer than this.
const MEMORY_RUNS: u32 = 5;
const MEMORY_TIME: Duration = Duration::from_millis(500);
/// How long Rolecall's daemon is stopped, while the memory of the client that waits for it is read.
const HOLD: Duration = Duration::from_millis(100);

/// Runs a program to its end. Returns the time from before its start until after its end. Panics if it fails.
pub(super) fn succeed(command: &mut Command) -> Duration {
    let begin = Instant::now();
    let status = wait(&mut spawn(command));
    let took = begin.elapsed();
    assert!(status.success(), "{status}: {command:?}");
    took
}

/// Measures one call of a program with a new process as its parent, as kubectl is. Panics if it fails.
pub(super) fn token(launcher: &Path, contender: &Contender) -> Duration {
    let mut command = launched(launcher, &contender.command());
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("the launcher can be started");
    assert!(output.status.success(), "{} failed", contender.name);
    let nanos = String::from_utf8_lossy(&output.stdout).trim().parse();
    Duration::from_nanos(nanos.expect("the launcher prints a number"))
}

/// Runs `count` calls of a program at once, each with a new process as its parent, to the end of the last. Returns the time and the
/// number of failures.
pub(super) fn at_once(launcher: &Path, count: u32, contender: &Contender) -> (Duration, usize) {
    let mut commands: Vec<Command> = (0..count).map(|_| launched(launcher, &contender.command())).collect();
    let begin = Instant::now();
    let mut children: Vec<Child> = commands.iter_mut().map(spawn).collect();
    let failures = children.iter_mut().map(wait).filter(|status| !status.success()).count();
    (begin.elapsed(), failures)
}

fn wait(child: &mut Child) -> ExitStatus {
    child.wait().expect("a child can be waited for")
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program can be started")
}

/// Returns the peak resident memory of a program together with the programs that it starts, in MB. Without Rolecall's daemon,
/// which is stopped for a moment: its client ends too soon otherwise.
pub(super) fn peak_memory(contender: &Contender) -> f64 {
    let begin = Instant::now();
    let mut peak = 0.0_f64;
    // A sample can miss the peak of a program that ends within milliseconds. Rolecall's daemon takes further calls of children of
    // this process for rejections by the cluster.
    for _ in 0..MEMORY_RUNS {
        peak = peak.max(peak_memory_once(contender));
        if contender.daemon.is_some() || begin.elapsed() > MEMORY_TIME {
            break;
        }
    }
    peak
}

fn peak_memory_once(contender: &Contender) -> f64 {
    let mut held = contender.daemon.as_ref().map(|daemon| &daemon.process);
    if let Some(daemon) = held {
        daemon.stop();
    }
    let begin = Instant::now();
    let mut child = spawn(&mut contender.command());
    let mut peak = 0.0_f64;
    while child.try_wait().expect("a child can be waited for").is_none() {
        peak = peak.max(resident_with_children(child.id()));
        if let Some(daemon) = held.take_if(|_| begin.elapsed() > HOLD) {
            daemon.resume();
        }
        if begin.elapsed() > HOLD {
            thread::sleep(SAMPLE_INTERVAL);
        }
    }
    if let Some(daemon) = held {
        daemon.resume();
    }
    peak
}

/// Returns the resident memory of a process and of its descendants in MB. A process that has ended counts as zero.
fn resident_with_children(pid: u32) -> f64 {
    let children = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().flat_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    });
    resident(pid) + children.map(resident_with_children).sum::<f64>()
}

/// Returns the resident memory of a process in MB.
pub(super) fn resident(pid: u32) -> f64 {
    megabytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Returns the memory that programs can still get, in MB.
pub(super) fn available() -> f64 {
    megabytes("/proc/meminfo", "MemAvailable:")
}

/// Returns a field of a file that has it in kB. Zero if there is none.
fn megabytes(file: &str, key: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kilobytes: f64 = line.trim_end_matches(" kB").trim().parse().unwrap_or_default();
    kilobytes * 1024.0 / 1e6
}
