//! `spanferry health`: asks a running role, for images without curl.

use super::RoleError;
use crate::args::HealthArgs;
use std::time::Duration;

/// Longer than the role's own bound on its probe.
const TIMEOUT: Duration = Duration::from_secs(4);

/// `Ok` when `/readyz` answers 200.
pub async fn health(args: HealthArgs) -> Result<(), RoleError> {
    let failed = |error: reqwest::Error| RoleError::NotReady(format!("{}: {error}", args.admin));
    // The probe is plain HTTP, but the client wants a provider for TLS all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(failed)?;
    let answer =
        client.get(format!("http://{}/readyz", args.admin)).send().await.map_err(failed)?;
    if answer.status().is_success() {
        return Ok(());
    }
    let text = answer.text().await.map_err(failed)?;
    Err(RoleError::NotReady(text.trim().into()))
}
