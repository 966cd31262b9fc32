//! The plots as SVG: bars for what is compared, with a line from the smallest figure to the largest; and curves.

use crate::curves::{Curve, Point, Sample};
use crate::figures::{Comparison, Figure, SIDES, Side};
use crate::page::Results;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use spanferry_tests::measure::Spread;

const WIDTH: u32 = 930;
const PEER: RGBColor = RGBColor(0x3b, 0x6e, 0xa5);
const OWN: RGBColor = RGBColor(0x2a, 0x9d, 0x6f);
const MARGIN: u32 = 12;
const TITLE: u32 = 18;
const ROW: u32 = 24;
const LABELS: u32 = 28;
const NAMES: u32 = 400;

/// A bar: its name, whose it is, its figures.
type Bar = (String, Side, Spread);

/// Every plot of the page, by its file's name.
pub fn all(results: &Results) -> Result<Vec<(&'static str, String)>> {
    let parts = [
        ("bridge", &results.bridges),
        ("forwarder", &results.forwarders),
        ("end to end", &results.chains),
        ("into Jaeger", &results.ends),
    ];
    let bars = |figure: Figure| -> Vec<Bar> {
        let comparisons =
            parts.iter().flat_map(|(part, all)| all.iter().map(move |one| (part, one)));
        comparisons.flat_map(|(part, one)| pair(part, one, figure)).collect()
    };
    let timed =
        |figure: Figure| bars(figure).into_iter().filter(|(_, _, spread)| spread.most > 0.0);
    Ok(vec![
        ("performance-cpu.svg", chart("CPU time a span, µs", &bars(|s| s.cpu_us))?),
        ("performance-memory.svg", chart("Peak memory, MB", &bars(|s| s.peak_mb))?),
        (
            "performance-latency.svg",
            chart(
                "p99 of latency, ms: bridge to acknowledgement, else to visible",
                &timed(|s| s.p99_ms).collect::<Vec<_>>(),
            )?,
        ),
    ])
}

fn pair(part: &str, comparison: &Comparison, figure: Figure) -> Vec<Bar> {
    let bar = |side: Side| {
        let name = format!("{}: {part}, {}", side.name(), comparison.name);
        (name, side, comparison.of(side, figure))
    };
    SIDES.map(bar).to_vec()
}

fn chart(title: &str, bars: &[Bar]) -> Result<String> {
    let mut svg = String::new();
    draw(title, bars, &mut svg).map_err(|error| anyhow!("{title}: {error}"))?;
    Ok(svg)
}

fn draw(title: &str, bars: &[Bar], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let most = bars.iter().map(|(_, _, spread)| spread.most).fold(f64::MIN_POSITIVE, f64::max);
    let count = bars.len().max(1) as f64;
    let caption = TITLE * 14 / 10;
    let size = (WIDTH, MARGIN * 2 + caption + LABELS + ROW * bars.len().max(1) as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", TITLE))
        .margin(MARGIN)
        .x_label_area_size(LABELS)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..most * 1.12, count..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (place, (name, side, spread)) in bars.iter().enumerate() {
        let top = place as f64;
        let colour = if *side == Side::Spanferry { OWN } else { PEER };
        let bar = [(0.0, top + 0.15), (spread.median, top + 0.85)];
        let range = [(spread.least, top + 0.5), (spread.most, top + 0.5)];
        chart.draw_series([Rectangle::new(bar, colour.filled())])?;
        chart.draw_series([PathElement::new(range, BLACK)])?;
        let beside = (spread.most + most * 0.01, top + 0.3);
        let value = format!("{:.1}", spread.median);
        chart.draw_series([Text::new(value, beside, ("sans-serif", 13))])?;
        let middle = MARGIN + caption + ROW * place as u32 + ROW / 4;
        root.draw(&Text::new(name.clone(), (14, middle as i32), ("sans-serif", 13)))?;
    }
    root.present()?;
    Ok(())
}

/// A curve of CPU time a span for bridge, broker and forwarder, on a logarithmic axis.
pub fn curve(curve: &Curve) -> Result<String> {
    let mut svg = String::new();
    draw_curve(curve, &mut svg).map_err(|error| anyhow!("{}: {error}", curve.axis))?;
    Ok(svg)
}

fn draw_curve(curve: &Curve, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    type Line = (&'static str, RGBColor, fn(&Sample) -> f64);
    const LINES: [Line; 3] = [
        ("bridge", OWN, |sample| sample.bridge_us),
        ("forwarder", PEER, |sample| sample.forwarder_us),
        ("broker", RGBColor(0x9a, 0x9a, 0x9a), |sample| sample.broker_us),
    ];
    // 0 has no place on such an axis.
    let place = |point: &Point| point.at.max(0.5);
    let first = curve.points.first().map_or(1.0, place);
    let last = curve.points.last().map_or(2.0, place).max(first * 1.1);
    let figures = LINES.iter().flat_map(|(_, _, of)| curve.points.iter().map(|p| p.of(*of).most));
    let most = figures.fold(f64::MIN_POSITIVE, f64::max);
    let root = SVGBackend::with_string(svg, (WIDTH, 320)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("CPU time a span, µs, by {}", curve.axis), ("sans-serif", TITLE))
        .margin(MARGIN)
        .x_label_area_size(LABELS)
        .y_label_area_size(50)
        .build_cartesian_2d((first..last).log_scale(), 0.0..most * 1.1)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).label_style(("sans-serif", 13)).draw()?;
    for (name, colour, of) in LINES {
        let line: Vec<_> = curve.points.iter().map(|p| (place(p), p.of(of).median)).collect();
        if let Some(end) = line.last() {
            chart.draw_series([Text::new(
                name,
                (end.0 * 0.8, end.1 + most * 0.08),
                ("sans-serif", 13),
            )])?;
        }
        chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
        chart.draw_series(line.into_iter().map(|at| Circle::new(at, 3, colour.filled())))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Slice;

    #[test]
    fn every_side_of_every_comparison_has_a_bar_with_its_median() {
        let round = [3.25, 17.5].map(|cpu_us| Slice { cpu_us, ..Slice::default() });
        let name = "5 spans".to_owned();
        let bridges = vec![Comparison { name, note: String::new(), rounds: vec![round; 3] }];
        let plots = all(&Results { bridges, ..Results::default() }).unwrap();
        let (file, svg) = &plots[0];
        assert_eq!(*file, "performance-cpu.svg");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["Spanferry: bridge, 5 spans", "Collector: bridge, 5 spans", "3.2", "17.5"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn a_curve_has_a_line_for_each_process() {
        let point = |at| Point { at, samples: vec![Sample { bridge_us: at, ..Sample::default() }] };
        let points = vec![point(0.0), point(10.0), point(100.0)];
        let svg = curve(&Curve { axis: "spans a trace", file: "x.svg", points }).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["bridge", "forwarder", "broker", "by spans a trace"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
