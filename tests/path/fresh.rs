//! A backlog and a destination that answers 429 above a rate: all of it is drained, nothing twice, and spans that are sent
//! meanwhile are seen before it is. `SPANFERRY_BACKLOG` says how many spans (60,000); with a million or more, the new ones
//! must be seen within 5 s. With `SPANFERRY_DESTINATION=jaeger` real Jaeger stands behind what answers 429.

use crate::harness::{Claim, Ground, Part};
use crate::ledger::{ledger, number};
use crate::rig::{FORWARD, LIMIT};
use ::http::StatusCode;
use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry_tests::fakes::sink::Control;
use spanferry_tests::fakes::wire::request_of;
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{http, parts};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{interval, sleep};

const NEEDS: &[Part] = &[parts::spanferry, parts::kafka_libs];
const BACKLOG: u64 = 60_000;
const SMALL_BACKLOG: u64 = 30_000;
/// From so many on the time is judged, not only the order.
const MILLION: u64 = 1_000_000;
const IN_TIME: Duration = Duration::from_secs(5);
/// What the destination takes, spans a second.
const RATE: u32 = 5_000;
const SPANS_A_TRACE: u64 = 5;
const SPANS_A_REQUEST: u64 = 500;
/// The new spans: the first one's number, how many at a time, and how often.
const NEW: u64 = 1 << 32;
const SPANS_AT_A_TIME: u64 = 10;
const EVERY: Duration = Duration::from_millis(100);
/// By its timestamps the backlog is older than that when the forwarder comes.
const OLD: Duration = Duration::from_secs(6);
/// How long a request that was sent may be on its way to the sink.
const ARRIVAL: Duration = Duration::from_millis(500);
/// How many traces Jaeger is asked for.
const ASKED: u64 = 200;
/// Many times what the rate allows.
const PATIENCE: u32 = 10;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("new_spans_are_seen_while_a_backlog_waits", NEEDS, |ground| {
            Box::pin(new_spans_are_seen_while_a_backlog_waits(ground))
        }),
        Claim::new("new_spans_are_seen_while_a_directory_drains", &[parts::spanferry], |ground| {
            Box::pin(new_spans_are_seen_while_a_directory_drains(ground))
        }),
        Claim::new("a_kill_within_a_backlog_repeats_nothing_that_a_commit_knew", NEEDS, |ground| {
            Box::pin(a_kill_within_a_backlog_repeats_nothing_that_a_commit_knew(ground))
        }),
    ]
}

async fn new_spans_are_seen_while_a_backlog_waits(ground: &Ground) -> Result<()> {
    let backlog = backlog()?;
    let directory = ground.directory("fresh")?;
    let sink = Sink::start()?;
    sink.behave(Behaviour::AtMost(RATE));
    let log = format!("kafka://{}/fresh", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    pile_up(&url, backlog).await?;

    let jaeger = jaeger_behind(&sink, &directory).await?;
    let start = Instant::now();
    let to = sink.grpc_url();
    let forward =
        Spanferry::forward("forward", &directory, &log, &to, &["--group", "fresh"]).await?;
    let mut drain = Drain::of(backlog);
    drain.until(&url, &sink.control(), Drain::is_whole).await?;
    let drained = start.elapsed();

    println!("{backlog} spans drained in {drained:?}; {}", drain.summary());
    println!("{} requests, {} answered 429", sink.requests(), sink.pushed_back());
    let metrics = forward.metrics().await?;
    println!(
        "{} records overtook, {} were let go",
        metrics.count("spanferry_fresh_settled_records_total"),
        metrics.count("spanferry_fresh_let_go_records_total"),
    );
    ensure!(sink.pushed_back() > 0, "the destination was not busy");
    drain.judge()?;
    if backlog >= MILLION {
        let late = drain.seen.iter().filter(|new| new.after > IN_TIME);
        let waiting: Vec<u64> = late.map(|new| new.waiting_then).collect();
        let (late, from, to) = (waiting.len(), waiting.iter().max(), waiting.iter().min());
        ensure!(late == 0, "{late} new spans were late; {from:?} to {to:?} old ones waited then");
    }
    if let Some(jaeger) = jaeger {
        jaeger_has_them(&jaeger, &drain).await?;
    }
    the_sum_holds(&directory, &["--log", &log, "--group", "fresh"], drain.count()).await
}

/// Real Jaeger with its storage on disk, when it is asked for.
async fn jaeger_behind(sink: &Sink, directory: &Path) -> Result<Option<Jaeger>> {
    if std::env::var("SPANFERRY_DESTINATION").is_ok_and(|name| name == "jaeger") {
        let jaeger = Jaeger::start(directory, Storage::Disk).await?;
        let url = Arc::new(jaeger.http_url());
        sink.stand_before(Box::new(move |body| {
            let url = url.clone();
            let post = async move { http::post(&url, "application/x-protobuf", body).await };
            let status = |answer: Result<_>| answer.map_or(StatusCode::BAD_GATEWAY, |(s, _)| s);
            Box::pin(post.map(status))
        }));
        return Ok(Some(jaeger));
    }
    Ok(None)
}

/// It took each span once, without a restart, and shows those that are asked for.
async fn jaeger_has_them(jaeger: &Jaeger, drain: &Drain) -> Result<()> {
    let took = jaeger.received_spans().await?;
    println!("Jaeger took {took} spans, and ran all the time");
    ensure!(took == drain.count(), "Jaeger took {took} of {} spans", drain.count());
    for number in (0..drain.backlog).step_by((drain.backlog / ASKED) as usize) {
        let spans = jaeger.trace(&hex::encode(trace_id(number))).await?;
        ensure!(spans.len() as u64 == SPANS_A_TRACE, "of span {number}: {}", spans.len());
    }
    Ok(())
}

/// The same in one process and its directory: the destination is away, and then it is busy.
async fn new_spans_are_seen_while_a_directory_drains(ground: &Ground) -> Result<()> {
    let directory = ground.directory("fresh-directory")?;
    let sink = Sink::start()?;
    sink.behave(Behaviour::Refuse(503));
    let more = ["--backoff-max", "1s"];
    let one = Spanferry::all_in_one(&directory, &sink.grpc_url(), &more).await?;
    one.ready().await?;
    let url = format!("http://{}/v1/traces", one.http()?);
    pile_up(&url, SMALL_BACKLOG).await?;
    sink.behave(Behaviour::AtMost(RATE));
    let mut drain = Drain::of(SMALL_BACKLOG);
    drain.until(&url, &sink.control(), Drain::is_whole).await?;
    println!("{}", drain.summary());
    drain.judge()?;
    the_sum_holds(&directory, &["--admin", &one.admin()?.to_string()], drain.count()).await
}

/// In the midst of it the forwarder is killed: what overtook by then is passed over by the next one.
async fn a_kill_within_a_backlog_repeats_nothing_that_a_commit_knew(ground: &Ground) -> Result<()> {
    let directory = ground.directory("fresh-kill")?;
    let sink = Sink::start()?;
    sink.behave(Behaviour::AtMost(RATE));
    let log = format!("kafka://{}/fresh-kill", ground.kafka().await?.address());
    let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
    bridge.ready().await?;
    let url = format!("http://{}/v1/traces", bridge.http()?);
    pile_up(&url, BACKLOG).await?;
    let (to, control) = (sink.grpc_url(), sink.control());
    let more = [&["--group", "fresh-kill"], &FORWARD[..]].concat();
    let mut forward = Spanferry::forward("forward", &directory, &log, &to, &more).await?;
    let mut drain = Drain::of(BACKLOG);
    let some = |drain: &Drain| drain.old * 3 > BACKLOG && drain.seen.len() > 50;
    drain.until(&url, &control, some).await?;

    let asked = ["--log", &log, "--group", "fresh-kill"];
    let (holds, report) = ledger(&directory, &asked).await?;
    ensure!(holds, "in the midst of it: {report}");
    forward.kill();
    // What it had sent by then arrives.
    sleep(ARRIVAL).await;
    drain.take_all(&control)?;
    let (seen, known) = (drain.count(), number(&report, "delivered"));
    let _second = Spanferry::forward("second", &directory, &log, &to, &more).await?;
    drain.until(&url, &control, Drain::is_whole).await?;
    println!("killed with {seen} seen, of which a commit knew {known}; {}", drain.summary());
    ensure!(known > 0 && drain.twice <= seen.saturating_sub(known), "{}", drain.summary());
    the_sum_holds(&directory, &asked, drain.count()).await
}

/// Sends a backlog, and waits until it is old.
async fn pile_up(url: &str, backlog: u64) -> Result<()> {
    for first in (0..backlog).step_by(SPANS_A_REQUEST as usize) {
        send(url, first..(first + SPANS_A_REQUEST).min(backlog)).await?;
    }
    sleep(OLD).await;
    Ok(())
}

fn backlog() -> Result<u64> {
    let Ok(text) = std::env::var("SPANFERRY_BACKLOG") else { return Ok(BACKLOG) };
    text.parse().with_context(|| format!("SPANFERRY_BACKLOG={text}"))
}

/// What came of a backlog and of the spans that were sent meanwhile.
struct Drain {
    backlog: u64,
    /// When each new span was sent, and how many old ones were still to come then; and how they were seen.
    sent: HashMap<u64, (Instant, u64)>,
    seen: Vec<New>,
    old: u64,
    /// How often each span came, and how many times one came again.
    times: HashMap<u64, u64>,
    twice: u64,
}

/// A new span.
struct New {
    /// How many spans of the backlog were still to come when it was sent, and when it was seen.
    waiting_then: u64,
    waiting_now: u64,
    /// How long it took.
    after: Duration,
}

impl Drain {
    fn of(backlog: u64) -> Self {
        let (sent, times) = (HashMap::new(), HashMap::new());
        Self { backlog, sent, seen: Vec::new(), old: 0, times, twice: 0 }
    }

    /// Sends new spans while old ones wait, and takes out what the destination has.
    async fn until(
        &mut self,
        url: &str,
        control: &Control,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let limit = Duration::from_secs((self.backlog / u64::from(RATE)).max(10)) * PATIENCE;
        let (start, mut tick) = (Instant::now(), interval(EVERY));
        while !is_enough(self) {
            ensure!(start.elapsed() < limit, "not in {limit:?}: {}", self.summary());
            tick.tick().await;
            // The first old ones say that the forwarder has joined its group.
            if (1..self.backlog).contains(&self.old) {
                let first = NEW + self.sent.len() as u64;
                let (now, waiting) = (Instant::now(), self.backlog - self.old);
                let numbers = first..first + SPANS_AT_A_TIME;
                self.sent.extend(numbers.clone().map(|number| (number, (now, waiting))));
                send(url, numbers).await?;
            }
            self.take_all(control)?;
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.old == self.backlog && self.seen.len() == self.sent.len()
    }

    fn take_all(&mut self, control: &Control) -> Result<()> {
        for span in control.take_spans() {
            self.take(u64::from_str_radix(&span.span_id, 16)? - 1);
        }
        Ok(())
    }

    fn take(&mut self, number: u64) {
        let times = self.times.entry(number).or_default();
        *times += 1;
        if *times > 1 {
            self.twice += 1;
            return;
        }
        match self.sent.get(&number) {
            Some((at, waiting_then)) => self.seen.push(New {
                waiting_then: *waiting_then,
                waiting_now: self.backlog - self.old,
                after: at.elapsed(),
            }),
            None => self.old += 1,
        }
    }

    fn count(&self) -> u64 {
        self.old + self.seen.len() as u64
    }

    fn summary(&self) -> String {
        let mut times: Vec<Duration> = self.seen.iter().map(|new| new.after).collect();
        times.sort();
        let share = |share: usize| times.get(times.len() * share / 100).copied();
        format!(
            "{} of {} old and {} of {} new spans seen, {} twice; new ones after p50 {:?}, p99 {:?}, at most {:?}",
            self.old,
            self.backlog,
            self.seen.len(),
            self.sent.len(),
            self.twice,
            share(50).unwrap_or_default(),
            share(99).unwrap_or_default(),
            times.last().copied().unwrap_or_default(),
        )
    }

    /// Those that were sent while half of the backlog waited were seen while some of it still did.
    fn judge(&self) -> Result<()> {
        ensure!(self.twice == 0, "{} spans came twice", self.twice);
        let early = || self.seen.iter().filter(|new| new.waiting_then * 2 > self.backlog);
        ensure!(early().count() > 0, "none was sent while half of the backlog waited");
        let late = early().filter(|new| new.waiting_now == 0).count();
        ensure!(late == 0, "{late} of {} came behind the whole backlog", early().count());
        let overtook = self.seen.iter().any(|new| new.waiting_now * 2 > self.backlog);
        ensure!(overtook, "none was seen while half of the backlog waited");
        Ok(())
    }
}

/// The ledger of the log and the destination's own count agree.
async fn the_sum_holds(directory: &Path, asked: &[&str], count: u64) -> Result<()> {
    let at_destination = count.to_string();
    let asked = [asked, &["--at-destination", &at_destination]].concat();
    let settled = async || {
        let (holds, report) = ledger(directory, &asked).await?;
        ensure!(holds, "the sum does not hold: {report}");
        Ok((number(&report, "delivered") == count).then_some(report))
    };
    let what = format!("{count} delivered spans in the ledger");
    let report = eventually(&what, LIMIT, settled).await?;
    ensure!(number(&report, "accepted") == count && number(&report, "lost") == 0, "{report}");
    Ok(())
}

/// Of a span.
fn trace_id(number: u64) -> [u8; 16] {
    u128::from(number / SPANS_A_TRACE + 1).to_be_bytes()
}

async fn send(url: &str, numbers: Range<u64>) -> Result<()> {
    let span = |number: u64| Span {
        trace_id: trace_id(number).to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        // Without times, Jaeger shows a span that cannot be read.
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        name: "numbered".into(),
        ..Span::default()
    };
    let body = request_of(numbers.map(span).collect());
    let (status, _) = http::post(url, "application/x-protobuf", body).await?;
    ensure!(status.is_success(), "{status}");
    Ok(())
}
