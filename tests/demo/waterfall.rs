//! One trace drawn from what the destination holds.

use crate::acts::Acts;
use crate::cast::Cast;
use crate::screen::{Ink, Screen, WIDTH};
use anyhow::Result;
use spanferry_tests::traces::{Seen, in_order, root_of};
use std::time::Duration;

const NAMES: usize = 40;
const TIME: usize = 9;
const BARS: usize = WIDTH - NAMES - TIME - 4;

/// Draws one trace of the outage: of a failed request when there is one, since it has more to say.
pub async fn draw(screen: &Screen, cast: &Cast, acts: &Acts) -> Result<()> {
    let third = acts.answers.len() / 3;
    let outage = &acts.answers[third..2 * third];
    let failed = outage.iter().find(|answer| answer.status == 500);
    let Some(answer) = failed.or(outage.first()) else { return Ok(()) };
    let spans = cast.destination.trace(&answer.trace_id).await?;
    let heading = format!("of act two, as {} has it  {}", cast.destination.name(), answer.trace_id);
    screen.heading("A trace", &heading);
    match root_of(&spans, answer.client_span.as_deref()) {
        Ok(root) => {
            for (depth, span) in in_order(&spans, root) {
                screen.line(&row(screen, depth, span, root.time));
            }
        }
        Err(fault) => screen.line(&screen.ink(Ink::Bad, &format!("not one tree: {fault:?}"))),
    }
    Ok(())
}

fn row(screen: &Screen, depth: usize, span: &Seen, whole: (u64, u64)) -> String {
    let branch = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
    let name = clip(&format!("{branch}{}  {}", span.name, span.service), NAMES);
    let (before, length) = place(span.time, whole, BARS);
    let ink = if span.failed { Ink::Bad } else { Ink::Good };
    let bar = screen.ink(ink, &"━".repeat(length));
    let after = " ".repeat(BARS - before - length);
    let took = Duration::from_nanos(span.time.1.saturating_sub(span.time.0));
    let took = format!("{:.2} ms", took.as_secs_f64() * 1000.0);
    format!("{name}  {}{bar}{after}  {took:>TIME$}", " ".repeat(before))
}

/// Where a span's bar begins and how long it is, in columns; at least one.
fn place(time: (u64, u64), whole: (u64, u64), columns: usize) -> (usize, usize) {
    let all = (whole.1.saturating_sub(whole.0)).max(1) as f64;
    let column = |at: u64| (at.saturating_sub(whole.0) as f64 / all * columns as f64) as usize;
    let begin = column(time.0).min(columns - 1);
    let end = column(time.1).clamp(begin + 1, columns);
    (begin, end - begin)
}

/// Exactly `columns` wide: cut or filled.
fn clip(text: &str, columns: usize) -> String {
    let cut: String = text.chars().take(columns).collect();
    format!("{cut:<columns$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_leaves_its_columns() {
        for time in [(0, 0), (0, 100), (100, 100), (99, 300), (40, 41)] {
            let (begin, length) = place(time, (0, 100), 20);
            assert!(length >= 1 && begin + length <= 20, "{time:?}: {begin} {length}");
        }
    }

    #[test]
    fn a_name_is_cut_or_filled_to_its_column() {
        assert_eq!(clip("└ abc", 4), "└ ab");
        assert_eq!(clip("└", 3), "└  ");
    }
}
