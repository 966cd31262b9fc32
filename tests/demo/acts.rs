//! The three acts: all is well; the destination is away; it is back.

use crate::Arguments;
use crate::cast::{Cast, Counted};
use crate::screen::{Ink, Screen, bar, milliseconds};
use anyhow::Result;
use spanferry_tests::samples::driver::{Answer, Driver, Plan, Traceparent, median};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// From one request's start to the next: an act is watched, not missed.
const PACE: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(120);
/// How long the spans of an act may take to be safe in the log.
const ACCEPT: Duration = Duration::from_secs(30);
/// How long the backlog may take: the forwarder's longest pause between two tries, and some.
const DRAIN: Duration = Duration::from_secs(60);

/// What was sent and answered.
pub struct Acts {
    /// Every request of the three acts, in order.
    pub answers: Vec<Answer>,
    /// Spans that the answered requests should have made.
    pub expected: u64,
}

/// Plays the three acts.
pub async fn play(arguments: &Arguments, screen: &Screen, cast: &mut Cast) -> Result<Acts> {
    let mut acts = Acts { answers: Vec::new(), expected: 0 };
    let name = cast.destination.name();

    screen.heading("Act one", "all is well");
    let first = acts.act(arguments, screen, cast).await?;
    let delivered = |now: Counted, all| now.accepted >= all && now.waiting() == 0;
    let all_well = acts.watch(screen, cast, DRAIN, delivered).await?;
    say_answers(screen, &first, None);
    if !all_well {
        return Ok(acts); // What does not work without an outage needs none.
    }

    cast.destination.stop().await?;
    screen.heading("Act two", &format!("{name} is {}", screen.ink(Ink::Bad, "stopped")));
    let second = acts.act(arguments, screen, cast).await?;
    acts.watch(screen, cast, ACCEPT, |now, all| now.accepted >= all).await?;
    say_answers(screen, &second, Some(median(&first)));

    cast.destination.restart().await?;
    screen.heading("Act three", &format!("{name} is {}", screen.ink(Ink::Good, "back")));
    let third = acts.act(arguments, screen, cast).await?;
    acts.watch(screen, cast, DRAIN, delivered).await?;
    say_answers(screen, &third, Some(median(&first)));
    Ok(acts)
}

impl Acts {
    /// Sends one act's requests with the live line above them.
    async fn act(
        &mut self,
        arguments: &Arguments,
        screen: &Screen,
        cast: &Cast,
    ) -> Result<Vec<Answer>> {
        let plan = Plan {
            requests: arguments.requests as usize,
            concurrency: 8,
            pace: PACE,
            traceparent: Traceparent::Alternate,
            failing_every: 10,
        };
        let answered = Arc::new(AtomicUsize::new(0));
        let driver = Driver::new(cast.envoy.address());
        let counter = answered.clone();
        // On a task of its own: looking at the counts does not delay an answer.
        let mut sending = tokio::spawn(async move { driver.run(plan, &counter).await });
        let answers = loop {
            tokio::select! {
                answers = &mut sending => break answers?,
                () = tokio::time::sleep(LOOK) => {
                    let done = answered.load(Ordering::Relaxed);
                    let progress = format!("{} {done}/{}", bar(done, plan.requests, 20), plan.requests);
                    screen.live(&counted_line(screen, cast.product.counted().await?, &progress));
                }
            }
        };
        self.expected += answers.iter().map(|answer| answer.spans() as u64).sum::<u64>();
        self.answers.extend(answers.iter().cloned());
        Ok(answers)
    }

    /// Watches the counts until they are as wanted; false when the time is over. The ledger then says what is missing.
    async fn watch(
        &self,
        screen: &Screen,
        cast: &Cast,
        limit: Duration,
        done: impl Fn(Counted, u64) -> bool,
    ) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let now = cast.product.counted().await?;
            let line = counted_line(screen, now, "");
            let is_done = done(now, self.expected);
            if is_done || Instant::now() > deadline {
                screen.settle(&line);
                return Ok(is_done);
            }
            screen.live(&line);
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn counted_line(screen: &Screen, now: Counted, progress: &str) -> String {
    let ink = if now.waiting() > 0 { Ink::Wait } else { Ink::Faint };
    let waiting = screen.ink(ink, &format!("{:>6}", now.waiting()));
    let delivered = screen.ink(Ink::Good, &format!("{:>6}", now.delivered));
    let accepted = now.accepted;
    let line = format!(
        "spans  accepted {accepted:>6}   waiting {waiting}   delivered {delivered}   {progress}"
    );
    line.trim_end().to_owned()
}

fn say_answers(screen: &Screen, answers: &[Answer], before: Option<Duration>) {
    let mut statuses = BTreeMap::new();
    for answer in answers {
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    let statuses: Vec<String> = statuses
        .iter()
        .map(|(status, times)| match status {
            0 => format!("no answer ×{times}"),
            _ => format!("{status} ×{times}"),
        })
        .collect();
    let latency = milliseconds(median(answers));
    let before = before.map(|time| format!(" (act one {})", milliseconds(time)));
    screen.line(&format!(
        "{} requests answered  {}   median {latency}{}",
        answers.len(),
        statuses.join("  "),
        before.unwrap_or_default()
    ));
    let wrong = answers.iter().filter(|answer| !answer.is_as_wanted()).count();
    if wrong > 0 {
        screen.line(&screen.ink(Ink::Bad, &format!("{wrong} answers are not those asked for")));
    }
}
