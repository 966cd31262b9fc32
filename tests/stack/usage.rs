//! What a process has used of the machine, as Linux accounts for it (proc_pid_schedstat, proc_pid_status).

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// CPU time of all threads that a process has, user and system. Threads that have ended are not in it.
pub fn cpu(process: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("no such process")? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let first = text.split_whitespace().next().unwrap_or_default();
        nanoseconds +=
            first.parse::<u64>().with_context(|| format!("{}: {text}", path.display()))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory, bytes.
pub fn resident(process: u32) -> Result<u64> {
    memory(process, "VmRSS:")
}

/// The most resident memory since the process began or `forget_peak` was called, bytes.
pub fn peak(process: u32) -> Result<u64> {
    memory(process, "VmHWM:")
}

/// Lets `peak` begin anew (proc_pid_clear_refs: 5).
pub fn forget_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("no such process")
}

fn memory(process: u32, what: &str) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("no such process")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let figure = line.with_context(|| format!("no {what}"))?.split_whitespace().next();
    Ok(figure.with_context(|| format!("{what} is empty"))?.parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_as_cpu_time_and_memory_as_resident() {
        let own = std::process::id();
        let before = (cpu(own).unwrap(), resident(own).unwrap());
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(cpu(own).unwrap() > before.0);
        assert!(resident(own).unwrap() >= before.1 + (48 << 20));
        drop(memory);
        let most = peak(own).unwrap();
        assert!(most >= before.1 + (48 << 20));
        forget_peak(own).unwrap();
        assert!(peak(own).unwrap() <= most);
    }
}
