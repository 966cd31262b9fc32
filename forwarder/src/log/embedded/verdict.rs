//! Whether the disk keeps what is written: what the writer's last round found, until a later one is stored.

use super::store::Fault;
use std::sync::{Mutex, PoisonError};

/// The writer's last word on the disk.
#[derive(Debug, Default)]
pub(super) struct Verdict(Mutex<Option<String>>);

impl Verdict {
    /// A round was stored and fsynced.
    pub fn stored(&self) {
        self.set(None);
    }

    /// A round was not.
    pub fn failed(&self, fault: &Fault) {
        self.set(Some(format!(
            "what was written last is not on the disk ({fault}), and its senders were told to retry; \
             see to the disk, which is tried again whenever this is asked"
        )));
    }

    /// What is wrong, if the last round failed.
    pub fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fault: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
