//! What a process uses, by `/proc`: memory, threads, processor time. Elsewhere than on Linux nothing is known.
//!
//! A program may start others (Node may be behind a script): what they use counts with it. Deliberately not here: when
//! to look.

use std::fs::read_to_string;
use std::path::Path;

/// What a process and those that it started use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    pub(crate) resident: f64,
    /// The same, with memory that several share divided between them.
    pub(crate) proportional: f64,
    /// The most that was ever resident.
    pub(crate) peak: f64,
    pub(crate) threads: f64,
    /// Processor time of the threads that live, in seconds.
    pub(crate) processor: f64,
}

/// What the process with this id uses.
pub(crate) fn usage(id: u32) -> Option<Usage> {
    let mut usage = own(id)?;
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).ok()?;
    for task in tasks.filter_map(Result::ok) {
        usage.processor += first_number(&task.path().join("schedstat")).unwrap_or_default() / 1e9;
        let children = read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|id| self::usage(id.parse().ok()?)) {
            usage.resident += child.resident;
            usage.proportional += child.proportional;
            usage.peak += child.peak;
            usage.threads += child.threads;
            usage.processor += child.processor;
        }
    }
    Some(usage)
}

fn own(id: u32) -> Option<Usage> {
    let status = read_to_string(format!("/proc/{id}/status")).ok()?;
    let shares = read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    Some(Usage {
        resident: number(&status, "VmRSS:")? * 1024.0,
        proportional: number(&shares, "Pss:")? * 1024.0,
        peak: number(&status, "VmHWM:")? * 1024.0,
        threads: number(&status, "Threads:")?,
        processor: 0.0,
    })
}

fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn first_number(path: &Path) -> Option<f64> {
    read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// As long as this lives, whatever is started runs on one core.
///
/// Between cores the wake-up of one that sleeps is what is measured, and in a virtual machine that is several times a
/// call.
pub(crate) struct OneCore {
    #[cfg(target_os = "linux")]
    before: rustix::thread::CpuSet,
}

impl OneCore {
    /// None where it cannot be done.
    #[cfg(target_os = "linux")]
    pub(crate) fn keep() -> Option<OneCore> {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let before = sched_getaffinity(None).ok()?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core))?;
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one).ok()?;
        Some(OneCore { before })
    }

    /// None where it cannot be done.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn keep() -> Option<OneCore> {
        None
    }
}

#[cfg(target_os = "linux")]
impl Drop for OneCore {
    fn drop(&mut self) {
        // It could be narrowed, so it can be widened again.
        let _ = rustix::thread::sched_setaffinity(None, &self.before);
    }
}

/// The machine, in words.
pub(crate) fn machine() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let models = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = models.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = kernel.split(['-', '+']).next().unwrap_or_default().trim().to_owned();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let mut told = vec![
        format!("mcp-tether {}, {} {version}", env!("CARGO_PKG_VERSION"), std::env::consts::OS),
        format!("{} × {}", cores, model.unwrap_or(std::env::consts::ARCH)),
    ];
    told.extend(load.split(' ').next().map(|load| format!("load before: {load}")));
    told
}
