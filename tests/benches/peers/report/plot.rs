//! Bars, one for each program, with the lowest and the highest round as a line.

use std::fmt::Write as _;

use super::markdown::number;
use crate::programs::Hops;
use crate::results::{Metric, Results, Row};

const WIDTH: f64 = 720.0;
/// Room for names on the left and for numbers on the right.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 80.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
const HEAD: f64 = 44.0;

/// File names and what is in them, for all that was measured.
pub(super) fn all(results: &Results) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for metric in Metric::ALL {
        for hops in Hops::ALL {
            let of_both = |row: &&Row| (row.metric, row.hops) == (metric, hops);
            let rows: Vec<&Row> = results.rows.iter().filter(of_both).collect();
            if !rows.is_empty() {
                let name = format!("{}-{}.svg", metric.key(), hops.name().replace(' ', "-"));
                plots.push((name, plot(metric, hops, &rows)));
            }
        }
    }
    plots
}

fn plot(metric: Metric, hops: Hops, rows: &[&Row]) -> String {
    let height = HEAD + STEP * rows.len() as f64 + 8.0;
    let most = rows.iter().flat_map(|row| &row.samples).copied();
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let x = |number: f64| LEFT + (WIDTH - LEFT - RIGHT) * number / most;
    let better = match metric.more_is_better() {
        true => "more is better",
        false => "less is better",
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"22\" font-size=\"15\">{}, {} ({better})</text>\n",
        metric.title(),
        hops.name()
    );
    for (place, row) in rows.iter().enumerate() {
        let top = HEAD + STEP * place as f64;
        let (middle, text) = (top + BAR / 2.0, top + BAR - 5.0);
        let median = row.median();
        let colour = if row.name.starts_with("guard") {
            "#2a7f62"
        } else {
            "#8fa3ad"
        };
        let low = row.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let high = row.samples.iter().copied().fold(0.0, f64::max);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{}</text>",
            LEFT - 8.0,
            row.name,
            x(median) - LEFT,
            x(low),
            x(high),
            x(high) + 6.0,
            number(median),
        );
    }
    svg + "</svg>\n"
}
