//! What the demo writes: calm lines of at most 100 columns, one of them alive on a terminal, colours only there.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The widest line, in columns.
pub const WIDTH: usize = 96;
/// Without a terminal the live line is a plain line now and then.
const PLAIN_PAUSE: Duration = Duration::from_secs(1);

/// Standard output with a live line.
pub struct Screen {
    terminal: bool,
    colours: bool,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    shown: bool,
    plain: Option<Instant>,
}

/// A meaning that has a colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ink {
    /// A heading.
    Bold,
    /// Beside the point.
    Faint,
    /// As it should be.
    Good,
    /// Waiting, or on its way.
    Wait,
    /// Wrong.
    Bad,
}

impl Screen {
    /// Looks whether standard output is a terminal and whether `NO_COLOR` is set.
    pub fn new() -> Screen {
        let terminal = std::io::stdout().is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { terminal, colours, live: Mutex::default() }
    }

    /// The text in the colour of its meaning, when colours are wanted.
    pub fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Wait => "33",
            Ink::Bad => "31",
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The heading of it all.
    pub fn title(&self) {
        self.line("");
        let name = self.ink(Ink::Bold, "Spanferry");
        self.line(&format!("{name}  tracing that survives an outage"));
    }

    /// A heading with an empty line before it.
    pub fn heading(&self, name: &str, rest: &str) {
        self.line("");
        self.line(&format!("{}  {rest}", self.ink(Ink::Bold, name)));
    }

    /// One line that stays.
    pub fn line(&self, text: &str) {
        self.end_live();
        let indent = if text.is_empty() { "" } else { "  " };
        self.put(&format!("{indent}{text}\n"));
    }

    /// The live line: redrawn in place on a terminal, else written once a second.
    pub fn live(&self, text: &str) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal {
            live.shown = true;
            self.put(&format!("\r\x1b[2K  {text}"));
        } else if live.plain.is_none_or(|last| last.elapsed() >= PLAIN_PAUSE) {
            live.plain = Some(Instant::now());
            self.put(&format!("  {text}\n"));
        }
    }

    /// The live line's last state, which stays.
    pub fn settle(&self, text: &str) {
        if self.terminal {
            self.live(text);
            self.end_live();
        } else {
            self.put(&format!("  {text}\n"));
        }
    }

    /// Ends the live line, so that what follows has a line of its own.
    pub fn end_live(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut live.shown) {
            self.put("\n");
        }
        live.plain = None;
    }

    /// A reader that has gone (a closed pipe) is no reason to stop the demonstration.
    fn put(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// A bar of `width` columns, filled up to `done` of `all`.
pub fn bar(done: usize, all: usize, width: usize) -> String {
    let filled = (done * width).checked_div(all).unwrap_or(width).min(width);
    format!("{}{}", "━".repeat(filled), "╌".repeat(width - filled))
}

/// A duration as a reader wants it.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_asked_for() {
        for done in 0..=7 {
            assert_eq!(bar(done, 7, 20).chars().count(), 20);
        }
        assert_eq!(bar(0, 0, 3), "━━━");
        assert_eq!(bar(1, 2, 4), "━━╌╌");
    }

    #[test]
    fn without_a_terminal_there_is_no_escape_sequence() {
        let screen = Screen { terminal: false, colours: false, live: Mutex::default() };
        assert_eq!(screen.ink(Ink::Bad, "lost 1"), "lost 1");
    }
}
