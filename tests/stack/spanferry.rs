//! The real `spanferry` binary in its roles, on free ports, with its metrics as numbers.

use super::metrics::Metrics;
use super::process::Process;
use super::wait::eventually;
use super::{http, parts};
use ::http::StatusCode;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

const START: Duration = Duration::from_secs(30);
const READY: Duration = Duration::from_secs(60);

/// A role of `spanferry` as a process. Dropping it kills it.
pub struct Spanferry {
    name: String,
    arguments: Vec<String>,
    directory: PathBuf,
    process: Process,
    addresses: HashMap<String, SocketAddr>,
}

impl Spanferry {
    /// `spanferry bridge` on free ports, with more flags.
    pub async fn bridge(directory: &Path, log: &str, more: &[&str]) -> Result<Spanferry> {
        let arguments = [&["bridge", "--log", log], &LISTEN[..], more].concat();
        Spanferry::start("bridge", directory, &arguments).await
    }

    /// `spanferry forward` under a name of its own (for its log file), with more flags.
    pub async fn forward(
        name: &str,
        directory: &Path,
        log: &str,
        to: &str,
        more: &[&str],
    ) -> Result<Spanferry> {
        let arguments = [&["forward", "--log", log, "--to", to, "--admin", FREE], more].concat();
        Spanferry::start(name, directory, &arguments).await
    }

    /// `spanferry all-in-one` with its data in `directory`, with more flags.
    pub async fn all_in_one(directory: &Path, to: &str, more: &[&str]) -> Result<Spanferry> {
        let data = directory.join("spanferry-data").display().to_string();
        let arguments = [&["all-in-one", "--data", &data, "--to", to], &LISTEN[..], more].concat();
        Spanferry::start("all-in-one", directory, &arguments).await
    }

    /// Starts any role and waits for its line with the addresses.
    pub async fn start(name: &str, directory: &Path, arguments: &[&str]) -> Result<Spanferry> {
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let process = spawn(name, directory, &arguments)?;
        let mut role = Spanferry {
            name: name.to_owned(),
            arguments,
            directory: directory.to_owned(),
            process,
            addresses: HashMap::new(),
        };
        role.listening().await?;
        Ok(role)
    }

    /// Runs one of the operators' commands to its end: its exit status, and what it printed.
    pub async fn command(directory: &Path, arguments: &[&str]) -> Result<(ExitStatus, String)> {
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let mut command = tokio::process::Command::from(command(directory, &arguments)?);
        let done = tokio::time::timeout(READY, command.kill_on_drop(true).output()).await??;
        let mut printed = String::from_utf8_lossy(&done.stdout).into_owned();
        printed += &String::from_utf8_lossy(&done.stderr);
        Ok((done.status, printed))
    }

    /// Starts it again after its end, on the ports that it had.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill();
        for (flag, key) in
            [("--listen-http", "http"), ("--listen-grpc", "grpc"), ("--admin", "admin")]
        {
            let place = self.arguments.iter().position(|one| one == flag);
            if let (Some(place), Some(address)) = (place, self.addresses.get(key)) {
                self.arguments[place + 1] = address.to_string();
            }
        }
        self.process = spawn(&self.name, &self.directory, &self.arguments)?;
        self.listening().await
    }

    /// Waits for the last line with the addresses, which a restart writes anew.
    async fn listening(&mut self) -> Result<()> {
        let process = &mut self.process;
        let what = format!("the addresses of {}", self.name);
        let found = eventually(&what, START, async || {
            let ended = !process.is_running();
            let line = process.output_of_this_run().lines().find_map(addresses);
            ensure!(line.is_some() || !ended, "it ended");
            Ok(line)
        });
        self.addresses = found.await.with_context(|| self.process.tail())?;
        Ok(())
    }

    /// Waits until `/readyz` says 200.
    pub async fn ready(&self) -> Result<()> {
        let url = format!("http://{}/readyz", self.admin()?);
        let probe = async || Ok((http::get(&url).await?.0 == StatusCode::OK).then_some(()));
        let what = format!("{} to be ready", self.name);
        eventually(&what, READY, probe).await.with_context(|| self.process.tail())
    }

    /// Its name, which its log file has too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where OTLP/HTTP comes in.
    pub fn http(&self) -> Result<SocketAddr> {
        self.address("http")
    }

    /// Where OTLP/gRPC comes in.
    pub fn grpc(&self) -> Result<SocketAddr> {
        self.address("grpc")
    }

    /// The admin port.
    pub fn admin(&self) -> Result<SocketAddr> {
        self.address("admin")
    }

    fn address(&self, key: &str) -> Result<SocketAddr> {
        self.addresses.get(key).copied().with_context(|| format!("{} has no {key}", self.name))
    }

    /// All metrics, read now.
    pub async fn metrics(&self) -> Result<Metrics> {
        let (status, body) = http::get(&format!("http://{}/metrics", self.admin()?)).await?;
        ensure!(status == StatusCode::OK, "{}: /metrics: {status}", self.name);
        Ok(Metrics::parse(&String::from_utf8_lossy(&body)))
    }

    /// Waits until `holds` is true of the metrics. The error shows the last ones.
    pub async fn metrics_until(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics> {
        let probe = async || {
            let metrics = self.metrics().await?;
            ensure!(holds(&metrics), "{metrics:?}");
            Ok(Some(metrics))
        };
        eventually(what, limit, probe).await.with_context(|| self.process.tail())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for its end.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.ended(limit).await
    }

    /// SIGTERM, and waits for its end.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.terminate(limit).await
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its log lines and the line with the addresses.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// The last lines of that.
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}

const FREE: &str = "127.0.0.1:0";
const LISTEN: [&str; 6] = ["--listen-http", FREE, "--listen-grpc", FREE, "--admin", FREE];

fn spawn(name: &str, directory: &Path, arguments: &[String]) -> Result<Process> {
    Process::start(name, &mut command(directory, arguments)?, directory)
}

fn command(directory: &Path, arguments: &[String]) -> Result<Command> {
    let mut command = Command::new(parts::spanferry()?);
    command.args(arguments).current_dir(directory);
    // Flags only: what the caller's environment says to a spanferry of its own is not for this one.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if ["SPANFERRY_", "KAFKA_", "JAEGER_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&key);
        }
    }
    Ok(command)
}

/// `spanferry: listening http=127.0.0.1:4318 admin=127.0.0.1:9464` → its addresses by name.
fn addresses(line: &str) -> Option<HashMap<String, SocketAddr>> {
    let words = line.trim().strip_prefix("spanferry: listening ")?.split_whitespace();
    let pairs = words.filter_map(|word| word.split_once('='));
    pairs.map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_line_gives_the_addresses() {
        let line = "spanferry: listening http=127.0.0.1:1 admin=127.0.0.1:2";
        let found = addresses(line).unwrap();
        assert_eq!(found["http"].port(), 1);
        assert_eq!(found["admin"].port(), 2);
        assert_eq!(addresses("INFO listening"), None);
    }
}
