//! A cheap load: many connections, each with one HTTP/1.1 request under way at a time, counted by status
//! and timed. A connection that the server closes between two requests is opened again, as RFC 9112, 9.3.1
//! has it; an answer that never comes counts as status 0.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// No answer within this is a failed request.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest head of an answer, bytes.
const HEAD_BYTES: usize = 64 << 10;

/// When a load ends.
#[derive(Clone, Debug)]
pub enum Until {
    /// After so many requests in all.
    Requests(u64),
    /// After this time.
    Time(Duration),
    /// When told.
    Told(CancellationToken),
}

/// What to send, how, and until when.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the requests go.
    pub target: SocketAddr,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// When it ends.
    pub until: Until,
    /// Requests a second over all connections; `None` sends the next as soon as the last is answered.
    /// With a rate, latency counts from the time at which a request should have left.
    pub rate: Option<f64>,
    /// A request's bytes, the same each time.
    request: Vec<u8>,
}

impl Load {
    /// `GET /` over eight connections.
    pub fn new(target: SocketAddr, until: Until) -> Load {
        Load { target, connections: 8, until, rate: None, request: Vec::new() }.get("/", &[])
    }

    /// The same with another path and more headers.
    pub fn get(mut self, path: &str, headers: &[(&str, &str)]) -> Load {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", self.target);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        self.request = (request + "\r\n").into_bytes();
        self
    }

    /// Runs it to its end. An error is a mistake of the test's, never a failed request.
    pub async fn run(&self) -> Result<Report> {
        let schedule = Arc::new(Schedule {
            begin: Instant::now(),
            sent: AtomicU64::new(0),
            load: self.clone(),
        });
        let tasks: Vec<_> = (0..self.connections)
            .map(|_| tokio::spawn(Connection::new(self.target).drive(schedule.clone())))
            .collect();
        let mut report = Report::default();
        for task in tasks {
            report.add(task.await.context("a connection's task")?);
        }
        report.elapsed = schedule.begin.elapsed();
        report.latencies.sort_unstable();
        Ok(report)
    }
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answers by status; 0 is no answer.
    pub by_status: BTreeMap<u16, u64>,
    /// Why requests had no answer: the first reason of each connection.
    pub reasons: Vec<String>,
    /// From the first send to the last answer.
    pub elapsed: Duration,
    /// Of each answer, ns, the shortest first.
    latencies: Vec<u64>,
}

impl Report {
    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Answers with this status.
    pub fn with(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Requests answered a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that this share of the answers (0.0 to 1.0) did not exceed; zero when there were none.
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
        Duration::from_nanos(self.latencies.get(at).copied().unwrap_or(0))
    }

    /// An error unless every request was answered with 200.
    pub fn all_ok(&self) -> Result<()> {
        let ok = self.with(200) == self.requests();
        ensure!(ok, "answers by status: {:?}; {:?}", self.by_status, self.reasons);
        Ok(())
    }

    fn add(&mut self, other: Report) {
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        self.latencies.extend(other.latencies);
        self.reasons.extend(other.reasons);
    }

    fn note(&mut self, answer: Result<u16>, latency: Duration) {
        let status = match answer {
            Ok(status) => {
                self.latencies.push(latency.as_nanos() as u64);
                status
            }
            Err(reason) => {
                if self.reasons.is_empty() {
                    self.reasons.push(format!("{reason:#}"));
                }
                0
            }
        };
        *self.by_status.entry(status).or_default() += 1;
    }
}

/// Hands out the requests to the connections.
struct Schedule {
    begin: Instant,
    sent: AtomicU64,
    load: Load,
}

impl Schedule {
    /// When the next request should leave; `None` when the load is over.
    async fn next(&self) -> Option<Instant> {
        let n = self.sent.fetch_add(1, Ordering::Relaxed);
        let due = match self.load.rate {
            Some(rate) => self.begin + Duration::from_secs_f64(n as f64 / rate),
            None => Instant::now(),
        };
        match &self.load.until {
            Until::Requests(all) if n >= *all => return None,
            Until::Time(time) if due >= self.begin + *time => return None,
            Until::Told(told) if told.is_cancelled() => return None,
            _ => {}
        }
        if self.load.rate.is_some() {
            tokio::time::sleep_until(due.into()).await;
        }
        Some(due)
    }
}

/// One connection with one request under way at a time; opened when it is needed.
pub struct Connection {
    target: SocketAddr,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

/// What the head of an answer says.
struct Head {
    status: u16,
    /// The whole answer, bytes.
    length: usize,
    closes: bool,
}

impl Connection {
    /// To `target`, which is not spoken to yet.
    pub fn new(target: SocketAddr) -> Connection {
        Connection { target, stream: None, read: Vec::with_capacity(8 << 10) }
    }

    async fn drive(mut self, schedule: Arc<Schedule>) -> Report {
        let mut report = Report::default();
        while let Some(due) = schedule.next().await {
            let answer =
                tokio::time::timeout(DEADLINE, self.exchange(&schedule.load.request)).await;
            let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("none in {DEADLINE:?}")));
            if answer.is_err() {
                self.stream = None;
            }
            report.note(answer, due.elapsed());
        }
        report
    }

    /// One request and its answer's status. A kept connection that ends before the first byte is no failure: the
    /// request goes again on a new one.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        let was_kept = self.stream.is_some();
        match self.attempt(request).await {
            Err(_) if was_kept && self.read.is_empty() => {
                self.stream = None;
                self.attempt(request).await
            }
            answer => answer,
        }
    }

    async fn attempt(&mut self, request: &[u8]) -> Result<u16> {
        self.read.clear();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(self.target).await?),
        };
        stream.write_all(request).await?;
        let head = loop {
            let more = stream.read_buf(&mut self.read).await?;
            ensure!(more > 0, "the connection was closed");
            if let Some(head) = parse(&self.read)? {
                break head;
            }
        };
        while self.read.len() < head.length {
            ensure!(stream.read_buf(&mut self.read).await? > 0, "closed within the body");
        }
        if head.closes {
            self.stream = None;
        }
        Ok(head.status)
    }
}

async fn connect(target: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(target).await.context("no connection")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head of an answer, once it is whole. Only bodies with `content-length` are understood.
fn parse(read: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(read)? else {
        ensure!(read.len() < HEAD_BYTES, "a head above {HEAD_BYTES} bytes");
        return Ok(None);
    };
    let status = answer.code.unwrap_or(0);
    let value = |name: &str| {
        let mut found = answer.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
        found.next().map(|header| header.value)
    };
    let body = match value("content-length") {
        Some(length) => std::str::from_utf8(length)?.trim().parse::<usize>()?,
        None if matches!(status, 204 | 304) => 0,
        None => bail!("{status} without content-length"),
    };
    let closes = value("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    Ok(Some(Head { status, length: head + body, closes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::origin::Origin;

    #[tokio::test]
    async fn every_request_is_answered_and_counted_once() {
        let origin = Origin::start().unwrap();
        let report = Load::new(origin.address(), Until::Requests(1000)).run().await.unwrap();
        report.all_ok().unwrap();
        assert_eq!((report.requests(), origin.requests()), (1000, 1000));
        assert!(report.latency(0.99) >= report.latency(0.5));
    }

    #[tokio::test]
    async fn a_rate_is_not_exceeded() {
        let origin = Origin::start().unwrap();
        let load = Load::new(origin.address(), Until::Requests(101));
        let report = Load { rate: Some(1000.0), ..load }.run().await.unwrap();
        assert!(report.elapsed >= Duration::from_millis(100), "{:?}", report.elapsed);
        assert_eq!(report.with(200), 101);
    }

    #[tokio::test]
    async fn nobody_there_is_status_0_with_its_reason() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        let report = Load::new(nobody, Until::Requests(3)).run().await.unwrap();
        assert_eq!(report.with(0), 3);
        assert!(report.all_ok().is_err() && report.reasons[0].contains("no connection"));
    }

    #[tokio::test]
    async fn a_load_ends_when_told() {
        let origin = Origin::start().unwrap();
        let told = CancellationToken::new();
        let load = Load::new(origin.address(), Until::Told(told.clone()));
        let running = tokio::spawn(async move { load.run().await });
        while origin.requests() < 10 {
            tokio::task::yield_now().await;
        }
        told.cancel();
        assert!(running.await.unwrap().unwrap().requests() >= 10);
    }

    #[test]
    fn a_head_in_parts_waits_for_the_rest() {
        let whole = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        assert!(parse(&whole[..20]).unwrap().is_none());
        let head = parse(whole).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.closes), (503, whole.len(), true));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
