//! The plot `docs/filter-performance.svg`: a bar a case, its median, and a line from the smallest to the largest.

use crate::cases::ALL;
use crate::figures::Measured;
use anyhow::{Result, anyhow};
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 340);
const BAR: RGBColor = RGBColor(0x3b, 0x6e, 0xa5);
const OWN: RGBColor = RGBColor(0x2a, 0x9d, 0x6f);

/// The plot as SVG.
pub fn plot(measured: &Measured) -> Result<String> {
    let mut svg = String::new();
    draw(measured, &mut svg).map_err(|error| anyhow!("the plot: {error}"))?;
    Ok(svg)
}

fn draw(measured: &Measured, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let figures = ALL.map(|case| measured.of(case, |slice| slice.cpu_us));
    let most = figures.iter().map(|spread| spread.most).fold(1.0, f64::max);
    let count = ALL.len() as f64;

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("CPU time of Envoy a request, µs", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(200)
        .build_cartesian_2d(0.0..most * 1.1, count..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (case, spread) in ALL.iter().zip(figures) {
        let top = case.index() as f64;
        let colour = if case.name().starts_with("Spanferry") { OWN } else { BAR };
        let bar = [(0.0, top + 0.2), (spread.median, top + 0.8)];
        let range = [(spread.least, top + 0.5), (spread.most, top + 0.5)];
        chart.draw_series([Rectangle::new(bar, colour.filled())])?;
        chart.draw_series([PathElement::new(range, BLACK)])?;
        let value = format!("{:.1}", spread.median);
        let beside = (spread.most + most * 0.01, top + 0.38);
        chart.draw_series([Text::new(value, beside, ("sans-serif", 13))])?;
    }
    let height = f64::from(SIZE.1) - 12.0 * 2.0 - 28.0 - 18.0 * 1.4;
    for case in ALL {
        let middle = 12.0 + 18.0 * 1.4 + height * (case.index() as f64 + 0.4) / count;
        root.draw(&Text::new(case.name(), (14, middle as i32), ("sans-serif", 13)))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Slice;

    #[test]
    fn every_case_has_a_bar_with_its_name_and_its_median() {
        let round = |extra: f64| {
            let slice =
                |case: usize| Slice { cpu_us: 20.0 + case as f64 + extra, ..Slice::default() };
            (0..ALL.len()).map(slice).collect::<Vec<_>>()
        };
        let measured = Measured { rounds: vec![round(0.0), round(0.5)], ..Measured::default() };
        let svg = plot(&measured).unwrap().replace("&apos;", "'");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for case in ALL {
            assert!(svg.contains(case.name()), "{}", case.name());
            assert!(
                svg.contains(&format!("{:.1}", 20.25 + case.index() as f64)),
                "{}",
                case.name()
            );
        }
    }
}
