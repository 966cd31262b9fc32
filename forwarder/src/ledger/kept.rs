//! What is kept beside a committed offset: what is settled beyond it, and the account up to it. One string.

use super::account::Account;
use super::ahead::Ahead;

/// Kafka's `offset.metadata.max.bytes` by default.
pub const MAX_METADATA_BYTES: usize = 4096;
/// Between the runs, the account (which has one itself) and the odd ones.
const BETWEEN: char = ';';

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Beyond the offset.
    pub ahead: Ahead,
    /// Up to the offset.
    pub account: Account,
}

impl Kept {
    /// The string, of at most [`MAX_METADATA_BYTES`]: `runs;view;totals;odd`.
    pub fn encode(&self, committed: i64) -> String {
        self.write(committed).0
    }

    /// The same, and how full the room is for what is beyond the offset: from 0 to 1, where what does not fit is left out.
    pub fn write(&self, committed: i64) -> (String, f64) {
        let account = self.account.encode();
        let room = MAX_METADATA_BYTES.saturating_sub(account.len() + 2 * BETWEEN.len_utf8());
        let (runs, odd) = self.ahead.encode(committed, room);
        // The odd ones have half of it.
        let taken = (runs.len() + odd.len()).max(2 * odd.len());
        let filled = taken as f64 / room.max(1) as f64;
        (format!("{runs}{BETWEEN}{account}{BETWEEN}{odd}"), filled)
    }

    /// Reads what `encode` wrote, or an older build's. Somebody else's string is nothing kept.
    pub fn decode(committed: i64, text: &str) -> Self {
        let (runs, rest) = text.split_once(BETWEEN).unwrap_or_default();
        let (account, odd) = match rest.match_indices(BETWEEN).nth(1) {
            Some((at, _)) => (&rest[..at], &rest[at + BETWEEN.len_utf8()..]),
            None => (rest, ""),
        };
        Self { ahead: Ahead::decode(committed, runs, odd), account: Account::decode(account) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Fate, Stamp};

    fn kept() -> Kept {
        let mut account = Account::from_the_start();
        for writer in 0..30 {
            let stamp = Stamp {
                writer: vec![writer; 16],
                total_records: 1 << 40,
                total_spans: 1 << 50,
                spans: 9,
                ..Stamp::default()
            };
            account.written(stamp.mark(), 9);
            account.settled(9, Fate::Delivered);
        }
        let ahead = Ahead { runs: vec![12..20, 25..26], odd: vec![(13, Fate::DeadLettered)] };
        Kept { ahead, account }
    }

    #[test]
    fn it_is_read_as_written() {
        let kept = kept();
        let text = kept.encode(10);
        assert_eq!(Kept::decode(10, &text), kept);
    }

    #[test]
    fn what_an_older_build_wrote_is_read() {
        let kept = kept();
        let (runs, _) = Ahead { odd: Vec::new(), ..kept.ahead.clone() }.encode(10, 4096);
        let read = Kept::decode(10, &format!("{runs};{}", kept.account.view.encode()));
        assert_eq!((read.ahead.runs, read.account.view), (kept.ahead.runs, kept.account.view));
    }

    #[test]
    fn it_fits_beside_an_offset_however_much_there_is() {
        let mut kept = kept();
        kept.ahead.runs = (0..5_000).map(|i| i * 300 + 11..i * 300 + 13).collect();
        kept.ahead.odd = (0..5_000).map(|i| (i * 300 + 11, Fate::Partly(300))).collect();
        let (text, filled) = kept.write(10);
        assert!(text.len() <= MAX_METADATA_BYTES, "{}", text.len());
        assert!((0.95..=1.0).contains(&filled), "{filled}");
        assert!(Kept::decode(10, &text).ahead.runs.len() > 50);
    }

    #[test]
    fn somebody_elses_string_is_nothing_kept() {
        for text in ["", "consumer-1", ";;;;", "a;b;c;d;e"] {
            let read = Kept::decode(5, text);
            assert_eq!(read, Kept::default(), "{text}");
        }
    }
}
