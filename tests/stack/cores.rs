//! Who runs on which core. What is measured has the first one to itself: then neither a move from core to core nor a
//! neighbour's use of its caches is in the figures.

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{fs, thread};

/// Whether there are cores enough for that.
pub fn suffice() -> bool {
    count() > 1
}

/// Puts all threads of a process on the first core. What it starts from now on inherits that.
pub fn take_first(process: u32) -> Result<()> {
    put(process, &(0..1))
}

/// Puts all threads of a process on the cores behind the first.
pub fn leave_first(process: u32) -> Result<()> {
    put(process, &(1..count()))
}

fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn put(process: u32, cores: &std::ops::Range<usize>) -> Result<()> {
    let mut set = CpuSet::new();
    cores.clone().for_each(|core| set.set(core));
    for entry in fs::read_dir(format!("/proc/{process}/task")).context("no such process")? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        sched_setaffinity(id, &set).with_context(|| format!("cores {cores:?} for {name:?}"))?;
    }
    Ok(())
}
