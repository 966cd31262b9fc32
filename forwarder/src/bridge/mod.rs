//! Receive: OTLP in, a record per trace out, and a 200 only for what is safe.
