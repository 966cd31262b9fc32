//! The machine and the versions of everything, so that a figure can be judged.

use anyhow::{Context, Result};
use spanferry_tests::measure::machine;
use spanferry_tests::stack::parts;
use std::path::Path;
use std::process::Command;

/// Lines for the page. To be asked before the rounds.
pub fn describe() -> Result<Vec<String>> {
    let versions = [
        spanferry()?,
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

/// As the binary that is measured says of itself: from which commit it was built, and not where the tree stands now.
fn spanferry() -> Result<String> {
    let output = Command::new(parts::spanferry()?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.trim().strip_prefix("spanferry ").context("spanferry --version")?;
    let commit = if version.contains("commit") { "" } else { ", built without saying from what" };
    Ok(format!("Spanferry {version}{commit}"))
}

fn java() -> Result<String> {
    let output = Command::new("java").arg("-version").output().context("java")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.lines().next().unwrap_or("an unknown Java").to_owned())
}
