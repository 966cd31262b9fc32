//! One trace drawn from what the destination holds.

use crate::acts::Acts;
use crate::cast::Cast;
use crate::screen::{Ink, Screen, WIDTH, milliseconds};
use anyhow::Result;
use spanferry_tests::traces::{Seen, in_order, root_of};
use std::time::Duration;

const NAMES: usize = 26;
const SERVICES: usize = 10;
const TIME: usize = 8;
const BARS: usize = WIDTH - NAMES - SERVICES - TIME - 4;

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
            let order = in_order(&spans, root);
            let branches = branches(&order.iter().map(|(depth, _)| *depth).collect::<Vec<_>>());
            for ((_, span), branch) in order.iter().zip(branches) {
                screen.line(&row(screen, &branch, span, root.time));
            }
        }
        Err(fault) => screen.line(&screen.ink(Ink::Bad, &format!("not one tree: {fault:?}"))),
    }
    Ok(())
}

fn row(screen: &Screen, branch: &str, span: &Seen, whole: (u64, u64)) -> String {
    let name = clip(&format!("{branch}{}", span.name), NAMES);
    let service = screen.ink(Ink::Faint, &clip(&span.service, SERVICES));
    let (before, length) = place(span.time, whole, BARS);
    let ink = if span.failed { Ink::Bad } else { Ink::Good };
    let bar = screen.ink(ink, &"━".repeat(length));
    let after = " ".repeat(BARS - before - length);
    let took = short(Duration::from_nanos(span.time.1.saturating_sub(span.time.0)));
    format!("{name} {service} {}{bar}{after}  {took:>TIME$}", " ".repeat(before))
}

/// Microseconds below a millisecond: the small steps have a time too.
fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        _ => milliseconds(time),
    }
}

/// The lines before each name, from the depths of a tree in order.
fn branches(depths: &[usize]) -> Vec<String> {
    let goes_on = |at: usize, level: usize| {
        depths[at + 1..].iter().take_while(|depth| **depth >= level).any(|depth| *depth == level)
    };
    let of = |(at, depth): (usize, &usize)| -> String {
        (1..=*depth)
            .map(|level| match (level == *depth, goes_on(at, level)) {
                (true, true) => "├ ",
                (true, false) => "└ ",
                (false, true) => "│ ",
                (false, false) => "  ",
            })
            .collect()
    };
    depths.iter().enumerate().map(of).collect()
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
    fn a_branch_goes_on_while_siblings_follow() {
        let drawn = branches(&[0, 1, 2, 2, 1, 2]);
        assert_eq!(drawn, ["", "├ ", "│ ├ ", "│ └ ", "└ ", "  └ "]);
    }

    #[test]
    fn a_name_is_cut_or_filled_to_its_column() {
        assert_eq!(clip("└ abc", 4), "└ ab");
        assert_eq!(clip("└", 3), "└  ");
    }
}
