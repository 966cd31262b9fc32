//! The report for people: a few lines of numbers, the sum as an equation, and what does not hold.

use super::report::{Report, Row};
use std::fmt;

const HEADINGS: [&str; 9] = [
    "accepted",
    "in spool",
    "in log",
    "in flight",
    "delivered",
    "dead letters",
    "suppressed",
    "lost",
    "dropped by filter",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Ledger of topic {}, group {}, in spans", self.topic, self.group)?;
        let name = self.sources.iter().map(|source| source.source.len()).max().unwrap_or(0).max(6);
        write!(f, "\n{:name$}", "")?;
        for heading in HEADINGS {
            write!(f, "  {heading}")?;
        }
        writeln!(f)?;
        for source in &self.sources {
            line(f, name, &source.source, &source.row, source.dropped)?;
        }
        line(f, name, "in all", &self.all, self.dropped_by_filter)?;
        if !self.sources.is_empty() {
            writeln!(
                f,
                "\nThe lines of sources reach back as far as the log does, the sum to its beginning."
            )?;
        }
        self.missing(f)?;
        self.equation(f)
    }
}

impl Report {
    /// What filters numbered and the log does not hold: dropped by the filter, or written to another topic, or lost.
    fn missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.sources {
            let (batches, records) = (source.missing_batches, source.missing_records);
            if batches + records > 0 {
                writeln!(
                    f,
                    "{}: {batches} numbers of batches are not in the log, and {records} records of others",
                    source.source
                )?;
            }
        }
        Ok(())
    }

    fn equation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { accepted, delivered, dead_lettered, suppressed, lost, unaccounted, .. } =
            self.all;
        let waiting = self.all.waiting();
        let mark = if self.holds { "✓" } else { "✗" };
        write!(
            f,
            "\n{mark} accepted {accepted} = delivered {delivered} + dead-lettered {dead_lettered} \
             + suppressed {suppressed} + waiting {waiting}"
        )?;
        match (lost, unaccounted) {
            (0, 0) => writeln!(f, ", lost 0")?,
            (lost, 0) => writeln!(f, " + lost {lost}")?,
            (lost, unaccounted) => writeln!(f, " + lost {lost} + unaccounted {unaccounted}")?,
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    name: &str,
    row: &Row,
    dropped: u64,
) -> fmt::Result {
    let numbers = [
        row.accepted,
        row.in_spool,
        row.in_log,
        row.in_flight,
        row.delivered,
        row.dead_lettered,
        row.suppressed,
        row.lost,
        dropped,
    ];
    write!(f, "{name:width$}")?;
    for (heading, number) in HEADINGS.iter().zip(numbers) {
        write!(f, "  {number:>width$}", width = heading.len())?;
    }
    writeln!(f)
}
