//! The whole path, a test for each claim, one after the other: they share one Kafka and one Jaeger, and two cores.

mod harness;
mod parts;

fn main() -> std::process::ExitCode {
    harness::run(parts::tests())
}
