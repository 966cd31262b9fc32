//! The parts on stage: Envoy with the filter, the sample, Spanferry in one or two processes, and the destination.

use crate::Arguments;
use crate::screen::{Ink, Screen};
use anyhow::Result;
use spanferry_tests::fakes::Sink;
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::leash;
use spanferry_tests::stack::parts;
use spanferry_tests::stack::sample::Sample;
use spanferry_tests::stack::spanferry::Spanferry;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(15);

/// Everything that runs. Dropped top down: who sends goes before who receives.
pub struct Cast {
    /// The gateway.
    pub envoy: Envoy,
    /// The service behind it.
    pub sample: Sample,
    /// The product.
    pub product: Product,
    /// Where the traces end.
    pub destination: Destination,
    _kafka: Option<Kafka>,
    directory: TempDir,
}

/// Spanferry's processes.
pub struct Product {
    /// Takes the spans in; all in one, it also delivers them.
    bridge: Spanferry,
    /// Delivers them, where Kafka lies between.
    forward: Option<Spanferry>,
}

/// Spans so far, as Spanferry's own metrics count them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Answered with 200.
    pub accepted: u64,
    /// Answered with 200 by the destination.
    pub delivered: u64,
    /// Set aside with a reason.
    pub dead_lettered: u64,
}

impl Counted {
    /// Accepted and not yet at an end.
    pub fn waiting(&self) -> u64 {
        self.accepted.saturating_sub(self.delivered + self.dead_lettered)
    }
}

impl Cast {
    /// Starts everything, the destination first.
    pub async fn start(arguments: &Arguments, screen: &Screen) -> Result<Cast> {
        let directory = tempfile::Builder::new().prefix("spanferry-demo-").tempdir()?;
        leash::remove_at_end(directory.path())?;
        let at = directory.path();
        screen.live("starting the parts …");
        let destination = destination(arguments, at).await?;
        let kafka = if arguments.stack { Some(Kafka::start(at).await?) } else { None };
        let product = Product::start(kafka.as_ref(), at, &destination.url()).await?;
        let sample = Sample::start(at, product.bridge.http()?).await?;
        let envoy = Envoy::start(at, &Setup::new(sample.address(), product.bridge.http()?)).await?;
        let cast = Cast { envoy, sample, product, destination, _kafka: kafka, directory };
        let picture = format!(
            "driver ─▶ Envoy + filter ─▶ sample   ·   spans ─▶ {} ─▶ {}",
            cast.product.picture(),
            cast.destination.name()
        );
        screen.settle(&screen.ink(Ink::Faint, &picture));
        if matches!(cast.destination, Destination::Sink(_)) && !arguments.sink {
            screen.line(&screen.ink(
                Ink::Faint,
                "Jaeger is not at hand, so the built-in sink stands in; tests/parts/jaeger/fetch brings it",
            ));
        }
        Ok(cast)
    }

    /// Where a curious reader can look while everything runs on.
    pub fn say_where(&self, screen: &Screen) {
        screen.heading("Still running", "until Ctrl-C");
        screen.line(&format!("send a request   curl http://{}/orders/1", self.envoy.address()));
        if let Destination::Jaeger(jaeger) = &self.destination {
            screen.line(&format!("Jaeger           {}", jaeger.query_url()));
        }
        screen.line(&format!("logs             {}", self.directory.path().display()));
    }

    /// Asks everything to end; keeps the logs when something was wrong.
    pub async fn end(self, screen: &Screen, holds: bool) -> Result<()> {
        let Cast { envoy, mut sample, product, mut destination, _kafka, directory } = self;
        drop(envoy);
        sample.terminate(END).await?;
        product.end().await?;
        destination.stop().await?;
        if !holds {
            let kept = directory.path().with_extension("failed");
            std::fs::rename(directory.path(), &kept)?;
            screen.line(&format!("The logs are kept in {}", kept.display()));
        }
        Ok(())
    }
}

async fn destination(arguments: &Arguments, at: &Path) -> Result<Destination> {
    let missing = parts::jaeger().err();
    match missing {
        None if !arguments.sink => Ok(Destination::Jaeger(Jaeger::start(at, Storage::Disk).await?)),
        Some(missing) if arguments.stack => Err(missing),
        _ => Ok(Destination::Sink(Sink::start()?)),
    }
}

impl Product {
    async fn start(kafka: Option<&Kafka>, at: &Path, to: &str) -> Result<Product> {
        let Some(kafka) = kafka else {
            let bridge = Spanferry::all_in_one(at, to, &[]).await?;
            bridge.ready().await?;
            return Ok(Product { bridge, forward: None });
        };
        let log = format!("kafka://{}/traces", kafka.address());
        let bridge = Spanferry::bridge(at, &log, &[]).await?;
        let forward = Spanferry::forward("forward", at, &log, to, &[]).await?;
        bridge.ready().await?;
        forward.ready().await?;
        Ok(Product { bridge, forward: Some(forward) })
    }

    fn picture(&self) -> &'static str {
        match self.forward {
            None => "all-in-one",
            Some(_) => "bridge ─▶ Kafka ─▶ forwarder",
        }
    }

    fn delivering(&self) -> &Spanferry {
        self.forward.as_ref().unwrap_or(&self.bridge)
    }

    /// Spans so far.
    pub async fn counted(&self) -> Result<Counted> {
        // The deliveries first: what was delivered by then, the bridge has counted before.
        let delivering = self.delivering().metrics().await?;
        let accepting = self.bridge.metrics().await?;
        Ok(Counted {
            accepted: accepting.count("spanferry_accepted_spans_total"),
            delivered: delivering.count("spanferry_sent_spans_total"),
            dead_lettered: delivering.count("spanferry_dead_lettered_spans_total"),
        })
    }

    /// Records that the group has not committed.
    pub async fn lag(&self) -> Result<u64> {
        Ok(self.delivering().metrics().await?.count("spanferry_group_lag_records"))
    }

    async fn end(mut self) -> Result<()> {
        self.bridge.terminate(END).await?;
        if let Some(mut forward) = self.forward {
            forward.terminate(END).await?;
        }
        Ok(())
    }
}
