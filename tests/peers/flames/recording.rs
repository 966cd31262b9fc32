//! `perf record` on one process, and what it saw as stacks.

use super::stacks::{Stacks, fold};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use spanferry_tests::stack::process::Process;
use spanferry_tests::stack::wait::eventually;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Samples a second: no multiple of what ticks in the process.
const RATE: &str = "499";
/// By the stack's own bytes, as many of each sample: frames of C have no frame pointers here.
const BY_STACK: &str = "dwarf,16384";
const LIMIT: Duration = Duration::from_secs(60);

/// A recording under way.
pub struct Recording {
    perf: Process,
    data: PathBuf,
}

impl Recording {
    /// Begins to watch a process; its file goes to `directory`.
    pub async fn start(directory: &Path, process: u32) -> Result<Recording> {
        let data = directory.join("perf.data");
        let mut command = Command::new("perf");
        command.args(["record", "-F", RATE, "-e", "cpu-clock", "--call-graph", BY_STACK]);
        command.args(["-p", &process.to_string(), "-o"]).arg(&data);
        let mut perf = Process::start("perf", &mut command, directory)?;
        eventually("perf's file", LIMIT, async || {
            ensure!(perf.is_running(), "perf ended: {}", perf.output());
            Ok(data.exists().then_some(()))
        })
        .await?;
        Ok(Recording { perf, data })
    }

    /// Ends it, and gives what it saw.
    pub async fn end(mut self) -> Result<Stacks> {
        self.perf.signal(Signal::INT)?;
        eventually("perf's end", LIMIT, async || Ok((!self.perf.is_running()).then_some(())))
            .await?;
        let mut command = Command::new("perf");
        command.args(["script", "--no-inline", "-F", "comm,ip,sym,dso", "-i"]).arg(&self.data);
        let output = tokio::task::spawn_blocking(move || command.output()).await?;
        let output = output.context("perf script")?;
        ensure!(output.status.success(), "perf: {}", String::from_utf8_lossy(&output.stderr));
        Ok(fold(&String::from_utf8_lossy(&output.stdout)))
    }
}
