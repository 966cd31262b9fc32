//! What the hot functions cost in instructions, counted by valgrind's callgrind: the same on a busy machine as on a quiet one, so
//! a slip shows without a timed test. This process runs itself once more under callgrind for each of them.
//!
//! Each bound is at most 15 % above what was measured with Rust 1.95, as `cargo test` builds it: a figure for another step, another pass or
//! another copy, not for what the optimizer makes of them. Whoever makes something cheaper lowers its bound. Without valgrind, and
//! with optimization, the tests are skipped by name, and `allocations.rs` stands alone.

#[path = "../benches/corpus/mod.rs"]
mod corpus;

use bytes::Bytes;
use corpus::{partition, request};
use libtest_mimic::{Arguments, Failed, Trial};
use prost::Message;
use spanferry::forward::request_of;
use spanferry::ledger::Stamp;
use spanferry::log::Record;
use spanferry::otlp::count::count_spans;
use spanferry::otlp::split::{split, split_by, split_ordered};
use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};

const LIMIT: usize = 1_000_000;
const SPANS: usize = 1_000;
/// Says to a process which function it is to run.
const COUNTED: &str = "SPANFERRY_COUNTED";

/// A hot function, and the most instructions of one run of it.
struct Hot {
    name: &'static str,
    /// Makes what it works on, which is not counted, and runs it.
    run: fn(),
    /// Of the profile of `cargo test`, which does not optimize.
    bound: u64,
}

const HOT: [Hot; 8] = [
    Hot {
        name: "splitting_traces_of_one_span",
        run: || {
            let request = warmed(request(SPANS, 1));
            counted(|| split(&request, LIMIT));
        },
        bound: 15_600_000,
    },
    Hot {
        name: "splitting_traces_of_five_spans",
        run: || {
            let request = warmed(request(SPANS, 5));
            counted(|| split(&request, LIMIT));
        },
        bound: 8_560_000,
    },
    Hot {
        name: "splitting_in_the_order_of_partitions",
        run: || {
            let request = warmed(request(SPANS, 1));
            counted(|| split_ordered(&request, LIMIT, partition));
        },
        bound: 24_500_000,
    },
    Hot {
        name: "splitting_by_partition",
        run: || {
            let request = warmed(request(SPANS, 1));
            counted(|| split_by(&request, LIMIT, 8, partition));
        },
        bound: 15_200_000,
    },
    Hot {
        name: "counting_spans",
        run: || {
            let request = request(SPANS, 5);
            counted(|| count_spans(&request));
        },
        bound: 3_320_000,
    },
    Hot {
        name: "reading_a_record_into_a_request",
        run: || {
            let record = Record { value: request(5, 5), ..Record::default() };
            counted(|| request_of(&record));
        },
        bound: 23_700,
    },
    Hot {
        name: "making_a_stamp",
        run: || {
            let stamp = stamp();
            let mut out = Vec::with_capacity(256);
            counted(|| stamp.encode(&mut out));
        },
        bound: 7_200,
    },
    Hot {
        name: "reading_a_stamp",
        run: || {
            let headers = stamp().headers();
            let record = Record { headers, ..Record::default() };
            counted(|| Stamp::of(&record));
        },
        bound: 14_000,
    },
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(COUNTED) {
        let hot = HOT.iter().find(|hot| hot.name == name);
        return hot.map_or(ExitCode::FAILURE, |hot| {
            (hot.run)();
            ExitCode::SUCCESS
        });
    }
    let lacking = lacking();
    if let Some(why) = lacking {
        eprintln!("skipped: instruction counts: {why}");
    }
    let trial = |hot: Hot| {
        Trial::test(format!("{}_takes_no_more_instructions", hot.name), move || stays_within(hot))
            .with_ignored_flag(lacking.is_some())
    };
    libtest_mimic::run(&Arguments::from_args(), HOT.map(trial).into()).exit_code()
}

/// What keeps the counts from being taken.
fn lacking() -> Option<&'static str> {
    if !cfg!(debug_assertions) {
        return Some("the bounds are those of a build without optimization");
    }
    let asked = valgrind().arg("--version").stdout(Stdio::null()).status();
    let is_there = asked.is_ok_and(|status| status.success());
    (!is_there).then_some("valgrind is not here; it is the package of that name")
}

/// Callgrind counts while this function runs, and at no other time: it knows it by its name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) {
    let done = black_box(work());
    // What it made is let go after the count.
    std::mem::forget(black_box(done));
}

/// The seed of the splitter's hash is drawn once a process.
fn warmed(request: Bytes) -> Bytes {
    drop(split(&corpus::request(2, 1), LIMIT));
    request
}

fn stamp() -> Stamp {
    Stamp {
        writer: vec![7; 16],
        total_records: 1_000_000,
        total_spans: 5_000_000,
        spans: 5,
        source: vec![9; 16],
        sequence: 70_000,
        part: 3,
        parts: 200,
        dropped: 0,
        received_unix_ms: 1_790_000_000_000,
    }
}

fn stays_within(hot: Hot) -> Result<(), Failed> {
    let bound = hot.bound;
    let instructions = instructions_of(hot.name)?;
    println!("{}: {instructions} instructions, bound {bound}", hot.name);
    if instructions > bound {
        return Err(format!("{instructions} instructions, and the bound is {bound}").into());
    }
    Ok(())
}

/// Instructions of one run, in a process of its own.
fn instructions_of(name: &str) -> Result<u64, Failed> {
    let mut command = valgrind();
    command.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*counted*",
    ]);
    command.arg(std::env::current_exe()?).env(COUNTED, name);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find_map(|line| line.split_once("Collected : "));
    match line.and_then(|(_, number)| number.trim().parse().ok()) {
        Some(instructions) if output.status.success() && instructions > 0 => Ok(instructions),
        _ => Err(format!("callgrind counted nothing: {said}").into()),
    }
}

fn valgrind() -> Command {
    Command::new("valgrind")
}
