//! The machine and what else it does, so that a figure can be judged.

use anyhow::Result;
use std::fs;

/// Lines for a page: processor, kernel, load before the run. To be asked before the rounds.
pub fn describe() -> Result<Vec<String>> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = load_average()?;
    Ok(vec![
        format!("{model}, {cores} cores, Linux {}", kernel.trim()),
        format!("load average before the run: {load}"),
    ])
}

/// The load average of the last minute, as the kernel writes it.
pub fn load_average() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split_whitespace().next().unwrap_or("?").to_owned())
}
