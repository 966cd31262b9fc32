//! The headers that make a record a dead letter; those that it had are kept in front of them.

/// What begins each of their names.
pub const PREFIX: &str = "spanferry.dlq.";
/// Why, in words.
pub const REASON: &str = "spanferry.dlq.reason";
/// What kind of fault, in one word.
pub const FAULT: &str = "spanferry.dlq.fault";
/// Where the record stood. A letter of a bridge, which never wrote it there, has the topic alone.
pub const TOPIC: &str = "spanferry.dlq.topic";
/// See [`TOPIC`].
pub const PARTITION: &str = "spanferry.dlq.partition";
/// See [`TOPIC`].
pub const OFFSET: &str = "spanferry.dlq.offset";
/// Spans that the destination left out, if it took the others.
pub const LEFT_OUT: &str = "spanferry.dlq.left_out";
