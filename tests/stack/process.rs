//! A child process of the tests: in a process group of its own, its output in a file, killed when dropped.

use super::leash;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running child. Dropping it kills its whole group.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where the log file ended before this run.
    before: u64,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; its output and errors go to `NAME.log` in `directory`, appended.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Result<Process> {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let before = file.metadata()?.len();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("{name}: {}", command.get_program().display()))?;
        leash::tie(child.id())?;
        Ok(Process { name: name.into(), child, log, before, status: None })
    }

    /// What it wrote so far (and what those of its name in this directory wrote before).
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What this run of it wrote so far.
    pub fn output_of_this_run(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let own = bytes.get(self.before as usize..).unwrap_or_default();
        String::from_utf8_lossy(own).into_owned()
    }

    /// Its process id, which is its group's too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.status.is_none() && matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).with_context(|| format!("{}: signal", self.name))
    }

    /// Waits until it ended by itself; an error after `limit`, with the end of its output.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.status = Some(status);
                leash::untie(self.child.id());
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not end in {limit:?}; its last words:\n{}", self.name, self.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM, then waits as `ended` does.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(limit).await
    }

    /// kill -9 for the whole group; returns when the process is gone.
    pub fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.status = self.child.wait().ok();
        leash::untie(self.child.id());
    }

    /// The last lines of its output.
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
