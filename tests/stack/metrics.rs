//! Prometheus text as numbers.

use std::collections::HashMap;

/// One number for each series, its name with its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Reads Prometheus' text format; lines that are none are passed over.
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| {
            let (series, value) = line.trim().rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Metrics(pairs.collect())
    }

    /// The sum over all series of this name; `_total` may be left out. 0 when there is none.
    pub fn sum(&self, name: &str) -> f64 {
        let of_this_name = self.0.iter().filter(|(series, _)| {
            let own = series.split('{').next().unwrap_or_default();
            own == name || own.strip_suffix("_total") == Some(name)
        });
        of_this_name.map(|(_, value)| value).sum()
    }

    /// The sum over the series of this name that have this label, written `name="value"`.
    pub fn sum_where(&self, name: &str, label: &str) -> f64 {
        let wanted = |series: &str| {
            series.split_once('{').is_some_and(|(own, labels)| {
                let mut labels = labels.trim_end_matches('}').split(',');
                own == name && labels.any(|own| own == label)
            })
        };
        self.0.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| value).sum()
    }

    /// How many series of this name there are.
    pub fn series(&self, name: &str) -> usize {
        self.0.keys().filter(|series| series.split('{').next() == Some(name)).count()
    }

    /// The sum as a whole number.
    pub fn count(&self, name: &str) -> u64 {
        self.sum(name) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP a b\na_total{p=\"0\"} 3\na_total{p=\"1\"} 4\nab_total 9\n# EOF\n";
        assert_eq!(Metrics::parse(text).count("a_total"), 7);
        assert_eq!(Metrics::parse(text).count("a"), 7);
        assert_eq!(Metrics::parse(text).count("c"), 0);
    }
}
