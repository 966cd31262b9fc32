//! The filter's ratios, as `make bench-filter` left them in docs/filter-performance.md: that run is not repeated here.

use spanferry_tests::stack::parts;

/// Rows for the table of what is promised; none when that page is not there.
pub fn rows() -> Vec<String> {
    let path = parts::root().join("docs/filter-performance.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    ratios(&page)
        .map(|(what, ratio, bound)| {
            let figure = "added CPU of Envoy, ratio ([its own run](filter-performance.md))";
            let holds =
                holds(&ratio, &bound).map_or("–", |holds| if holds { "yes" } else { "**no**" });
            let bound = if bound.is_empty() { bound } else { format!("≤ {bound}") };
            format!("| filter: {what} | {figure} | {ratio} | {bound} | {holds} |\n")
        })
        .collect()
}

/// The rows below "Ratios": what, the ratio with its spread, and the bound, if it has one.
fn ratios(page: &str) -> impl Iterator<Item = (String, String, String)> {
    let section = page.split_once("\n## Ratios\n").map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    section.lines().filter_map(|line| {
        let mut cells =
            line.trim().strip_prefix('|')?.split('|').map(|cell| cell.trim().to_owned());
        let (what, ratio, bound) = (cells.next()?, cells.next()?, cells.next()?);
        ratio.contains('…').then_some((what, ratio, bound))
    })
}

/// Whether the median, which comes first, is within the bound; `None` when there is none.
fn holds(ratio: &str, bound: &str) -> Option<bool> {
    let median: f64 = ratio.split_whitespace().next()?.parse().ok()?;
    Some(median <= bound.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_page_is_read_as_it_is_written() {
        let page = include_str!("../../../docs/filter-performance.md");
        let found: Vec<_> = ratios(page).collect();
        assert!(found.len() >= 2, "{found:?}");
        assert!(found.iter().any(|(_, ratio, bound)| holds(ratio, bound).is_some()), "{found:?}");
    }

    #[test]
    fn a_ratio_holds_by_its_median() {
        assert_eq!(holds("0.59 (0.10 … 2.40)", "0.6"), Some(true));
        assert_eq!(holds("1.59 (0.29 … 2.40)", "0.6"), Some(false));
        assert_eq!(holds("1.59 (0.29 … 2.40)", ""), None);
    }
}
