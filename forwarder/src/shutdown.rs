//! Signals to an orderly end: the first SIGINT or SIGTERM asks for it, the second one exits at once.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status after a second signal (128 + SIGINT, as shells have it).
const EXIT_AT_ONCE: i32 = 130;

/// A token that is cancelled by the first SIGINT or SIGTERM of this process.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        let name = either(&mut interrupt, &mut terminate).await;
        tracing::info!(
            signal = name,
            "stopping: finishing what was taken; a second signal exits at once"
        );
        asked.cancel();
        let name = either(&mut interrupt, &mut terminate).await;
        tracing::warn!(signal = name, "second signal: exiting at once");
        std::process::exit(EXIT_AT_ONCE);
    });
    Ok(token)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
