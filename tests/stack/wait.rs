//! Waiting for a condition, with a generous deadline and a message that says what was waited for.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` until it gives a value. An error after `limit`, naming `what` and the last reason.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut reason = String::new();
    loop {
        match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => reason = format!(": {error:#}"),
        }
        if Instant::now() > deadline {
            bail!("waited {limit:?} in vain for {what}{reason}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
