//! The Spanferry bridge and forwarder.
