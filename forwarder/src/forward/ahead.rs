//! What is delivered beyond the committed offset, as the string that travels with the commit: after a crash or a
//! rebalance only what was in flight is sent again.
//!
//! The string is hex of varints: the length of a run that is not delivered, then of one that is, and so on, from the
//! committed offset. What does not fit is left out from the end, and is then delivered twice rather than never.

use std::ops::Range;

/// The string of at most `limit` bytes for the delivered `runs` (ascending, apart from each other) above `committed`; empty
/// when there are none.
pub fn encode(committed: i64, runs: impl IntoIterator<Item = Range<i64>>, limit: usize) -> String {
    let (mut bytes, mut at) = (Vec::new(), committed);
    for run in runs {
        let before = bytes.len();
        put(&mut bytes, run.start - at);
        put(&mut bytes, run.end - run.start);
        if bytes.len() * 2 > limit {
            bytes.truncate(before);
            break;
        }
        at = run.end;
    }
    hex::encode(bytes)
}

/// The delivered runs above `committed`. A string of somebody else's says nothing.
pub fn decode(committed: i64, text: &str) -> Vec<Range<i64>> {
    read(committed, text).unwrap_or_default()
}

fn read(committed: i64, text: &str) -> Option<Vec<Range<i64>>> {
    let bytes = hex::decode(text).ok()?;
    let (mut rest, mut at, mut runs) = (&bytes[..], committed, Vec::new());
    while !rest.is_empty() {
        let start = at.checked_add(take(&mut rest)?)?;
        at = start.checked_add(take(&mut rest)?)?;
        runs.push(start..at);
    }
    Some(runs)
}

fn put(bytes: &mut Vec<u8>, length: i64) {
    prost::encoding::encode_varint(length.unsigned_abs(), bytes);
}

fn take(rest: &mut &[u8]) -> Option<i64> {
    i64::try_from(prost::encoding::decode_varint(rest).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_beyond_the_prefix_is_an_empty_string() {
        assert_eq!(encode(7, [], 4096), "");
        assert!(decode(7, "").is_empty());
    }

    #[test]
    fn what_others_wrote_says_nothing() {
        for text in ["consumer-1", "zz", "01", "ffffffffffffffffffff01", "0000"] {
            assert!(decode(i64::MAX - 1, text).iter().all(|run| run.is_empty()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn runs_are_read_as_written(start in 0i64..1 << 40, lengths in proptest::collection::vec((1i64..9, 1i64..300), 0..200)) {
            let mut at = start;
            let runs: Vec<_> = lengths.iter().map(|(gap, run)| {
                let range = at + gap..at + gap + run;
                at = range.end;
                range
            }).collect();
            prop_assert_eq!(decode(start, &encode(start, runs.clone(), 4096)), runs);
        }

        #[test]
        fn what_does_not_fit_is_forgotten_from_the_end(count in 2_000usize..3_000) {
            let runs: Vec<_> = (0..count as i64).map(|i| i * 300 + 1..i * 300 + 2).collect();
            let text = encode(0, runs.clone(), 4096);
            prop_assert!(text.len() <= 4096);
            let read = decode(0, &text);
            prop_assert!(read.len() > 500 && runs.starts_with(&read));
        }

        #[test]
        fn any_string_is_read_or_ignored_without_a_panic(committed in any::<i64>(), text in "[0-9a-f]{0,40}") {
            let _ = decode(committed.max(0), &text);
        }
    }
}
