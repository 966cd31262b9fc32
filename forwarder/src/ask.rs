//! Asking a running role at its admin port.

use std::time::Duration;
use thiserror::Error;

/// A role that could not be asked.
#[derive(Debug, Error)]
#[error("http://{address}{path}: {detail}")]
pub struct AskError {
    /// The role's admin address.
    pub address: String,
    /// What was asked for.
    pub path: String,
    /// What went wrong.
    pub detail: String,
}

/// The status and the text of an answer.
pub async fn get(address: &str, path: &str, within: Duration) -> Result<(u16, String), AskError> {
    let failed = |error: reqwest::Error| AskError {
        address: address.into(),
        path: path.into(),
        detail: error.to_string(),
    };
    // The question is plain HTTP, but the client wants a provider for TLS all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(within).no_proxy().build().map_err(failed)?;
    let answer = client.get(format!("http://{address}{path}")).send().await.map_err(failed)?;
    Ok((answer.status().as_u16(), answer.text().await.map_err(failed)?))
}
