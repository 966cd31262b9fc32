//! Figures of several rounds: the smallest, the median, the largest.

use std::fmt;

/// The smallest, the median and the largest of some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of any figures; all zero for none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let (count, last) = (sorted.len(), sorted.len().saturating_sub(1));
        let median = (at(last / 2) + at(count / 2)) / 2.0;
        Spread { least: at(0), median, most: at(last) }
    }
}

/// `median (least … most)`, with as many digits as are asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { least, median, most } = self;
        let digits = f.precision().unwrap_or(1);
        write!(f, "{median:.digits$} ({least:.digits$} … {most:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_any_order() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(odd, Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of([]), Spread::default());
    }

    #[test]
    fn the_median_is_shown_with_its_bounds() {
        assert_eq!(format!("{:.2}", Spread::of([1.0, 2.0, 4.0])), "2.00 (1.00 … 4.00)");
    }
}
