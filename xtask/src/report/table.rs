//! A report as a table.

use super::Report;
use super::figure::{Figure, Verdict};

/// The report as people read it.
pub(super) fn table(report: &Report) -> String {
    let peer = report.peer.as_deref().unwrap_or_default();
    let heading = ["figure", peer, "measured", "ratio", "must", "aim", ""].map(str::to_owned);
    let rows: Vec<Vec<String>> = std::iter::once(heading.to_vec()).chain(report.figures.iter().map(row)).collect();
    let conditions: Vec<String> = report.conditions.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{}\n{}, {}\n", layout(&rows), report.taken_at, conditions.join(", "))
}

fn row(figure: &Figure) -> Vec<String> {
    let unit = figure.unit;
    let peer = figure.peer.as_ref();
    let goal = figure.goal.as_ref();
    vec![
        figure.name.clone(),
        peer.map(|it| unit.show(it.value)).unwrap_or_default(),
        unit.show(figure.value),
        peer.map(|it| format!("{:.2}x", it.ratio)).unwrap_or_default(),
        goal.map(|it| it.show(it.must, unit)).unwrap_or_default(),
        goal.and_then(|it| Some(it.show(it.aim?, unit))).unwrap_or_default(),
        verdict(figure).to_owned(),
    ]
}

fn verdict(figure: &Figure) -> &'static str {
    match figure.verdict() {
        Some(Verdict::Aim) => "ok, aim",
        Some(Verdict::Ok) => "ok",
        Some(Verdict::Below) => "BELOW",
        None => "",
    }
}

/// Columns as wide as their widest cell: the first to the left, numbers to the right, the last as it is.
pub(super) fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            last if last + 1 == columns => cell.clone(),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(format!("    {}", cells.collect::<Vec<_>>().join("  ")).trim_end());
        text.push('\n');
    }
    text
}
