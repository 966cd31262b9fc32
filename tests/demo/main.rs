//! The demonstration: three acts on the terminal.
fn main() {}
