//! Who stands between an Envoy and the bridges and writes down what passes: the spans that its filter sent, and those of them
//! that a bridge answered 200 for. So a filter's spans, whose numbers nobody chose, can be asked for at the end.

use super::tally::Arrived;
use crate::fakes::WireSpan;
use crate::fakes::wire::spans_of;
use crate::stack::http as client;
use crate::traces::Seen;
use anyhow::Result;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::Full;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The filter's service name: whose spans are these.
pub const GATEWAY: &str = "gateway";
/// A bridge that does not answer in so long is one that refused.
const PATIENCE: Duration = Duration::from_secs(3);
const LARGEST_BODY_BYTES: usize = 16 << 20;

/// A trace and a span id, in hex.
type Id = (String, String);

/// See the module. Dropping it closes its port.
pub struct Witness {
    address: SocketAddr,
    book: Arc<Book>,
    serving: JoinHandle<()>,
}

struct Book {
    bridges: Vec<SocketAddr>,
    turn: AtomicUsize,
    spans: Mutex<HashMap<Id, Sent>>,
}

/// A span that the filter sent.
struct Sent {
    span: WireSpan,
    is_accepted: bool,
}

/// What became of the filter's spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Spans that the filter sent.
    pub sent: u64,
    /// Of these, spans that a bridge answered 200 for.
    pub accepted: u64,
    /// Of the accepted ones, spans that did not arrive.
    pub missing: Vec<String>,
    /// Spans that arrived and that the filter did not send.
    pub invented: Vec<String>,
    /// Spans that arrived with other bytes.
    pub corrupt: Vec<String>,
    /// Spans that arrived, each counted once; those among them whose acceptance nobody heard of.
    pub arrived: u64,
    /// See above.
    pub arrived_unheard: u64,
    /// Arrivals of a span that had arrived before.
    pub duplicates: u64,
}

impl Witness {
    /// Stands before these bridges.
    pub async fn start(bridges: Vec<SocketAddr>) -> Result<Witness> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let book =
            Arc::new(Book { bridges, turn: AtomicUsize::default(), spans: Mutex::default() });
        let router = Router::new().fallback(pass_on).with_state(book.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Witness { address, book, serving })
    }

    /// Where the filter sends to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The traces of all spans that the filter sent.
    pub fn traces(&self) -> BTreeSet<String> {
        self.book.spans().keys().map(|(trace, _)| trace.clone()).collect()
    }

    /// Accepted spans that are not among these.
    pub fn missing(&self, arrived: &Arrived) -> usize {
        let spans = self.book.spans();
        let accepted = spans.iter().filter(|(_, sent)| sent.is_accepted);
        accepted.filter(|(id, _)| !arrived.has(id)).count()
    }

    /// Holds what arrived against what was written down.
    pub fn account(&self, arrived: &Arrived) -> Account {
        let spans = self.book.spans();
        let mut account = Account { sent: spans.len() as u64, ..Account::default() };
        for (id, sent) in spans.iter() {
            account.accepted += u64::from(sent.is_accepted);
            match arrived.has(id) {
                true if !sent.is_accepted => account.arrived_unheard += 1,
                false if sent.is_accepted => account.missing.push(id.1.clone()),
                _ => {}
            }
        }
        for (id, times) in arrived.counts() {
            account.arrived += 1;
            account.duplicates += times - 1;
            match spans.get(id) {
                None => account.invented.push(id.1.clone()),
                Some(sent) if !arrived.is_whole(id, &sent.span) => {
                    account.corrupt.push(id.1.clone());
                }
                Some(_) => {}
            }
        }
        account
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Book {
    fn spans(&self) -> MutexGuard<'_, HashMap<Id, Sent>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a bridge has them: what is lost on the way was sent, too.
    fn sent(&self, batch: &[WireSpan]) {
        let mut spans = self.spans();
        for span in batch {
            let sent = || Sent { span: span.clone(), is_accepted: false };
            spans.entry(id(span)).or_insert_with(sent);
        }
    }

    fn accepted(&self, batch: &[WireSpan]) {
        let mut spans = self.spans();
        for span in batch {
            if let Some(sent) = spans.get_mut(&id(span)) {
                sent.is_accepted = true;
            }
        }
    }
}

/// A span's name in the book.
pub fn id(span: &WireSpan) -> Id {
    (span.trace_id.clone(), span.span_id.clone())
}

/// Whether a query API shows this span.
pub fn is_shown(sent: &WireSpan, seen: &Seen) -> bool {
    let span = &sent.span;
    seen.name == span.name
        && seen.service == sent.service
        && seen.time == (span.start_time_unix_nano, span.end_time_unix_nano)
}

/// One batch of the filter's to the bridge whose turn it is. The filter hears what the bridge said, or 503.
async fn pass_on(State(book): State<Arc<Book>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    // What cannot be read is the bridge's to refuse.
    let batch = spans_of(body.clone()).unwrap_or_default();
    book.sent(&batch);
    let turn = book.turn.fetch_add(1, Ordering::Relaxed);
    let bridge = book.bridges[turn % book.bridges.len()];
    let Some(answer) = ask(bridge, head.uri.path(), &head.headers, body).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if answer.status() == StatusCode::OK {
        book.accepted(&batch);
    }
    answer.map(axum::body::Body::from)
}

async fn ask(
    bridge: SocketAddr,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Option<http::Response<Bytes>> {
    let mut request = http::Request::post(format!("http://{bridge}{path}"));
    for (name, value) in headers {
        if name == header::CONTENT_TYPE || name.as_str().starts_with("x-spanferry-") {
            request = request.header(name, value);
        }
    }
    let exchange = client::answer(request.body(Full::new(body)).ok()?);
    let answer = tokio::time::timeout(PATIENCE, exchange).await.ok()?.ok()?;
    // Its length is that of the body, and its connection is not this one.
    let mut own = http::Response::builder().status(answer.status());
    if let Some(after) = answer.headers().get(header::RETRY_AFTER) {
        own = own.header(header::RETRY_AFTER, after);
    }
    own.body(answer.into_body()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::numbered::Numbered;

    fn witness() -> Witness {
        let book =
            Book { bridges: Vec::new(), turn: AtomicUsize::default(), spans: Mutex::default() };
        let serving = tokio::spawn(async {});
        Witness { address: ([127, 0, 0, 1], 1).into(), book: Arc::new(book), serving }
    }

    #[tokio::test]
    async fn what_was_accepted_must_arrive_and_what_was_only_sent_may() {
        let (witness, numbered) = (witness(), Numbered::from_now());
        let spans = |range| spans_of(numbered.batch(range).into()).unwrap();
        witness.book.sent(&spans(0..6));
        witness.book.accepted(&spans(0..3));
        let mut arrived = Arrived::default();
        spans(1..4)
            .into_iter()
            .chain(spans(1..2))
            .chain(spans(9..10))
            .for_each(|s| arrived.take(s));
        let account = witness.account(&arrived);
        let hex = |number: u64| vec![hex::encode(number.to_be_bytes())];
        assert_eq!((account.sent, account.accepted, account.arrived), (6, 3, 4));
        assert_eq!((account.arrived_unheard, account.duplicates), (1, 1));
        assert_eq!((account.missing, account.invented), (hex(0), hex(9)));
        assert_eq!((account.corrupt.len(), witness.missing(&arrived)), (0, 1));
    }

    #[tokio::test]
    async fn a_changed_span_is_corrupt() {
        let (witness, numbered) = (witness(), Numbered::from_now());
        let mut spans = spans_of(numbered.batch(0..1).into()).unwrap();
        witness.book.sent(&spans);
        spans[0].bytes = "other".into();
        let mut arrived = Arrived::default();
        arrived.take(spans.remove(0));
        assert_eq!(witness.account(&arrived).corrupt.len(), 1);
    }
}
