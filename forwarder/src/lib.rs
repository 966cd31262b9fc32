//! Spanferry's bridge and forwarder. Data flows one way: `bridge` (receive) → `log` → `forward` (export);
//! `otlp` knows the wire format and nothing else.

pub mod bridge;
pub mod forward;
pub mod log;
pub mod otlp;
