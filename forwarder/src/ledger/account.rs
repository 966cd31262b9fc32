//! A group's account of one partition, as of an offset: who has written how much, and what became of it. It is kept with
//! the committed offset, so it holds over restarts and rebalances.

use super::stamp::Mark;
use super::totals::Totals;
use super::view::{Finding, View};

/// Between the view and the totals in the text.
const BETWEEN: char = ';';

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The destination took it.
    Delivered,
    /// It is a dead letter.
    DeadLettered,
    /// It came before, and was not delivered again.
    Suppressed,
    /// The destination took it but for so many spans, which are in a dead letter.
    Partly(u64),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// The writers.
    pub view: View,
    /// The spans.
    pub totals: Totals,
}

impl Account {
    /// The account of a reader that begins with the partition's first record.
    pub fn from_the_start() -> Self {
        Self { view: View::from_the_start(), totals: Totals::default() }
    }

    /// Takes a record in as written, whatever will become of it. `spans` are those that are in it; its writer says how
    /// many there should be.
    pub fn written(&mut self, mark: Option<Mark>, spans: u64) {
        self.totals.records += 1;
        let Some(mark) = mark else {
            self.totals.accepted += spans;
            return;
        };
        let stamped = u64::from(mark.here);
        self.totals.accepted += stamped;
        self.totals.lost += stamped.saturating_sub(spans);
        if let Finding::Missing { records, spans } = self.view.see(mark) {
            self.missing(records, spans);
        }
    }

    /// Takes in what a bridge knows to be in the partition, after all of it was read. Gives the spans that are not there.
    pub fn told(&mut self, writer: [u8; 16], records: u64, spans: u64) -> u64 {
        let Some(Finding::Missing { records, spans }) = self.view.told(writer, records, spans)
        else {
            return 0;
        };
        self.missing(records, spans);
        spans
    }

    /// Takes in what became of a record's spans.
    pub fn settled(&mut self, spans: u64, fate: Fate) {
        let totals = &mut self.totals;
        match fate {
            Fate::Delivered => totals.delivered += spans,
            Fate::DeadLettered => totals.dead_lettered += spans,
            Fate::Suppressed => totals.suppressed += spans,
            Fate::Partly(left_out) => {
                totals.dead_lettered += left_out.min(spans);
                totals.delivered += spans.saturating_sub(left_out);
            }
        }
    }

    /// The log dropped so many records before they were read. How many spans were in them is estimated, until the
    /// writers' totals say it.
    pub fn overrun(&mut self, records: u64) {
        let spans = self.estimate(records);
        let totals = &mut self.totals;
        totals.overrun_records += records;
        totals.overrun += spans;
        totals.accepted += spans;
    }

    /// The spans in so many records, by the mean of those before.
    pub fn estimate(&self, records: u64) -> u64 {
        let known = self.totals.accepted.saturating_sub(self.totals.overrun);
        records.saturating_mul(known).checked_div(self.totals.records).unwrap_or(records)
    }

    /// The writers' totals say exactly what an overrun had estimated, or tell of another loss.
    fn missing(&mut self, records: u64, spans: u64) {
        let totals = &mut self.totals;
        totals.lost += spans;
        totals.accepted += spans;
        let told = records.min(totals.overrun_records);
        let estimated = totals.overrun.saturating_mul(told).checked_div(totals.overrun_records);
        let estimated = estimated.unwrap_or(0);
        totals.overrun_records -= told;
        totals.overrun -= estimated;
        totals.accepted -= estimated;
    }

    /// As text for a commit's metadata.
    pub fn encode(&self) -> String {
        format!("{}{BETWEEN}{}", self.view.encode(), self.totals.encode())
    }

    /// Reads what `encode` wrote, or the view alone. Anything else is an account that knows nothing.
    pub fn decode(text: &str) -> Self {
        let (view, totals) = text.split_once(BETWEEN).unwrap_or((text, ""));
        Self { view: View::decode(view), totals: Totals::decode(totals).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(records: u64, spans: u64, here: u32) -> Mark {
        Mark { writer: [1; 16], records, spans, here }
    }

    fn settle(account: &mut Account, mark: Mark, fate: Fate) {
        account.written(Some(mark), mark.here.into());
        account.settled(mark.here.into(), fate);
    }

    #[test]
    fn every_span_is_in_one_number() {
        let mut account = Account::from_the_start();
        settle(&mut account, mark(1, 5, 5), Fate::Delivered);
        settle(&mut account, mark(2, 8, 3), Fate::DeadLettered);
        settle(&mut account, mark(3, 12, 4), Fate::Partly(1));
        settle(&mut account, mark(4, 14, 2), Fate::Suppressed);
        account.written(None, 7);
        account.settled(7, Fate::Delivered);
        let Totals { accepted, delivered, dead_lettered, suppressed, .. } = account.totals;
        assert_eq!((accepted, delivered, dead_lettered, suppressed), (21, 15, 4, 2));
        assert_eq!((account.totals.gone(), account.totals.unaccounted()), (0, 0));
    }

    #[test]
    fn a_span_taken_out_of_a_record_is_lost() {
        let mut account = Account::from_the_start();
        account.written(Some(mark(1, 5, 5)), 4);
        account.settled(4, Fate::Delivered);
        assert_eq!((account.totals.lost, account.totals.unaccounted()), (1, 0));
    }

    #[test]
    fn a_span_that_nobody_wrote_does_not_add_up() {
        let mut account = Account::from_the_start();
        account.written(Some(mark(1, 5, 5)), 6);
        account.settled(6, Fate::Delivered);
        assert_eq!(account.totals.unaccounted(), -1);
    }

    #[test]
    fn a_record_that_was_never_settled_does_not_add_up() {
        let mut account = Account::from_the_start();
        account.written(Some(mark(1, 5, 5)), 5);
        assert_eq!(account.totals.unaccounted(), 5);
    }

    #[test]
    fn an_overrun_is_estimated_until_the_totals_tell() {
        let mut account = Account::from_the_start();
        settle(&mut account, mark(1, 5, 5), Fate::Delivered);
        account.overrun(10);
        assert_eq!((account.totals.overrun, account.totals.gone()), (50, 50));
        assert_eq!(account.totals.unaccounted(), 0);
        settle(&mut account, mark(12, 38, 3), Fate::Delivered);
        assert_eq!((account.totals.overrun, account.totals.lost), (0, 30));
        assert_eq!((account.totals.accepted, account.totals.unaccounted()), (38, 0));
    }

    #[test]
    fn what_a_bridge_knows_to_be_there_makes_an_estimate_exact() {
        let mut account = Account::from_the_start();
        settle(&mut account, mark(1, 5, 5), Fate::Delivered);
        account.overrun(2);
        assert_eq!(account.totals.gone(), 10);
        assert_eq!(account.told([1; 16], 3, 9), 4);
        assert_eq!((account.totals.lost, account.totals.overrun), (4, 0));
        assert_eq!((account.totals.accepted, account.totals.unaccounted()), (9, 0));
    }

    #[test]
    fn an_account_of_an_older_build_keeps_its_view() {
        let mut account = Account::from_the_start();
        settle(&mut account, mark(1, 5, 5), Fate::Delivered);
        let read = Account::decode(&account.view.encode());
        assert_eq!((read.view, read.totals), (account.view, Totals::default()));
    }

    proptest! {
        #[test]
        fn whatever_is_lost_delivered_or_kept_adds_up_over_a_restart(
            records in proptest::collection::vec((1u32..9, 0u8..6), 1..100),
            restart in any::<prop::sample::Index>(),
        ) {
            let (mut account, mut total) = (Account::from_the_start(), (0, 0));
            let (mut missing, mut found) = (0, 0);
            for (i, (spans, what)) in records.iter().enumerate() {
                if i == restart.index(records.len()) {
                    account = Account::decode(&account.encode());
                }
                total = (total.0 + 1, total.1 + u64::from(*spans));
                let fate = match what {
                    0 => { missing += u64::from(*spans); continue; }
                    1 => Fate::DeadLettered,
                    2 => Fate::Suppressed,
                    3 => Fate::Partly(1),
                    _ => Fate::Delivered,
                };
                settle(&mut account, mark(total.0, total.1, *spans), fate);
                found += std::mem::take(&mut missing);
                prop_assert_eq!(account.totals.unaccounted(), 0);
                prop_assert_eq!(account.totals.accepted, total.1);
                prop_assert_eq!(account.totals.lost, found);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,80}") {
            let _ = Account::decode(&text);
        }
    }
}
