//! The log in a directory keeps every promise of the trait.
#![allow(clippy::unwrap_used)] // A fixture that cannot be set up is a failed test.

use async_trait::async_trait;
use spanferry::log::{Log, LogLocation, LogSettings, open};
use spanferry_tests::log_conformance::Fixture;
use std::sync::Arc;
use tempfile::TempDir;

struct Directory(TempDir);

impl Directory {
    fn new() -> Option<Self> {
        Some(Self(TempDir::new().unwrap()))
    }

    fn open(&self, settings: &LogSettings) -> Arc<dyn Log> {
        let location =
            LogLocation::Directory { path: self.0.path().join("log"), topic: "traces".into() };
        open(&location, settings).unwrap()
    }
}

#[async_trait]
impl Fixture for Directory {
    async fn fresh(&self, settings: LogSettings) -> Arc<dyn Log> {
        self.open(&settings)
    }

    async fn reopen(&self, log: Arc<dyn Log>, settings: LogSettings) -> Arc<dyn Log> {
        assert_eq!(Arc::strong_count(&log), 1, "the last handle");
        drop(log);
        self.open(&settings)
    }
}

spanferry_tests::conformance!(Directory::new());
