//! What a process has used of the machine, as Linux accounts for it (clock_getcpuclockid, proc_pid_status).

use anyhow::{Context, Result};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// CPU time of all threads that a process has or had, user and system.
pub fn cpu(process: u32) -> Result<Duration> {
    let clock =
        clock_getcpuclockid(Pid::from_raw(process.try_into()?)).context("no such process")?;
    Ok(clock.now().context("its clock")?.into())
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
        let until = before.0 + Duration::from_millis(50);
        let ends = std::thread::spawn(move || while cpu(own).unwrap() < until {});
        ends.join().unwrap();
        assert!(cpu(own).unwrap() >= until, "a thread that has ended counts");
        let most = peak(own).unwrap();
        assert!(most >= before.1 + (48 << 20));
        forget_peak(own).unwrap();
        assert!(peak(own).unwrap() <= most);
    }
}
