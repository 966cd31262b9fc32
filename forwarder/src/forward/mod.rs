//! Export: records out of the log, joined, delivered, then committed.
