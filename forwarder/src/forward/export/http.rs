//! OTLP/HTTP with protobuf bodies.

use super::joined::Joined;
use super::{Export, ExportSettings, Outcome, Request, of_success, with_sources};
use crate::forward::destination::Destination;
use crate::otlp::rpc_status::RpcStatus;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use prost::Message;
use std::time::{Duration, SystemTime};
use url::Url;

/// A client with its own pool of connections.
pub struct Http {
    client: reqwest::Client,
    url: Url,
}

impl Http {
    /// A client for `destination`.
    pub fn new(
        destination: &Destination,
        settings: &ExportSettings,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(settings.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("spanferry/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url: destination.url.clone() })
    }

    async fn post(&self, body: Joined) -> Result<(StatusCode, HeaderMap, Bytes), reqwest::Error> {
        let request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        let answer = request.body(reqwest::Body::wrap(body)).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok((status, headers, answer.bytes().await?))
    }
}

#[async_trait]
impl Export for Http {
    async fn export(&self, request: &Request) -> Outcome {
        match self.post(Joined::new(request.chunks.clone())).await {
            Ok((status, headers, body)) => of_answer(status, &headers, &body, SystemTime::now()),
            Err(error) => Outcome::Retry {
                after: None,
                reason: with_sources(&error),
                is_overload: error.is_timeout() && !error.is_connect(),
            },
        }
    }
}

/// What an answer means. Only what blames the data is final: everything else (a wrong path, a missing login, a
/// proxy's page) may be mended, and until then the records wait.
fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Outcome {
    if status.is_success() {
        return of_success(body);
    }
    let reason = format!("HTTP {}: {}", status.as_u16(), message(headers, body));
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused { reason },
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge { reason },
        StatusCode::INTERNAL_SERVER_ERROR => Outcome::Failed { reason },
        _ => {
            let overloads = [
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ];
            let is_overload = overloads.contains(&status);
            Outcome::Retry { after: retry_after(headers, now), reason, is_overload }
        }
    }
}

/// What the answer says, at most 200 characters.
fn message(headers: &HeaderMap, body: &[u8]) -> String {
    let is_protobuf =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/x-protobuf");
    let text = match RpcStatus::decode(body) {
        Ok(status) if is_protobuf => status.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim().chars().filter(|c| !c.is_control()).take(200).collect()
}

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
        of_answer(StatusCode::from_u16(status).unwrap(), &headers, b"said", now)
    }

    #[test]
    fn only_what_blames_the_data_is_final() {
        for status in [400, 422] {
            assert!(matches!(answer(status, None), Outcome::Refused { .. }), "{status}");
        }
        assert!(matches!(answer(413, None), Outcome::TooLarge { .. }));
        assert!(matches!(answer(500, None), Outcome::Failed { .. }));
        for status in [301, 401, 403, 404, 405, 408, 429, 501, 502, 503, 504] {
            assert!(matches!(answer(status, None), Outcome::Retry { .. }), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (text, seconds) in
            [("7", Some(7)), ("Tue, 24 Nov 2026 10:00:09 GMT", Some(9)), ("soon", None)]
        {
            let wanted = Outcome::Retry {
                after: seconds.map(Duration::from_secs),
                reason: "HTTP 503: said".into(),
                is_overload: true,
            };
            assert_eq!(answer(503, Some(text)), wanted);
        }
    }
}
