//! The real parts, each started on free loopback ports and stopped when dropped.
