//! The machine and the versions, so that a figure can be judged.

use anyhow::{Context, Result};
use spanferry_tests::measure::machine;
use spanferry_tests::stack::parts;
use std::fs;
use std::process::Command;

/// Lines for the page: the machine, Envoy, filter. To be asked before the rounds.
pub fn describe() -> Result<Vec<String>> {
    let filter = fs::metadata(parts::filter()?)?.len();
    let versions = [
        format!("Envoy {}", envoy_version()?),
        format!("the filter {}, {filter} bytes", env!("CARGO_PKG_VERSION")),
    ];
    Ok([machine::describe()?, versions.to_vec()].concat())
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
