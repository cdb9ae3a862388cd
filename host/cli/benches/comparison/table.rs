//! The table: one line for each thing that was measured, with what it should be.

/// What a ratio or a value must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// For information.
    None,
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(target) => value >= target,
            Self::AtMost(target) => value <= target,
            Self::None => true,
        }
    }
}

/// How the figures of a line are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Micros,
    Millis,
    PerSecond,
    Megabytes,
    Kibibytes,
    Pieces,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let digits = usize::from(value < 100.0);
        match self {
            Self::Micros => format!("{value:.digits$} µs"),
            Self::Millis => format!("{value:.2} ms"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Kibibytes => format!("{value:.0} KiB"),
            Self::Pieces => format!("{value:.0}"),
        }
    }
}

/// One line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// By contender; a missing one was not measured.
    pub(crate) figures: Vec<(String, f64)>,
    /// The value that is compared with the target, and its description.
    pub(crate) judged: Option<(f64, &'static str)>,
    pub(crate) target: Target,
}

/// All lines, as a table in Markdown that reads well in a terminal too.
pub(crate) fn show(columns: &[String], lines: &[Line]) -> String {
    let head = ["measured"].into_iter().map(str::to_owned).chain(columns.iter().cloned());
    let mut rows = vec![head.chain(["result", "target", ""].map(str::to_owned)).collect::<Vec<_>>()];
    for line in lines {
        let figure = |column: &String| {
            let found = line.figures.iter().find(|(name, _)| name == column);
            found.map_or_else(String::new, |(_, value)| line.unit.show(*value))
        };
        let result = line.judged.map_or_else(String::new, |(value, words)| {
            let digits = if value < 100.0 { 2 } else { 0 };
            format!("{value:.digits$}{words}")
        });
        let target = match line.target {
            Target::AtLeast(target) => format!("≥ {target}"),
            Target::AtMost(target) => format!("≤ {target}"),
            Target::None => String::new(),
        };
        let verdict = match (line.judged, line.target) {
            (None, _) | (_, Target::None) => "",
            (Some((value, _)), target) if target.met(value) => "met",
            _ => "missed",
        };
        let figures = columns.iter().map(figure);
        let row = std::iter::once(line.name.clone()).chain(figures).chain([result, target, verdict.to_owned()]);
        rows.push(row.collect());
    }
    align(&rows)
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let length = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| length(row, column)).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
            text.push_str("|\n");
        }
    }
    text
}
