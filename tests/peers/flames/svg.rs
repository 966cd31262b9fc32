//! A flame graph as SVG: a frame is as wide as the share of samples in which it was, and stands on the frame that called it.

use super::stacks::{Frame, Of, Stacks};
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
/// Narrower frames are not drawn, as a share of all samples.
const NARROWEST: f64 = 0.003;
/// Of a letter in this font, px.
const LETTER: f64 = 6.4;

#[derive(Default)]
struct Node {
    samples: u64,
    callees: BTreeMap<Frame, Node>,
}

/// The picture.
pub fn draw(title: &str, stacks: &Stacks) -> String {
    let mut all = Node::default();
    for (stack, samples) in stacks {
        let mut node = &mut all;
        node.samples += samples;
        for frame in stack {
            node = node.callees.entry(frame.clone()).or_default();
            node.samples += samples;
        }
    }
    let least = (all.samples as f64 * NARROWEST).max(1.0) as u64;
    let height = (depth(&all, least) + 2) as f64 * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" \
         font-size=\"10.5\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"4\" y=\"13\" font-size=\"13\">{}</text>\n",
        escaped(title)
    );
    let name = (Of::Other, format!("all ({} samples)", all.samples));
    let picture = Picture { all: all.samples, least };
    picture.frame(&mut svg, &name, &all, (0.0, height - ROW));
    svg.push_str("</svg>\n");
    svg
}

struct Picture {
    all: u64,
    least: u64,
}

impl Picture {
    /// A frame with its left lower corner's place, then what it called above it, the widest first.
    fn frame(&self, svg: &mut String, (of, name): &Frame, node: &Node, (x, y): (f64, f64)) {
        let share = node.samples as f64 / self.all as f64;
        let width = share * WIDTH;
        let shown: String = name.chars().take((width / LETTER) as usize).collect();
        let _ = writeln!(
            svg,
            "<g><title>{}: {:.1} %</title><rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\" \
             fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.0}\">{}</text></g>",
            escaped(name),
            share * 100.0,
            width - 0.4,
            ROW - 1.0,
            colour(*of),
            x + 2.0,
            y + 12.0,
            escaped(&shown),
        );
        let mut callees: Vec<_> = node.callees.iter().collect();
        callees.sort_by_key(|(_, callee)| std::cmp::Reverse(callee.samples));
        let mut left = x;
        for (frame, callee) in
            callees.into_iter().filter(|(_, callee)| callee.samples >= self.least)
        {
            self.frame(svg, frame, callee, (left, y - ROW));
            left += callee.samples as f64 / self.all as f64 * WIDTH;
        }
    }
}

fn depth(node: &Node, least: u64) -> usize {
    let wide = node.callees.values().filter(|callee| callee.samples >= least);
    wide.map(|callee| depth(callee, least) + 1).max().unwrap_or(0)
}

fn colour(of: Of) -> &'static str {
    match of {
        Of::Own => "#8fc9a9",
        Of::Librdkafka => "#7fb3d5",
        Of::Kernel => "#e8a33d",
        Of::Other => "#d9d9d9",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_wide_as_its_share_and_narrow_ones_are_left_out() {
        let frame = |name: &str| (Of::Own, name.to_owned());
        let stacks = Stacks::from([
            (vec![frame("serve"), frame("split<T>")], 3000),
            (vec![frame("serve")], 999),
            (vec![frame("serve"), frame("rare")], 1),
        ]);
        let svg = draw("both", &stacks);
        assert!(svg.contains("<title>serve: 100.0 %</title>"), "{svg}");
        assert!(svg.contains("<title>split&lt;T&gt;: 75.0 %</title>"), "{svg}");
        assert!(svg.contains("width=\"899.6\"") && !svg.contains("rare"), "{svg}");
    }
}
