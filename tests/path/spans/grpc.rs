//! gRPC calls: named and judged by gRPC, whatever HTTP says.

use super::scene::{PARTS, Scene};
use crate::harness::{Claim, Ground};
use ::http::Request;
use anyhow::{Context, Result, ensure};
use http_body_util::Full;
use serde_json::json;
use spanferry_tests::fakes::grpc_service::SERVICE;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("a_grpc_call_makes_one_server_span_with_its_status", PARTS, |ground| {
            Box::pin(a_grpc_call_makes_one_server_span_with_its_status(ground))
        }),
        Claim::new("a_grpc_call_makes_one_client_span_with_its_status", PARTS, |ground| {
            Box::pin(a_grpc_call_makes_one_client_span_with_its_status(ground))
        }),
    ]
}

/// Method, `rpc.status_code`, whether a server failed, whether a client did, and the message.
const CALLS: [(&str, &str, bool, bool, &str); 4] = [
    ("Ok", "OK", false, false, ""),
    ("NotFound", "NOT_FOUND", false, true, "no such thing"),
    ("Unavailable", "UNAVAILABLE", true, true, "no stock"),
    // Neither trailers nor a status: a client makes UNKNOWN of it.
    ("Broken", "UNKNOWN", true, true, ""),
];

async fn a_grpc_call_makes_one_server_span_with_its_status(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "grpc-server", "INBOUND", json!({})).await?;
    for (method, status, fails, _, message) in CALLS {
        call(&scene, method).await?;
        is(&scene, method, status, fails, message).await.context(method)?;
    }
    scene.has_spans(CALLS.len()).await
}

async fn a_grpc_call_makes_one_client_span_with_its_status(ground: &Ground) -> Result<()> {
    let scene = Scene::start(ground, "grpc-client", "OUTBOUND", json!({})).await?;
    for (method, status, _, fails, message) in CALLS {
        call(&scene, method).await?;
        is(&scene, method, status, fails, message).await.context(method)?;
    }
    scene.has_spans(CALLS.len()).await
}

async fn call(scene: &Scene, method: &str) -> Result<()> {
    let request = Request::post(scene.url(&format!("/{SERVICE}/{method}")))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(vec![0_u8; 5]))?;
    let status = scene.http2(request).await?;
    ensure!(status == 200, "{method}: {status}");
    Ok(())
}

async fn is(scene: &Scene, method: &str, status: &str, fails: bool, message: &str) -> Result<()> {
    let name = format!("{SERVICE}/{method}");
    let told = scene.span_with("rpc.method", &name).await?;
    ensure!(told.span.name == name, "{told:?}");
    ensure!(told.get("rpc.system.name") == "grpc", "{told:?}");
    ensure!(told.get("rpc.status_code") == status, "{told:?}");
    ensure!(told.failed() == fails, "{told:?}");
    ensure!(told.get("error.type") == if fails { status } else { "" }, "{told:?}");
    let said = told.span.status.as_ref().map_or("", |status| status.message.as_str());
    ensure!(said == if fails { message } else { "" }, "{told:?}");
    Ok(())
}
