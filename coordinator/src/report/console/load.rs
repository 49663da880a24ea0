//! The load, the warm-up and the generators below the tables.

use crate::analysis::load::OpenReport;
use crate::analysis::report::{Measured, StrategyReport};
use crate::plan::PlannedLoad;
use crate::report::number;

use super::paint::Style;
use super::rows::{ABSENT, name, percentile, show};
use super::table::Table;
use super::{Page, paragraph};

/// Open loads: what was asked for and what was sent, a row per strategy.
pub(super) fn open_loads(page: &Page<'_>) -> Option<Table> {
    let rows: Vec<_> = page.report.strategies.iter().filter_map(|row| Some((row, opened(row)?))).collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = Table::new(page.texts.load_columns, [15, 10, 10, 9, 12, 12, 9, 10, 13]);
    for (row, (measured, open)) in rows {
        let gaps = open
            .gaps
            .as_ref()
            .map_or(ABSENT.to_owned(), |test| format!("{:.3}/{:.3}", test.distance, test.limit));
        table.row(
            [
                name(row),
                show(&open.intended_items_per_s, number::rate),
                show(&open.achieved_items_per_s, number::rate),
                show(&open.achieved_percent, number::percent),
                percentile(&measured.pacer_lateness.p99),
                show(&measured.pacer_lateness.max_s, number::seconds),
                open.waited_requests.to_string(),
                open.not_sent_requests.to_string(),
                gaps,
            ],
            None,
        );
    }
    Some(table)
}

/// The open load of a strategy that ran.
pub(super) fn opened(row: &StrategyReport) -> Option<(&Measured, &OpenReport)> {
    let measured = row.measured.as_deref().ok()?;
    Some((measured, measured.load.open()?))
}

/// The table of open loads with what was asked for above it and what its columns are below.
pub(super) fn loads(page: &Page<'_>, table: Option<&Table>, rule: &str) -> Vec<String> {
    let (Some(table), load @ PlannedLoad::Open { .. }) = (table, &page.report.config.load) else {
        return Vec::new();
    };
    let texts = page.texts;
    let heading = page.paint.on(Style::Bold, &format!("{}{}", texts.load_heading, (texts.load)(load)));
    let footnotes = texts.load_footnotes.iter().flat_map(|note| paragraph("", note));
    let footnotes = footnotes.map(|line| page.paint.on(Style::Dim, &line));
    std::iter::once(heading).chain(table.lines(rule, page.paint)).chain(footnotes).collect()
}

/// What came before measuring.
pub(super) fn warmups(page: &Page<'_>) -> Vec<String> {
    let lines = page.report.strategies.iter().filter_map(|row| {
        let warmup = row.measured.as_ref().ok()?.warmup.as_ref()?;
        Some(paragraph("   ", &format!("{}{}{}", name(row), page.texts.colon, (page.texts.warmup)(warmup))))
    });
    page.headed(page.texts.warmups, lines.flatten().collect())
}

/// How the load generators fared, where they were watched.
pub(super) fn generators(page: &Page<'_>) -> Vec<String> {
    let workers = page.report.fleet.workers.iter().filter(|w| w.generator.watched_s > 0.0);
    let lines = workers.flat_map(|w| {
        let parts = (page.texts.generator)(&w.generator).join(page.texts.comma);
        paragraph("   ", &format!("{} ({}){}{parts}", w.name, w.host, page.texts.colon))
    });
    page.headed(page.texts.generators, lines.collect())
}
