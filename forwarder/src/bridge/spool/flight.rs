//! A batch on its way to the log: it is safe when the log says so, or, when that takes too long, when the disk does.

use super::entry::Entry;
use super::switch::Spool;
use crate::bridge::refusal::Refusal;
use crate::log::{Acknowledgement, AppendError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, select_ok};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What becomes of a batch at the log. Several may wait for it, and it goes on when nobody does.
pub type Direct = Shared<BoxFuture<'static, Result<(), Refusal>>>;

/// The disk's answer to the batch: taken, and when it will be safe.
pub type Stored = Result<Acknowledgement, AppendError>;

/// A batch that the log has and has not acknowledged.
pub struct Flight {
    /// As the spool would keep it.
    pub entry: Entry,
    /// What becomes of it at the log.
    pub direct: Direct,
    /// Told when it goes to the disk as well.
    pub stored: oneshot::Sender<Stored>,
}

/// Waits until the batch of this ticket is safe; after a while without an answer, or a bad one, everything goes to the
/// disk. An error only when both places have refused it.
pub async fn land(
    spool: Arc<Spool>,
    ticket: u64,
    direct: Direct,
    mut diverted: oneshot::Receiver<Stored>,
) -> Result<(), Refusal> {
    let stored = tokio::select! {
        biased;
        outcome = direct.clone() => match outcome {
            Ok(()) => {
                spool.lock().flights.remove(&ticket);
                return Ok(());
            }
            Err(refusal) => {
                spool.divert(&refusal);
                diverted.await
            }
        },
        stored = &mut diverted => stored,
        () = tokio::time::sleep(spool.after) => {
            let waited = spool.after.as_millis();
            spool.divert(&format!("it has not acknowledged within {waited} ms"));
            diverted.await
        }
    };
    let on_disk = async move {
        match stored {
            Ok(stored) => stored.map_err(Refusal::of_the_spool)?.await.map(|_| ()),
            // The switch tells every flight before it forgets it.
            Err(_) => return Err(Refusal::SpoolFailed("it was closed".into())),
        }
        .map_err(Refusal::of_the_spool)
    };
    select_ok([direct.boxed(), on_disk.boxed()]).await.map(|(safe, _)| safe)
}
