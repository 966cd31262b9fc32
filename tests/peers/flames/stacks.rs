//! Samples of `perf script` as stacks that are counted. Left out are the frames of runtimes and of the kernel between what was
//! called and what was running, or nobody could read the picture.

use std::collections::BTreeMap;

/// A frame's place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// Spanferry.
    Own,
    /// librdkafka and what it is made of.
    Librdkafka,
    /// The kernel.
    Kernel,
    /// Any other.
    Other,
}

/// A frame: whose it is, and its name for a reader.
pub type Frame = (Of, String);

/// How often each stack was seen, outermost frame first.
pub type Stacks = BTreeMap<Vec<Frame>, u64>;

const RUNTIMES: [&str; 12] = [
    "[unknown]",
    "tokio::",
    "std::",
    "core::",
    "alloc::",
    "futures",
    "hyper",
    "clone",
    "start_thread",
    "__rust",
    "_thrd",
    "tower",
];
const OF_LIBRDKAFKA: [&str; 5] = ["rd_", "rdk", "LZ4", "crc32c", "ZSTD"];
const KERNEL: &str = "([kernel.kallsyms])";

/// The stacks of a script: for each sample a line with the thread's name, then a line a frame, innermost first, then none.
pub fn fold(script: &str) -> Stacks {
    let mut stacks = Stacks::new();
    for sample in script.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some(thread) = lines.next() else { continue };
        let inner: Vec<Frame> = lines.filter_map(frame).collect();
        let mut stack = vec![(Of::Other, thread_name(thread))];
        stack.extend(readable(&inner));
        *stacks.entry(stack).or_default() += 1;
    }
    stacks
}

/// `ADDRESS SYMBOL (FILE)`.
fn frame(line: &str) -> Option<Frame> {
    let (_, rest) = line.trim().split_once(' ')?;
    let (symbol, _) = rest.rsplit_once(" (").unwrap_or((rest, ""));
    let name = plain(symbol);
    let of = match () {
        () if rest.ends_with(KERNEL) => Of::Kernel,
        () if name.contains("spanferry") => Of::Own,
        () if OF_LIBRDKAFKA.iter().any(|begin| name.starts_with(begin)) => Of::Librdkafka,
        () => Of::Other,
    };
    Some((of, name))
}

/// The outermost frames that are worth a look, then the one that was running.
fn readable(inner: &[Frame]) -> Vec<Frame> {
    let is_runtime = |(of, name): &Frame| {
        *of == Of::Other
            && RUNTIMES.iter().any(|begin| name.trim_start_matches(['<', '&']).starts_with(begin))
    };
    let Some((running, callers)) = inner.split_first() else { return Vec::new() };
    let mut stack: Vec<Frame> = Vec::new();
    for frame in callers.iter().rev() {
        let is_inside_kernel = frame.0 == Of::Kernel && !is_entry(&frame.1);
        if !is_runtime(frame) && !is_inside_kernel && stack.last() != Some(frame) {
            stack.push(frame.clone());
        }
    }
    if stack.last() != Some(running) {
        stack.push(running.clone());
    }
    stack
}

/// Where the kernel is entered: which call it was, or that a page was missing.
fn is_entry(name: &str) -> bool {
    name.starts_with("__x64_sys_") || name.ends_with("exc_page_fault")
}

/// A pool's threads have one name.
fn thread_name(line: &str) -> String {
    line.trim().trim_end_matches(|last: char| last.is_ascii_digit()).to_owned()
}

/// A symbol without what its compiler added: hash, generics, part.
fn plain(symbol: &str) -> String {
    let symbol = symbol.split(".isra.").next().unwrap_or(symbol);
    let symbol = symbol.split(".constprop.").next().unwrap_or(symbol);
    let symbol = match symbol.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 => before,
        _ => symbol,
    };
    symbol.replace("::{{closure}}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "rdk:broker1 \n\
        \t 7f01 LZ4_compress_fast (/x/spanferry)\n\
        \t 7f02 rd_kafka_msgset_create.isra.0 (/x/spanferry)\n\
        \t 7f03 start_thread (/lib/libc.so.6)\n\
        \n\
        tokio-rt-worker \n\
        \t ffff _copy_to_iter ([kernel.kallsyms])\n\
        \t ffff tcp_recvmsg ([kernel.kallsyms])\n\
        \t ffff __x64_sys_recvfrom ([kernel.kallsyms])\n\
        \t 7f04 <tokio::net::TcpStream as Read>::read::h0123456789abcdef (/x/spanferry)\n\
        \t 7f05 spanferry::bridge::serve::run::{{closure}} (/x/spanferry)\n\
        \t 7f06 tokio::runtime::park (/x/spanferry)\n";

    #[test]
    fn stacks_are_read_from_outside_to_what_was_running() {
        let stacks = fold(SCRIPT);
        let names = |stack: &Vec<Frame>| {
            stack.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" > ")
        };
        let seen: Vec<(String, u64)> = stacks.iter().map(|(stack, n)| (names(stack), *n)).collect();
        assert_eq!(
            seen,
            [
                ("rdk:broker > rd_kafka_msgset_create > LZ4_compress_fast".to_owned(), 1),
                (
                    "tokio-rt-worker > spanferry::bridge::serve::run > __x64_sys_recvfrom > _copy_to_iter"
                        .to_owned(),
                    1
                ),
            ]
        );
    }

    #[test]
    fn a_frame_says_whose_it_is() {
        let of = |line: &str| frame(line).unwrap().0;
        assert_eq!(of("1 LZ4_compress_fast (/x)"), Of::Librdkafka);
        assert_eq!(of("1 spanferry::otlp::split::divide (/x)"), Of::Own);
        assert_eq!(of("1 _copy_to_iter ([kernel.kallsyms])"), Of::Kernel);
        assert_eq!(of("1 malloc (/lib/libc.so.6)"), Of::Other);
    }
}
