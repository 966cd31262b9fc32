//! Kafka's own console clients: what an ordinary Kafka consumer sees of a topic, and what a Java producer writes.

use super::kafka::Kafka;
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{Command, Stdio};

/// A record as the Java console consumer printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The key; `null` if there is none.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Reads a topic from its beginning until `count` records came, or none came for 30 s. For records of text without
/// tabs, commas, colons and line breaks.
pub async fn consume(kafka: &Kafka, topic: &str, count: usize) -> Result<Vec<Shown>> {
    let mut command = kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &[])?;
    command.args(["--bootstrap-server", &kafka.address(), "--topic", topic, "--from-beginning"]);
    for part in ["partition", "offset", "headers", "key"] {
        command.args(["--property", &format!("print.{part}=true")]);
    }
    command.args(["--max-messages", &count.to_string(), "--timeout-ms", "30000"]);
    let output = run(command, Vec::new()).await?;
    output.lines().map(|line| shown(line).with_context(|| format!("the line {line:?}"))).collect()
}

/// Writes records of key and value with Kafka's Java producer and its default partitioner.
pub async fn produce(kafka: &Kafka, topic: &str, records: &[(String, String)]) -> Result<()> {
    let mut command = kafka.tool("org.apache.kafka.tools.ConsoleProducer", &[])?;
    command.args(["--bootstrap-server", &kafka.address(), "--topic", topic]);
    command.args(["--property", "parse.key=true"]);
    let lines: Vec<String> = records.iter().map(|(k, v)| format!("{k}\t{v}\n")).collect();
    run(command, lines.concat().into_bytes()).await?;
    Ok(())
}

/// Runs one of Kafka's tools to its end and gives what it printed.
pub async fn run(mut command: Command, input: Vec<u8>) -> Result<String> {
    let work = tokio::task::spawn_blocking(move || -> Result<String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("java")?;
        child.stdin.take().context("no pipe")?.write_all(&input)?;
        let done = child.wait_with_output()?;
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{command:?}: {errors}");
        Ok(String::from_utf8(done.stdout)?)
    });
    work.await?
}

fn shown(line: &str) -> Option<Shown> {
    let mut fields = line.split('\t');
    let partition = fields.next()?.strip_prefix("Partition:")?.parse().ok()?;
    let offset = fields.next()?.strip_prefix("Offset:")?.parse().ok()?;
    let headers = match fields.next()? {
        "NO_HEADERS" => Vec::new(),
        some => some.split(',').map(header).collect::<Option<_>>()?,
    };
    let (key, value) = (fields.next()?.into(), fields.next()?.into());
    Some(Shown { partition, offset, headers, key, value })
}

fn header(text: &str) -> Option<(String, String)> {
    text.split_once(':').map(|(name, value)| (name.into(), value.into()))
}
