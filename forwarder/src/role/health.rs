//! `spanferry health`: asks a running role, for images without curl.

use super::RoleError;
use crate::args::HealthArgs;
use crate::ask;
use std::time::Duration;

/// Longer than the role's own bound on its probe.
const TIMEOUT: Duration = Duration::from_secs(4);

/// `Ok` when `/readyz` answers 200.
pub async fn health(args: HealthArgs) -> Result<(), RoleError> {
    let answer = ask::get(&args.admin.to_string(), "/readyz", TIMEOUT).await;
    match answer.map_err(|error| RoleError::NotReady(error.to_string()))? {
        (200, _) => Ok(()),
        (_, text) => Err(RoleError::NotReady(text.trim().into())),
    }
}
