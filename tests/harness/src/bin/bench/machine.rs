//! What a run was measured on: date, machine and versions.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the versions of the programs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    system: String,
    processor: String,
    cores: usize,
    /// The load average of the last minute when the run began: another program's load widens the spreads.
    load: f64,
    /// Programs with their versions.
    versions: Vec<String>,
}

impl Machine {
    /// Describes this machine.
    pub(crate) fn this() -> Self {
        let kernel = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let kernel = format!("{} {}", text(kernel.sysname()), text(kernel.release()));
        let system = distribution().map_or_else(|| kernel.clone(), |name| format!("{name}, {kernel}"));
        Self {
            date: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
            system,
            processor: processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: load().unwrap_or_default(),
            versions: Vec::new(),
        }
    }

    /// Adds the first line that `program --version` prints.
    pub(crate) fn add_version(&mut self, program: &Path) {
        if let Some(version) = first_line(Command::new(program).arg("--version")) {
            self.versions.push(version);
        }
    }
}

impl Machine {
    pub(crate) fn hardware(&self) -> String {
        let Self { date, processor, cores, load, .. } = self;
        format!("{date}, {processor}, {cores} cores, load {load:.1} at the start")
    }

    pub(crate) fn software(&self) -> String {
        std::iter::once(&self.system).chain(&self.versions).map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.hardware(), self.software())
    }
}

/// Returns the first line that a command prints, or `None` if it fails.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn distribution() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

fn processor() -> Option<String> {
    if cfg!(target_os = "macos") {
        return first_line(Command::new("/usr/sbin/sysctl").args(["-n", "machdep.cpu.brand_string"]));
    }
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).to_owned())
}
