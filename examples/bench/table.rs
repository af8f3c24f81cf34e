//! The table, as text: a line for each measure, a column for each contender, medians and in brackets the best.
//!
//! Deliberately not here: the picture (`picture`), which shows the same words.

use std::fmt::Write;

use crate::board::{Board, Row, Unit};

/// What stands where nothing was measured.
const NOTHING: &str = "–";

/// The whole table.
pub(crate) fn text(board: &Board) -> String {
    let mut lines = vec![[vec![String::new()], board.contenders.clone()].concat()];
    let mut group = "";
    for row in &board.rows {
        if row.group != group {
            group = row.group;
            lines.push(vec![group.to_owned()]);
        }
        let mut line = vec![format!("  {}", row.title)];
        line.extend((0..board.contenders.len()).map(|at| cell(row, at)));
        lines.push(line);
    }
    let columns = board.contenders.len() + 1;
    let widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().filter_map(|line| Some(line.get(at)?.chars().count())).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for condition in &board.conditions {
        let _ = writeln!(text, "{condition}");
    }
    let _ = writeln!(text, "median (best)\n");
    for line in lines {
        let mut written = String::new();
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match at {
                0 => write!(written, "{cell:<width$}"),
                _ => write!(written, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", written.trim_end());
    }
    for note in &board.notes {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

/// What a row says of a contender.
pub(crate) fn cell(row: &Row, contender: usize) -> String {
    let Some(median) = row.median(contender) else {
        return nothing(row).to_owned();
    };
    match row.best(contender).filter(|_| row.samples[contender].len() > 1) {
        Some(best) => format!("{} ({})", value(row.unit, median), value(row.unit, best)),
        None => value(row.unit, median),
    }
}

/// Where nobody has a sample, the system does not tell.
fn nothing(row: &Row) -> &'static str {
    match row.samples.iter().all(Vec::is_empty) {
        true => "not measured here",
        false => NOTHING,
    }
}

/// A value as a person reads it.
pub(crate) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Time if value.abs() < 0.001 => format!("{:.0} µs", value * 1e6),
        Unit::Time if value < 1.0 => format!("{} ms", three_digits(value * 1e3)),
        Unit::Time => format!("{} s", three_digits(value)),
        Unit::Memory => format!("{} MB", three_digits(value / 1e6)),
        Unit::Rate | Unit::Number => format!("{value:.0}"),
    }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
