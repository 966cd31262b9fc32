//! Runs the tests by name, gives them what they share, and names what a machine lacks.

use anyhow::Result;
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::{leash, parts};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// A real part that a test needs: looks for it, and says how to get it when it is not there.
pub type Part = fn() -> Result<PathBuf>;

/// Envoy with the filter, and the sample behind it.
pub const ENVOY: &[Part] = &[parts::envoy, parts::filter, parts::sample];
/// Without Kafka and Jaeger.
pub const PRODUCT: &[Part] = &[parts::envoy, parts::filter, parts::sample, parts::spanferry];
/// Everything.
pub const WHOLE_PATH: &[Part] = &[
    parts::envoy,
    parts::filter,
    parts::sample,
    parts::spanferry,
    parts::kafka_libs,
    parts::jaeger,
];

/// One claim and its test.
pub struct Claim {
    name: &'static str,
    needs: &'static [Part],
    /// What this process must be allowed to do; where it is not, the test is skipped by name, in CI too.
    permitted: fn() -> Result<()>,
    test: fn(&Ground) -> LocalBoxFuture<'_, Result<()>>,
}

impl Claim {
    /// A claim, what its test needs, and the test.
    pub const fn new(
        name: &'static str,
        needs: &'static [Part],
        test: fn(&Ground) -> LocalBoxFuture<'_, Result<()>>,
    ) -> Claim {
        Claim { name, needs, permitted: || Ok(()), test }
    }

    /// The same, where this process is allowed to do something that not every one is.
    pub const fn where_permitted(self, permitted: fn() -> Result<()>) -> Claim {
        Claim { permitted, ..self }
    }
}

/// What the tests stand on: a directory for each, and the parts that they share.
pub struct Ground {
    kafka: tokio::sync::OnceCell<Kafka>,
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Result<Ground> {
        let directory = tempfile::Builder::new().prefix("spanferry-path-").tempdir()?;
        leash::remove_at_end(directory.path())?;
        Ok(Ground { kafka: tokio::sync::OnceCell::new(), directory })
    }

    /// The Kafka that all tests share; each takes a topic and a group of its own.
    pub async fn kafka(&self) -> Result<&Kafka> {
        let directory = self.directory("shared")?;
        self.kafka.get_or_try_init(async || Kafka::start(&directory).await).await
    }

    /// A fresh directory for one test's configurations, logs and data.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.directory.path().join(name);
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }
}

/// Runs what the arguments ask for, as `cargo test` has it.
pub fn run(claims: Vec<Claim>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    name_what_is_missing(&claims);
    match prepare() {
        Ok((runtime, ground)) => {
            let trials = claims.into_iter().map(|claim| trial(claim, &runtime, &ground)).collect();
            let conclusion = libtest_mimic::run(&arguments, trials);
            drop(ground);
            conclusion.exit_code()
        }
        Err(error) => {
            eprintln!("path: {error:#}");
            ExitCode::FAILURE
        }
    }
}

type Runtime = Arc<tokio::runtime::Runtime>;

fn prepare() -> Result<(Runtime, Arc<Ground>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok((Arc::new(runtime), Arc::new(Ground::new()?)))
}

/// A part that is missing makes a skip with its name, or with `CI=true` a failure.
fn trial(claim: Claim, runtime: &Runtime, ground: &Arc<Ground>) -> Trial {
    let (runtime, ground) = (runtime.clone(), ground.clone());
    let lacking = lacking(&claim).join("; ");
    let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let is_permitted = (claim.permitted)().is_ok();
    let ignored = !is_permitted || (!lacking.is_empty() && !must_run);
    let trial = Trial::test(claim.name, move || {
        if !lacking.is_empty() {
            return Err(Failed::from(lacking));
        }
        runtime.block_on((claim.test)(&ground)).map_err(|error| Failed::from(format!("{error:#}")))
    });
    trial.with_ignored_flag(ignored)
}

fn lacking(claim: &Claim) -> Vec<String> {
    claim.needs.iter().filter_map(|part| part().err().map(|error| error.to_string())).collect()
}

/// A line for each missing part: the command that brings it, and the tests that it keeps from running; and one for each
/// test that this process is not allowed to run.
fn name_what_is_missing(claims: &[Claim]) {
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for claim in claims {
        for reason in lacking(claim) {
            missing.entry(reason).or_default().push(claim.name);
        }
    }
    for claim in claims {
        if let Err(reason) = (claim.permitted)() {
            eprintln!("skipped for want of a privilege: {}: {reason:#}", claim.name);
        }
    }
    for (reason, names) in missing {
        eprintln!("skipped for want of a part: {}: {reason}", names.join(", "));
    }
}
