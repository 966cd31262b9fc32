//! Where the spans end: real Jaeger, or the built-in sink where Jaeger is not at hand. One set of questions for both.

use super::jaeger::Jaeger;
use super::wait::eventually;
use crate::fakes::{Sink, WireSpan};
use crate::samples::driver::Answer;
use crate::traces::{Seen, repeats, root_of};
use anyhow::{Result, bail, ensure};
use std::time::Duration;

/// A destination that can be stopped and started, and asked for a trace.
pub enum Destination {
    /// Real Jaeger, asked through its query API.
    Jaeger(Jaeger),
    /// The sink in this process.
    Sink(Sink),
}

impl Destination {
    /// Its name for a reader.
    pub fn name(&self) -> &'static str {
        match self {
            Destination::Jaeger(_) => "Jaeger",
            Destination::Sink(_) => "the built-in sink",
        }
    }

    /// Where a forwarder sends to, over OTLP/gRPC.
    pub fn url(&self) -> String {
        match self {
            Destination::Jaeger(jaeger) => jaeger.grpc_url(),
            Destination::Sink(sink) => sink.grpc_url(),
        }
    }

    /// Ends it; its port refuses connections from now on.
    pub async fn stop(&mut self) -> Result<()> {
        match self {
            Destination::Jaeger(jaeger) => jaeger.stop().await.map(|_| ()),
            Destination::Sink(sink) => {
                sink.stop();
                Ok(())
            }
        }
    }

    /// kill -9, or for the sink as one: its port refuses connections, and those that were there are cut.
    pub fn kill(&mut self) {
        match self {
            Destination::Jaeger(jaeger) => jaeger.kill(),
            Destination::Sink(sink) => sink.stop(),
        }
    }

    /// Starts it again, with what it held.
    pub async fn restart(&mut self) -> Result<()> {
        match self {
            Destination::Jaeger(jaeger) => jaeger.restart().await,
            Destination::Sink(sink) => sink.restart(),
        }
    }

    /// A trace's spans, repeats included.
    pub async fn trace(&self, trace_id: &str) -> Result<Vec<Seen>> {
        match self {
            Destination::Jaeger(jaeger) => jaeger.trace(trace_id).await,
            Destination::Sink(sink) => {
                let own = sink.spans().into_iter().filter(|span| span.trace_id == trace_id);
                Ok(own.map(Seen::from).collect())
            }
        }
    }

    /// Asks for every answer's trace until all are whole, or `limit` has passed; then says what is there.
    pub async fn holdings(&self, answers: &[Answer], limit: Duration) -> Result<Holdings> {
        let mut holdings = Holdings::default();
        let _ = eventually("whole traces", limit, async || {
            holdings = self.look(answers).await?;
            Ok(holdings.is_whole().then_some(()))
        })
        .await;
        Ok(holdings)
    }

    async fn look(&self, answers: &[Answer]) -> Result<Holdings> {
        let mut holdings = Holdings::default();
        for answer in answers {
            let spans = self.trace(&answer.trace_id).await?;
            holdings.add(answer, &spans);
        }
        Ok(holdings)
    }
}

impl From<WireSpan> for Seen {
    fn from(wire: WireSpan) -> Seen {
        let failed = wire.span.status.is_some_and(|status| status.code == 2);
        Seen {
            span_id: wire.span_id,
            parent_id: wire.parent_id,
            name: wire.span.name,
            service: wire.service,
            time: (wire.span.start_time_unix_nano, wire.span.end_time_unix_nano),
            failed,
        }
    }
}

/// What a destination holds of the traces that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Traces asked for.
    pub traces: usize,
    /// Spans found, repeats not counted.
    pub spans: usize,
    /// Spans that should be there.
    pub expected: usize,
    /// Spans found more than once, counted by their repeats.
    pub repeats: usize,
    /// What is wrong, a line for each trace that is not one whole tree.
    pub faults: Vec<String>,
}

impl Holdings {
    /// Whether every trace is one tree with all its spans, none twice.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.repeats == 0 && self.spans == self.expected
    }

    /// An error that shows the first faults, when anything is missing or there twice.
    pub fn whole(self) -> Result<Holdings> {
        ensure!(self.traces > 0, "no trace was asked for");
        if !self.is_whole() {
            let faults = self.faults[..self.faults.len().min(5)].join("\n  ");
            bail!(
                "{} of {} spans in {} traces, {} twice:\n  {faults}",
                self.spans,
                self.expected,
                self.traces,
                self.repeats
            );
        }
        Ok(self)
    }

    fn add(&mut self, answer: &Answer, spans: &[Seen]) {
        let twice = repeats(spans);
        self.traces += 1;
        self.spans += spans.len() - twice;
        self.expected += answer.spans();
        self.repeats += twice;
        let found = spans.len() - twice;
        let tree = root_of(spans, answer.client_span.as_deref());
        if found != answer.spans() || tree.is_err() {
            let wanted = answer.spans();
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            let tree = tree.err().map_or("one tree".into(), |fault| format!("{fault:?}"));
            self.faults
                .push(format!("{}: {found} of {wanted} spans, {tree}: {names:?}", answer.trace_id));
        }
    }
}
