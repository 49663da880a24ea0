//! The two tables and the footnotes of their marks.

use crate::analysis::report::{Measured, Missing, Percentile, StrategyReport, Value};
use crate::report::number;

use super::paint::Style;
use super::table::Table;
use super::{NAME_COLUMNS, Page, paragraph, plain};

/// Marks a percentile with too few requests behind it.
const UNCERTIFIED: char = '*';
/// Marks a score without GPU readings.
const RESCALED: char = '^';
/// Stands for a missing value.
pub(super) const ABSENT: &str = "-";

/// One row per strategy, as the seed has it.
pub(super) fn comparison(page: &Page<'_>) -> Table {
    let mut table = Table::new(page.texts.columns, [15, 12, 9, 13, 13, 11, 10]);
    let best = page.report.best.as_ref().map(|b| b.strategy.as_str());
    for row in &page.report.strategies {
        let style = if Some(row.name.as_str()) == best {
            Some(Style::Good)
        } else if row.measured.is_err() {
            Some(Style::Dim)
        } else if row.items.ok == 0 {
            Some(Style::Bad)
        } else {
            None
        };
        let cell =
            |pick: &dyn Fn(&Measured) -> String| row.measured.as_ref().map_or(ABSENT.to_owned(), |m| pick(m));
        table.row(
            [
                name(row),
                cell(&|m| show(&m.throughput_items_per_s, number::rate)),
                cell(&|m| show(&m.success_rate_percent, number::part)),
                cell(&|m| show(&m.response.mean_s, number::seconds)),
                cell(&|m| percentile(&m.response.p95)),
                cell(&|m| show(&m.host.gpu_percent, number::percent)),
                cell(&score),
            ],
            style,
        );
    }
    table
}

/// Sample counts, the other percentiles, and where every item went.
pub(super) fn counts(page: &Page<'_>) -> Table {
    let mut table = Table::new(page.texts.count_columns, [15, 8, 11, 11, 11, 9, 9, 10, 9]);
    for row in &page.report.strategies {
        let cell =
            |pick: &dyn Fn(&Measured) -> String| row.measured.as_ref().map_or(ABSENT.to_owned(), |m| pick(m));
        let items = row.items;
        table.row(
            [
                name(row),
                cell(&|m| m.response.count.to_string()),
                cell(&|m| percentile(&m.response.p50)),
                cell(&|m| percentile(&m.response.p99)),
                cell(&|m| percentile(&m.response.p999)),
                cell(&|_| items.ok.to_string()),
                cell(&|_| items.failed.to_string()),
                items.not_sent.to_string(),
                items.planned.to_string(),
            ],
            None,
        );
    }
    table
}

pub(super) fn name(row: &StrategyReport) -> String {
    plain(&row.name, NAME_COLUMNS)
}

pub(super) fn show(value: &Value, format: fn(f64) -> String) -> String {
    value.as_ref().map_or(ABSENT.to_owned(), |v| format(*v))
}

pub(super) fn percentile(percentile: &Percentile) -> String {
    let mut text = show(&percentile.seconds, number::seconds);
    if percentile.seconds.is_ok() && !percentile.certified {
        text.push(UNCERTIFIED);
    }
    text
}

fn score(measured: &Measured) -> String {
    let mut text = show(&measured.score, number::score);
    if measured.score_without_gpu {
        text.push(RESCALED);
    }
    text
}

/// What the marks of both tables mean; empty when there is none.
pub(super) fn footnotes(page: &Page<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let measured = || page.report.strategies.iter().filter_map(|s| s.measured.as_ref().ok());
    let uncertified = |p: &Percentile| p.seconds.is_ok() && !p.certified;
    // Of an open load the lateness is shown too; in a closed one it is absent.
    let shown = |m: &Measured| {
        [&m.response.p95, &m.response.p99, &m.response.p999, &m.pacer_lateness.p99]
            .into_iter()
            .any(uncertified)
    };
    if measured().any(|m| shown(m)) {
        notes.push((UNCERTIFIED.to_string(), (page.texts.uncertified)()));
    }
    if measured().any(|m| m.score_without_gpu) {
        notes.push((RESCALED.to_string(), page.texts.score_without_gpu.to_owned()));
    }
    notes.extend(absences(page).into_iter().map(|text| (ABSENT.to_owned(), text)));
    notes
        .into_iter()
        .flat_map(|(mark, text)| paragraph(&format!("{mark} "), &text))
        .map(|line| page.paint.on(Style::Dim, &line))
        .collect()
}

/// Why values are missing. A strategy without figures is explained once; else strategies that lack the same
/// column for the same reason share a line.
fn absences(page: &Page<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut shared: Vec<(&str, &Missing, Vec<&str>)> = Vec::new();
    for row in &page.report.strategies {
        if let Some(error) = page.texts.row_error(row) {
            texts.push(format!("{}{}{error}", row.name, page.texts.colon));
            continue;
        }
        let Ok(measured) = &row.measured else { continue };
        for (column, value) in page.texts.columns[1..].iter().zip(values(measured)) {
            // A score that lacks its throughput is explained by the throughput.
            let Err(missing) = value else { continue };
            match shared.iter_mut().find(|(c, m, _)| c == column && *m == missing) {
                Some((_, _, names)) => names.push(&row.name),
                None => shared.push((column, missing, vec![&row.name])),
            }
        }
    }
    texts.extend(shared.into_iter().map(|(column, missing, names)| {
        let colon = page.texts.colon;
        let reason = (page.texts.missing)(missing);
        if names.len() == page.report.strategies.len() {
            format!("{column}{colon}{reason}")
        } else {
            format!("{column} ({}){colon}{reason}", names.join(page.texts.comma))
        }
    }));
    texts
}

fn values(measured: &Measured) -> [&Value; 6] {
    [
        &measured.throughput_items_per_s,
        &measured.success_rate_percent,
        &measured.response.mean_s,
        &measured.response.p95.seconds,
        &measured.host.gpu_percent,
        &measured.score,
    ]
}
