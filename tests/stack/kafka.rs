//! Real Kafka: one KRaft node on free ports, and its own console consumer and tools.

use super::process::Process;
use super::wait::eventually;
use super::{parts, ports};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);

/// Before a killed node is let in again its session must be over; much shorter, and a node on a busy machine is fenced while
/// it runs.
const FORGETFUL: &str = "\nbroker.session.timeout.ms=1500\nbroker.heartbeat.interval.ms=300\n";
/// Says that it started, and what went wrong.
const QUIET: [&str; 2] = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
];

/// One Kafka node. Dropping it kills it.
pub struct Kafka {
    directory: PathBuf,
    port: u16,
    /// More arguments for its JVM.
    jvm: Vec<String>,
    process: Option<Process>,
}

impl Kafka {
    /// Formats a data directory below `directory`, starts a node and waits until it answers.
    pub async fn start(directory: &Path) -> Result<Kafka> {
        let port = ports::free()?;
        Kafka::start_at(directory, port, port).await
    }

    /// The same, and it tells its clients to come by another port, where something stands between.
    pub async fn start_behind(directory: &Path, advertised: u16) -> Result<Kafka> {
        Kafka::start_at(directory, ports::free()?, advertised).await
    }

    /// The same, for a node that is killed again and again: it starts with the least work, and its old
    /// self is forgotten at once.
    pub async fn start_quickly(directory: &Path, advertised: u16) -> Result<Kafka> {
        let mut kafka = Kafka::prepare_at(directory, ports::free()?, advertised)?;
        let mut properties = File::options().append(true).open(kafka.configuration())?;
        properties.write_all(FORGETFUL.as_bytes())?;
        // The classes that one run loaded, ready for the next: half the work of a start.
        let classes = kafka.directory.join("classes.jsa").display().to_string();
        kafka.jvm = vec![format!("-XX:ArchiveClassesAtExit={classes}")];
        kafka.restart().await?;
        kafka.stop().await?;
        kafka.jvm = QUIET.map(String::from).to_vec();
        kafka.jvm.push(format!("-XX:SharedArchiveFile={classes}"));
        kafka.restart().await?;
        Ok(kafka)
    }

    async fn start_at(directory: &Path, port: u16, advertised: u16) -> Result<Kafka> {
        let mut kafka = Kafka::prepare_at(directory, port, advertised)?;
        kafka.restart().await?;
        Ok(kafka)
    }

    /// Formats a data directory below `directory` for a node that is not started: its address is known, and refuses.
    pub fn prepare(directory: &Path) -> Result<Kafka> {
        let port = ports::free()?;
        Kafka::prepare_at(directory, port, port)
    }

    fn prepare_at(directory: &Path, port: u16, advertised: u16) -> Result<Kafka> {
        let directory = directory.join("kafka");
        std::fs::create_dir_all(&directory)?;
        let properties = properties(&directory, port, advertised)?;
        std::fs::write(directory.join("server.properties"), properties)?;
        let kafka = Kafka { directory, port, jvm: Vec::new(), process: None };
        let mut format = kafka.tool("kafka.tools.StorageTool", &["format", "--cluster-id"])?;
        format.arg("AAAAAAAAAAAAAAAAAAAAAQ").arg("--config").arg(kafka.configuration());
        let done = format.output().context("java")?;
        ensure!(done.status.success(), "format: {}", String::from_utf8_lossy(&done.stderr));
        Ok(kafka)
    }

    /// Starts it again on its port with its data, and waits until it answers. Does nothing while it runs.
    pub async fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        self.launch()?;
        let port = self.port;
        let process = self.process.as_mut().context("Kafka does not run")?;
        let up = eventually("Kafka", START, async || {
            ensure!(process.is_running(), "it ended");
            let started = process.output_of_this_run().contains("Kafka Server started");
            let open = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            Ok((started && open).then_some(()))
        });
        let up = up.await.with_context(|| process.tail());
        up.inspect_err(|_| self.process = None)
    }

    /// Starts its process and does not wait.
    pub fn launch(&mut self) -> Result<()> {
        let mut command = java()?;
        // Its libraries are unpacked there, and stay after a kill.
        command.arg(format!("-Djava.io.tmpdir={}", self.directory.display()));
        command.args(&self.jvm).args(["-Xmx512m", "-cp"]).arg(class_path()?).arg("kafka.Kafka");
        command.arg(self.configuration()).current_dir(&self.directory);
        self.process = Some(Process::start("kafka", &mut command, &self.directory)?);
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<Option<ExitStatus>> {
        match self.process.take() {
            Some(mut process) => Ok(Some(process.terminate(STOP).await?)),
            None => Ok(None),
        }
    }

    /// kill -9. `restart` brings it back with what its disk holds.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends a signal; an error while it is away.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("Kafka does not run")?.signal(signal)
    }

    /// The directory of a partition's files.
    pub fn partition(&self, topic: &str, partition: u32) -> PathBuf {
        self.directory.join("data").join(format!("{topic}-{partition}"))
    }

    /// Its process id; an error while it is away.
    pub fn id(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("Kafka does not run")?.id())
    }

    /// `HOST:PORT` for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The first `count` records of a topic as Kafka's own console consumer shows them: key and value.
    pub async fn consume(&self, topic: &str, count: u64) -> Result<Vec<(String, Vec<u8>)>> {
        let bytes = "value.deserializer=org.apache.kafka.common.serialization.BytesDeserializer";
        let mut command = self.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &[])?;
        command.args(["--bootstrap-server", &self.address(), "--topic", topic, "--from-beginning"]);
        command.args(["--property", "print.key=true", "--property", bytes]);
        command.args(["--timeout-ms", "30000", "--max-messages", &count.to_string()]);
        let done = tokio::process::Command::from(command).kill_on_drop(true).output().await?;
        let shown = String::from_utf8(done.stdout).context("the console consumer's output")?;
        let lines = shown.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines.map(|(key, value)| (key.to_owned(), unescaped(value))).collect())
    }

    /// A Java class of Kafka's with its arguments; neither started nor waited for.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = java()?;
        command.args(["-Xmx256m", "-cp"]).arg(class_path()?).arg(class).args(arguments);
        command.current_dir(&self.directory);
        Ok(command)
    }

    /// The directory of its partitions.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("server.properties")
    }
}

fn java() -> Result<Command> {
    let mut command = Command::new("java");
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    Ok(command)
}

fn class_path() -> Result<OsString> {
    Ok(parts::kafka_libs()?.join("*").into_os_string())
}

fn properties(directory: &Path, port: u16, advertised: u16) -> Result<String> {
    let template = include_str!("../parts/kafka/server.properties");
    Ok(template
        .replace("@DATA@", &directory.join("data").display().to_string())
        .replace("@CONTROLLER_PORT@", &ports::free()?.to_string())
        .replace("@ADVERTISED_PORT@", &advertised.to_string())
        .replace("@PORT@", &port.to_string()))
}

/// Bytes as Kafka's `Bytes` prints them: printable ASCII as it is, the backslash and all else as `\xNN`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.strip_prefix(b"x").and_then(|digits| digits.get(..2));
        let byte = code.and_then(|code| hex::decode(code).ok()).filter(|_| *first == b'\\');
        rest = if byte.is_some() { &after[3..] } else { after };
        bytes.push(byte.map_or(*first, |byte| byte[0]));
    }
    bytes
}
