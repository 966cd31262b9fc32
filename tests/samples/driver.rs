//! The driver: sends requests as a client would, and remembers each answer, its trace and its latency.

use super::service::{TRACE_ID, spans_for};
use futures_util::StreamExt;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rand::random;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No answer within this is a failed request.
const DEADLINE: Duration = Duration::from_secs(20);

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests in all.
    pub requests: usize,
    /// Requests under way at one time.
    pub concurrency: usize,
    /// Time from one start to the next; zero sends as fast as answers come.
    pub pace: Duration,
    /// Which requests carry a `traceparent` of the client's.
    pub traceparent: Traceparent,
    /// Every n-th request fails, with 500 and 400 in turn; 0 for none.
    pub failing_every: usize,
}

/// Which requests carry a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Traceparent {
    /// Every one.
    Always,
    /// None: the first on the way starts the trace.
    Never,
    /// One with, one without.
    Alternate,
}

impl Plan {
    /// `requests` that all succeed, each with a `traceparent`, four at a time.
    pub fn of(requests: usize) -> Plan {
        Plan {
            requests,
            concurrency: 4,
            pace: Duration::ZERO,
            traceparent: Traceparent::Always,
            failing_every: 0,
        }
    }
}

/// One request's end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// What the request asked the sample to answer.
    pub wanted: u16,
    /// 32 hex digits; empty when neither side named one.
    pub trace_id: String,
    /// The client's span id (16 hex digits) when it sent a `traceparent`.
    pub client_span: Option<String>,
    /// From the send to the last byte.
    pub latency: Duration,
}

impl Answer {
    /// Spans that the trace should have: the filter's and the sample's.
    pub fn spans(&self) -> usize {
        1 + spans_for(self.status)
    }

    /// Whether the answer is the one that was asked for.
    pub fn is_as_wanted(&self) -> bool {
        self.status == self.wanted
    }
}

/// Sends requests to one address.
pub struct Driver {
    target: SocketAddr,
    client: Client<HttpConnector, Empty<bytes::Bytes>>,
}

impl Driver {
    /// A client of `target`, Envoy's listener as a rule.
    pub fn new(target: SocketAddr) -> Driver {
        Driver { target, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Runs the plan to its end. `answered` counts the answers while it runs.
    pub async fn run(&self, plan: Plan, answered: &AtomicUsize) -> Vec<Answer> {
        let begin = Instant::now();
        let requests = futures_util::stream::iter(0..plan.requests).map(|n| async move {
            let start = begin + plan.pace * u32::try_from(n).unwrap_or(u32::MAX);
            tokio::time::sleep_until(start.into()).await;
            let answer = self.send(n, plan).await;
            answered.fetch_add(1, Ordering::Relaxed);
            answer
        });
        requests.buffered(plan.concurrency.max(1)).collect().await
    }

    /// Runs the plan for whom the end is enough.
    pub async fn send_all(&self, plan: Plan) -> Vec<Answer> {
        self.run(plan, &AtomicUsize::new(0)).await
    }

    async fn send(&self, n: usize, plan: Plan) -> Answer {
        let (path, wanted) = path_of(n, plan.failing_every);
        let identity = carries_traceparent(n, plan.traceparent).then(Identity::random);
        let begin = Instant::now();
        let exchange = self.exchange(&path, identity.as_ref());
        let (status, seen) =
            tokio::time::timeout(DEADLINE, exchange).await.ok().flatten().unwrap_or_default();
        let (sent, client_span) = identity.map(|own| (own.trace_id, own.span_id)).unzip();
        let trace_id = sent.unwrap_or(seen);
        Answer { status, wanted, trace_id, client_span, latency: begin.elapsed() }
    }

    /// The status and the trace id that the answer names.
    async fn exchange(&self, path: &str, identity: Option<&Identity>) -> Option<(u16, String)> {
        let uri: Uri = format!("http://{}{path}", self.target).parse().ok()?;
        let mut request = Request::builder().method(Method::GET).uri(uri);
        if let Some(own) = identity {
            let value = format!("00-{}-{}-01", own.trace_id, own.span_id);
            request = request.header("traceparent", value).header("tracestate", "client=1");
        }
        let answer = self.client.request(request.body(Empty::new()).ok()?).await.ok()?;
        let seen = answer.headers().get(TRACE_ID).and_then(|id| id.to_str().ok());
        let found = (answer.status().as_u16(), seen.unwrap_or_default().to_owned());
        answer.into_body().collect().await.ok()?;
        Some(found)
    }
}

struct Identity {
    trace_id: String,
    span_id: String,
}

impl Identity {
    fn random() -> Identity {
        let trace_id = format!("{:032x}", random::<u128>() | 1);
        Identity { trace_id, span_id: format!("{:016x}", random::<u64>() | 1) }
    }
}

fn carries_traceparent(n: usize, which: Traceparent) -> bool {
    match which {
        Traceparent::Always => true,
        Traceparent::Never => false,
        Traceparent::Alternate => n.is_multiple_of(2),
    }
}

fn path_of(n: usize, failing_every: usize) -> (String, u16) {
    let turn = (n + 1).checked_rem(failing_every).filter(|rest| *rest == 0);
    match turn.map(|_| (n + 1) / failing_every % 2) {
        None => (format!("/orders/{n}"), 200),
        Some(1) => ("/fail".into(), 500),
        Some(_) => ("/fail?status=400".into(), 400),
    }
}

/// The answers' median latency; zero for none.
pub fn median(answers: &[Answer]) -> Duration {
    let mut times: Vec<Duration> = answers.iter().map(|answer| answer.latency).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_request_fails_with_500_and_400_in_turn() {
        let wanted: Vec<u16> = (0..20).map(|n| path_of(n, 5).1).filter(|s| *s != 200).collect();
        assert_eq!(wanted, [500, 400, 500, 400]);
    }

    #[test]
    fn a_plan_without_failures_asks_for_200_only() {
        assert!((0..100).all(|n| path_of(n, 0).1 == 200));
    }
}
