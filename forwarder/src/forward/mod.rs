//! Export: records out of the log, joined without decoding, delivered, and only then committed.
//!
//! consume (the loop) → format (what is in a record) → deliver (join, retry, find the guilty) → send (one request) → export (the wire);
//! fresh reads what is appended while a backlog waits, lanes share the way between both, overtaken says what is settled
//! before its turn. window says what may be committed, gate keeps a destination that is away from being stormed, pace one that is busy.
//! repeats knows what comes again, also of what was settled before a partition came to us.

mod before;
mod consume;
mod dead_letter;
mod deliver;
mod destination;
mod divide;
mod doubt;
mod export;
mod format;
mod fresh;
mod gate;
mod headroom;
mod lanes;
mod ledger_metrics;
pub mod letter_headers;
mod metrics;
mod overtake;
mod overtaken;
mod pace;
mod partition;
mod progress;
mod repeats;
mod room;
mod send;
mod settings;
#[cfg(test)]
mod tests;
mod trouble;
mod turns;
mod window;

pub use consume::{ForwardError, run};
pub use destination::{Destination, DestinationError, Protocol};
pub use export::{Export, ExportSettings, Outcome, Request, connect};
pub use format::{request_of, spans_in};
pub use metrics::Metrics;
pub use settings::Settings;
