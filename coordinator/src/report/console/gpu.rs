//! Energy, power, utilization, memory and throttling of the GPUs.

use crate::analysis::gpu::{EnergySource, GpuFigures, GpusReport, Measure};
use crate::analysis::report::{Missing, StrategyReport, Value};
use crate::report::number;

use super::paint::Style;
use super::rows::{ABSENT, name, show};
use super::table::Table;
use super::{Page, paragraph};

/// Marks an energy that is made of power readings.
const INTEGRATED: char = '~';

/// The GPUs' sum, a row per strategy; nothing where there is no GPU of which anything is known.
pub(super) fn gpus(page: &Page<'_>) -> Option<Table> {
    let rows: Vec<_> = watched(page).collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = Table::new(page.texts.gpu_columns, [14, 13, 13, 14, 11, 13, 11, 9]);
    for (row, gpus) in rows {
        let figures = &gpus.total.figures;
        let mut per_item = measure(&figures.per_item_j);
        if figures.per_item_j.is_ok() && integrated(figures) {
            per_item.push(INTEGRATED);
        }
        table.row(
            [
                name(row),
                per_item,
                measure(&figures.per_item_above_idle_j),
                measure(&figures.power_w),
                measure(&figures.idle.clone().map(|idle| idle.watts)),
                figures.utilization.as_ref().map_or(ABSENT.to_owned(), |u| {
                    format!("{}/{}", number::percent(u.over_time), number::percent(u.highest))
                }),
                show(&figures.peak_vram_bytes, number::gibibytes),
                show(&figures.throttled_percent, number::part),
            ],
            None,
        );
    }
    Some(table)
}

/// The table with its heading and what its marks mean.
pub(super) fn block(page: &Page<'_>, table: Option<&Table>, rule: &str) -> Vec<String> {
    let (Some(table), Some((_, gpus))) = (table, watched(page).next()) else { return Vec::new() };
    let texts = page.texts;
    let mut notes = paragraph("", texts.gpu_uncertainty);
    let sums = || watched(page).map(|(_, gpus)| &gpus.total.figures);
    if sums().any(|figures| figures.per_item_j.is_ok() && integrated(figures)) {
        notes.extend(paragraph(&format!("{INTEGRATED} "), texts.gpu_integrated));
    }
    notes.extend(absences(page).iter().flat_map(|text| paragraph(&format!("{ABSENT} "), text)));
    std::iter::once(page.heading(&(texts.gpus)(gpus.total.gpus, gpus.total.hosts)))
        .chain(table.lines(rule, page.paint))
        .chain(notes.into_iter().map(|line| page.paint.on(Style::Dim, &line)))
        .collect()
}

/// Strategies that ran while some figure of some GPU was had.
fn watched<'p>(page: &Page<'p>) -> impl Iterator<Item = (&'p StrategyReport, &'p GpusReport)> {
    page.report.strategies.iter().filter_map(|row| {
        let gpus = &row.measured.as_ref().ok()?.gpus;
        gpus.gpus.iter().any(|gpu| gpu.figures.any()).then_some((row, gpus))
    })
}

fn measure(value: &Value<Measure>) -> String {
    value.as_ref().map_or(ABSENT.to_owned(), |m| number::measured(m.value, m.uncertainty))
}

fn integrated(figures: &GpuFigures) -> bool {
    figures.energy.as_ref().is_ok_and(|energy| energy.by != EnergySource::Counter)
}

/// Why figures are missing: columns and strategies that share a reason share a line.
fn absences(page: &Page<'_>) -> Vec<String> {
    let texts = page.texts;
    let mut lines: Vec<(&Missing, Vec<&str>, Vec<&str>)> = Vec::new();
    for (row, gpus) in watched(page) {
        for (column, missing) in texts.gpu_columns[1..].iter().zip(missing(&gpus.total.figures)) {
            let Some(missing) = missing else { continue };
            match lines.iter_mut().find(|(why, ..)| *why == missing) {
                Some((_, columns, names)) => {
                    for (list, new) in [(columns, *column), (names, row.name.as_str())] {
                        if !list.contains(&new) {
                            list.push(new);
                        }
                    }
                }
                None => lines.push((missing, vec![column], vec![&row.name])),
            }
        }
    }
    let all = watched(page).count();
    let line = |(missing, columns, names): (&Missing, Vec<&str>, Vec<&str>)| {
        let columns = columns.join(texts.comma);
        let whose =
            if names.len() == all { String::new() } else { format!(" ({})", names.join(texts.comma)) };
        format!("{columns}{whose}{}{}", texts.colon, (texts.missing)(missing))
    };
    lines.into_iter().map(line).collect()
}

/// Why each column but the first is missing.
fn missing(figures: &GpuFigures) -> [Option<&Missing>; 7] {
    [
        figures.per_item_j.as_ref().err(),
        figures.per_item_above_idle_j.as_ref().err(),
        figures.power_w.as_ref().err(),
        figures.idle.as_ref().err(),
        figures.utilization.as_ref().err(),
        figures.peak_vram_bytes.as_ref().err(),
        figures.throttled_percent.as_ref().err(),
    ]
}
