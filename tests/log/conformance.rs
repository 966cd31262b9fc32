//! The promises of the `Log` trait, each a function that any implementation must pass.
