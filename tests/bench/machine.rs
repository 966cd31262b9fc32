//! The machine, what else it does, and the versions, so that a figure can be judged.

use anyhow::{Context, Result};
use spanferry_tests::stack::parts;
use std::fs;
use std::process::Command;

/// Lines for the page: processor, kernel, load before the run, Envoy, filter. To be asked before the rounds.
pub fn describe() -> Result<Vec<String>> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("?");
    let filter = fs::metadata(parts::filter()?)?.len();
    Ok(vec![
        format!("{model}, {cores} cores, Linux {}", kernel.trim()),
        format!("load average before the run: {load}"),
        format!("Envoy {}", envoy_version()?),
        format!("the filter {}, {filter} bytes", env!("CARGO_PKG_VERSION")),
    ])
}

/// `commit/1.40.0/Clean/RELEASE/BoringSSL` → `1.40.0 (RELEASE)`
fn envoy_version() -> Result<String> {
    let output = Command::new(parts::envoy()?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words =
        text.split_whitespace().last().context("envoy --version said nothing")?.split('/');
    let (version, build) = (words.nth(1).unwrap_or("?"), words.nth(1).unwrap_or("?"));
    Ok(format!("{version} ({build})"))
}
