//! What was measured: a row for each measure, in it the samples of each contender, and what is made of them.
//!
//! The median says what to expect, the best what is possible when nobody disturbs. Deliberately not here: how it looks
//! (`table`, `picture`).

use serde_json::{Value, json};

/// In what a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Time,
    /// Bytes.
    Memory,
    /// Calls per second: the only one of which more is better.
    Rate,
    Number,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Time => "seconds",
            Unit::Memory => "bytes",
            Unit::Rate => "calls per second",
            Unit::Number => "number",
        }
    }
}

/// One measure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    /// Whether it stands in the picture as well, and not in the table alone.
    pub(crate) is_drawn: bool,
    /// Those of each contender, in the order of the board.
    pub(crate) samples: Vec<Vec<f64>>,
}

impl Row {
    pub(crate) fn new(group: &'static str, title: impl Into<String>, unit: Unit, contenders: usize) -> Row {
        Row { group, title: title.into(), unit, is_drawn: true, samples: vec![Vec::new(); contenders] }
    }

    /// The middle of a contender's samples.
    pub(crate) fn median(&self, contender: usize) -> Option<f64> {
        median(&self.samples[contender])
    }

    /// The best of them.
    pub(crate) fn best(&self, contender: usize) -> Option<f64> {
        let samples = self.samples[contender].iter().copied();
        match self.unit {
            Unit::Rate => samples.reduce(f64::max),
            Unit::Time | Unit::Memory | Unit::Number => samples.reduce(f64::min),
        }
    }
}

/// The middle of some samples.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[length / 2]),
        length => Some(f64::midpoint(sorted[length / 2 - 1], sorted[length / 2])),
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Where and with what, in words.
    pub(crate) conditions: Vec<String>,
    pub(crate) contenders: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// What did not work.
    pub(crate) notes: Vec<String>,
}

impl Board {
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let results = self.contenders.iter().enumerate().map(|(at, name)| {
                let result = json!({
                    "median": row.median(at), "best": row.best(at), "samples": row.samples[at],
                });
                (name.clone(), result)
            });
            json!({
                "group": row.group, "measure": row.title, "unit": row.unit.name(),
                "results": results.collect::<serde_json::Map<_, _>>(),
            })
        });
        json!({
            "conditions": self.conditions, "contenders": self.contenders, "notes": self.notes,
            "measures": rows.collect::<Vec<_>>(),
        })
    }
}
