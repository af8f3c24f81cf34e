//! The table as a picture: SVG, with a bar for each value that is as long as the value is large, within its row.
//!
//! Light and dark pages both: it brings its own background. Deliberately not here: what the values are called
//! (`table`).

use std::fmt::Write;

use crate::board::{Board, Row};
use crate::table::value;

const MARGIN: f64 = 16.0;
const LINE: f64 = 22.0;
const TITLE_WIDTH: f64 = 300.0;
const COLUMN_WIDTH: f64 = 170.0;
/// How much of a column its bar may take; the value stands behind it.
const BAR_WIDTH: f64 = 80.0;
const COLOURS: [&str; 4] = ["#9aa4b2", "#2f6fde", "#d1793a", "#6a9f3f"];

/// Draws the medians.
pub(crate) fn draw(board: &Board) -> String {
    let width = 2.0 * MARGIN + TITLE_WIDTH + COLUMN_WIDTH * board.contenders.len() as f64;
    let mut body = String::new();
    let mut y = MARGIN + LINE;
    for (at, name) in board.contenders.iter().enumerate() {
        put(&mut body, column(at), y, "head", name);
    }
    let mut group = "";
    for row in board.rows.iter().filter(|row| row.is_drawn) {
        if row.group != group {
            group = row.group;
            y += LINE * 1.4;
            put(&mut body, MARGIN, y, "head", group);
        }
        y += LINE;
        put(&mut body, MARGIN, y, "title", &row.title);
        for at in 0..board.contenders.len() {
            draw_value(&mut body, row, at, y);
        }
    }
    y += LINE * 1.6;
    put(&mut body, MARGIN, y, "note", &format!("Medians. {}", board.conditions.join("; ")));
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>.head {{ font-weight: 600 }} .note {{ font-size: 11px; fill: #67707c }} text {{ fill: #1d2430 }}\
         </style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn column(at: usize) -> f64 {
    MARGIN + TITLE_WIDTH + COLUMN_WIDTH * at as f64
}

fn draw_value(body: &mut String, row: &Row, at: usize, y: f64) {
    let largest = (0..row.samples.len()).filter_map(|at| row.median(at)).fold(0.0, f64::max);
    let Some(median) = row.median(at) else { return };
    let length = (median.max(0.0) / largest * BAR_WIDTH).max(1.0);
    let colour = COLOURS[at % COLOURS.len()];
    let x = column(at);
    let top = y - 11.0;
    let _ = writeln!(
        body,
        "<rect x=\"{x}\" y=\"{top}\" width=\"{length:.1}\" height=\"14\" rx=\"2\" fill=\"{colour}\"/>"
    );
    put(body, x + length + 6.0, y, "value", &value(row.unit, median));
}

fn put(body: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>");
}
