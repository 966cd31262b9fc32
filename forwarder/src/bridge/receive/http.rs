//! OTLP/HTTP (OTLP specification, "OTLP/HTTP"): protobuf and JSON, answered in kind.

use super::{body, sender, success};
use crate::bridge::intake::Intake;
use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Accepted;
use crate::otlp::json;
use crate::otlp::rpc_status::RpcStatus;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::sync::Arc;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// How the sender writes, and so how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Protobuf,
    Json,
}

/// `POST /v1/traces`.
pub async fn export(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    if request.method() != Method::POST {
        let allow = [(ALLOW, "POST")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "expected POST\n").into_response();
    }
    let (parts, mut body) = request.into_parts();
    let known = Kind::of(&parts.headers);
    let kind = *known.as_ref().unwrap_or(&Kind::Protobuf);
    let answer = match known {
        Ok(kind) => accept(&intake, kind, &parts.headers, &mut body).await,
        Err(refusal) => {
            intake.refused(&refusal);
            Err(refusal)
        }
    };
    match answer {
        Ok(accepted) => kind.response(StatusCode::OK, &success(&accepted)),
        Err(refusal) => {
            body::forget(&intake.settings, &parts.headers, body, &refusal).await;
            refuse(&intake, kind, &refusal)
        }
    }
}

async fn accept(
    intake: &Intake,
    kind: Kind,
    headers: &HeaderMap,
    body: &mut axum::body::Body,
) -> Result<Accepted, Refusal> {
    let read = async {
        let sender = sender::of(headers)?;
        let (body, taken) = body::read(intake, headers, body).await?;
        let body = match kind {
            Kind::Protobuf => body,
            Kind::Json => json::to_protobuf(&body)?,
        };
        Ok((body, sender, taken))
    };
    match read.await {
        Ok((body, sender, taken)) => intake.accept(body, sender, taken).await,
        Err(refusal) => {
            intake.refused(&refusal);
            Err(refusal)
        }
    }
}

/// Any other path; a gRPC call is answered in its own way.
pub async fn not_found(request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(b"application/grpc") {
        return tonic::Status::unimplemented(request.uri().path().to_owned())
            .into_http::<axum::body::Body>();
    }
    (StatusCode::NOT_FOUND, "expected /v1/traces\n").into_response()
}

fn refuse(intake: &Intake, kind: Kind, refusal: &Refusal) -> Response {
    let pause = intake.settings.retry_after;
    let body = RpcStatus::new(refusal.code() as i32, refusal.to_string(), None);
    let mut response = match kind {
        Kind::Protobuf => kind.bytes(refusal.status(), body.encode_to_vec()),
        Kind::Json => {
            let body = serde_json::json!({ "code": body.code, "message": body.message });
            kind.bytes(refusal.status(), body.to_string().into_bytes())
        }
    };
    if refusal.is_retryable() {
        // Whole seconds, and never 0: that would be an invitation to come at once.
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            PROTOBUF | "application/protobuf" => Ok(Self::Protobuf),
            JSON => Ok(Self::Json),
            _ => Err(Refusal::ContentType(text.into_owned())),
        }
    }

    fn response(self, status: StatusCode, message: &ExportTraceServiceResponse) -> Response {
        match self {
            Self::Protobuf => self.bytes(status, message.encode_to_vec()),
            // 64-bit numbers are strings in JSON.
            Self::Json => {
                let partial = message.partial_success.as_ref();
                let body = partial.map_or(serde_json::json!({}), |partial| {
                    serde_json::json!({ "partialSuccess": {
                        "rejectedSpans": partial.rejected_spans.to_string(), "errorMessage": partial.error_message
                    } })
                });
                self.bytes(status, body.to_string().into_bytes())
            }
        }
    }

    fn bytes(self, status: StatusCode, body: Vec<u8>) -> Response {
        let kind = match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => JSON,
        };
        (status, [(CONTENT_TYPE, kind)], body).into_response()
    }
}
