//! The machine and the versions of everything, so that a figure can be judged.

use anyhow::{Context, Result};
use spanferry_tests::measure::machine;
use spanferry_tests::stack::parts;
use std::path::Path;
use std::process::Command;

/// Lines for the page. To be asked before the rounds.
pub fn describe() -> Result<Vec<String>> {
    let versions = [
        format!("Spanferry {}, {}", env!("CARGO_PKG_VERSION"), commit()),
        format!(
            "OpenTelemetry Collector {COLLECTOR}, in the binary of Jaeger {}",
            of(&parts::jaeger()?)?
        ),
        format!("Kafka {}, {}", of(&parts::kafka_libs()?)?, java()?),
    ];
    Ok([machine::describe()?, versions.to_vec()].concat())
}

/// Of the receivers and exporters in that binary (tests/parts/jaeger/go.mod).
const COLLECTOR: &str = "0.140.1";

/// The cache's directory of a part is named by its version: `jaeger/1.76.0/jaeger`.
fn of(part: &Path) -> Result<String> {
    let directory =
        part.parent().and_then(Path::file_name).context("a part without a directory")?;
    Ok(directory.to_string_lossy().into_owned())
}

fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(parts::root());
    let output = git.output().ok().filter(|output| output.status.success());
    output.map_or("no commit".into(), |output| {
        format!("commit {}", String::from_utf8_lossy(&output.stdout).trim())
    })
}

fn java() -> Result<String> {
    let output = Command::new("java").arg("-version").output().context("java")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.lines().next().unwrap_or("an unknown Java").to_owned())
}
