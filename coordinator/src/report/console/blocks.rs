//! The blocks below the tables. Each is a list of lines, empty when it has nothing to say.

use crate::analysis::advice::Rule;
use crate::analysis::report::{ErrorLine, Improvement, Missing, Value, WorkerReport};
use crate::analysis::verdict::START_SKEW_LIMIT_US;
use crate::report::number;

use super::paint::Style;
use super::{NAME_COLUMNS, Page, paragraph, plain};

/// Columns that an example of a failure may take.
const EXAMPLE_COLUMNS: usize = 100;

/// The strategy with the highest score.
pub(super) fn best(page: &Page<'_>) -> Vec<String> {
    let texts = page.texts;
    let Some(best) = &page.report.best else { return vec![page.paint.on(Style::Bad, texts.no_best)] };
    let [score, throughput, response] = texts.best_figures;
    let name = page.paint.on(Style::Good, &plain(&best.strategy, NAME_COLUMNS));
    vec![
        format!("{}{name}", page.heading(texts.best)),
        format!("   {score}{}", number::score(best.score)),
        format!("   {throughput}{} {}", number::rate(best.throughput_items_per_s), texts.items_per_s),
        format!("   {response}{}", best_seconds(best.mean_response_s, texts.seconds)),
    ]
}

/// `12.87秒` and `12.87 s`, as each language writes it; short times keep their milliseconds.
fn best_seconds(s: f64, unit: &str) -> String {
    let shown = number::seconds(s);
    match shown.strip_suffix('s') {
        Some(digits) if !digits.ends_with('m') && unit != "s" => format!("{digits}{unit}"),
        _ => shown,
    }
}

/// Each strategy against the baseline.
pub(super) fn improvements(page: &Page<'_>) -> Vec<String> {
    let texts = page.texts;
    let lines: Vec<_> = match &page.report.improvements {
        Ok(improvements) => improvements.iter().flat_map(|i| improvement(page, i)).collect(),
        Err(Missing::NothingToCompare) => return Vec::new(),
        Err(missing) => paragraph("   - ", &format!("({})", (texts.missing)(missing))),
    };
    std::iter::once(page.heading(texts.improvements)).chain(lines).collect()
}

fn improvement(page: &Page<'_>, improvement: &Improvement) -> Vec<String> {
    let texts = page.texts;
    let [throughput, response] = texts.improvement_figures;
    let (t, r) = (&improvement.throughput_percent, &improvement.response_time_percent);
    let name = plain(&improvement.strategy, NAME_COLUMNS);
    match (t, r) {
        // Both lack a value for one reason: say it once.
        (Err(missing), Err(other)) if missing == other => {
            let why = format!("({})", (texts.missing)(missing));
            paragraph(&format!("   {name}{}- ", texts.colon), &why)
        }
        _ => {
            let up = change(page, t, |v| v > 0.0);
            let down = change(page, r, |v| v < 0.0);
            vec![format!("   {name}{}{throughput} {up}{}{response} {down}", texts.colon, texts.comma)]
        }
    }
}

fn change(page: &Page<'_>, value: &Value, better: fn(f64) -> bool) -> String {
    match value {
        Ok(value) => {
            let text = number::signed_percent(*value);
            let flat = text == "0.0%";
            match (flat, better(*value)) {
                (true, _) => text,
                (false, true) => page.paint.on(Style::Good, &text),
                (false, false) => page.paint.on(Style::Warning, &text),
            }
        }
        Err(missing) => format!("- ({})", (page.texts.missing)(missing)),
    }
}

/// Rules that apply, each with the strategies it applies to and what to try.
pub(super) fn advice(page: &Page<'_>) -> Vec<String> {
    let texts = page.texts;
    let mut lines = Vec::new();
    for rule in Rule::ALL {
        let hits: Vec<_> = page.report.advice.iter().filter(|a| a.rule == rule).collect();
        if hits.is_empty() {
            continue;
        }
        let hits: Vec<_> = hits
            .iter()
            .map(|a| format!("{} {}", plain(&a.strategy, NAME_COLUMNS), reading(rule, a.reading)))
            .collect();
        let hits = format!("{}{}{}", (texts.rule)(rule), texts.colon, hits.join(texts.comma));
        lines.extend(paragraph("   ", &hits));
        lines.extend((texts.remedies)(rule).map(|remedy| format!("      - {remedy}")));
    }
    page.headed(texts.advice, lines)
}

fn reading(rule: Rule, value: f64) -> String {
    match rule {
        Rule::LowGpuUtilization | Rule::HighVramUsage => number::percent(value),
        Rule::LongResponseTime => number::seconds(value),
        Rule::LowThroughput => number::rate(value),
    }
}

/// Failed items by strategy and kind, each kind with one example and what to do.
pub(super) fn failures(page: &Page<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &page.report.strategies {
        let Ok(measured) = &row.measured else { continue };
        for error in &measured.errors {
            let failure = format!("{}{}{}", row.name, page.texts.colon, failure(page, error));
            lines.extend(paragraph("   ", &failure));
            lines.push(format!("      - {}", (page.texts.remedy)(error.kind)));
        }
    }
    page.headed(page.texts.failures, lines)
}

fn failure(page: &Page<'_>, error: &ErrorLine) -> String {
    let example = error.example.as_deref().map(|e| plain(e, EXAMPLE_COLUMNS));
    (page.texts.failure)(error, example.as_deref())
}

/// Each worker's part, when there are several or when one has something wrong with it.
pub(super) fn workers(page: &Page<'_>) -> Vec<String> {
    let workers = &page.report.fleet.workers;
    if workers.len() < 2 && !workers.iter().any(troubled) {
        return Vec::new();
    }
    page.headed(page.texts.workers, workers.iter().flat_map(|w| worker(page, w)).collect())
}

fn troubled(worker: &WorkerReport) -> bool {
    worker.lost.is_some()
        || worker.clock.is_none()
        || worker.items.not_sent > 0
        || !worker.items.add_up()
        || worker.start_skew_us.is_some_and(|skew| skew.saturating_abs() > START_SKEW_LIMIT_US)
}

fn worker(page: &Page<'_>, worker: &WorkerReport) -> Vec<String> {
    let texts = page.texts;
    let mut parts = vec![(texts.worker_items)(worker.items)];
    if let Some(skew) = worker.start_skew_us {
        let clock = worker.clock.map_or_else(String::new, |c| format!(" +/-{}", number::ms(c.error_us)));
        parts.push((texts.worker_skew)(&format!("{}{clock}", number::signed_ms(skew))));
    }
    if let Some(lost) = &worker.lost {
        parts.push((texts.worker_lost)(&lost.why));
    }
    let text = format!("{} ({}){}{}", worker.name, worker.host, texts.colon, parts.join(texts.comma));
    let lines = paragraph("   ", &text);
    if troubled(worker) {
        lines.iter().map(|line| page.paint.on(Style::Warning, line)).collect()
    } else {
        lines
    }
}

/// What a reader should know besides. Skipped strategies and scores without GPU have their footnotes.
pub(super) fn notes(page: &Page<'_>) -> Vec<String> {
    let notes = page.report.notes.iter().filter(|note| !note.has_footnote());
    let lines = notes.flat_map(|note| paragraph("   - ", &(page.texts.note)(note)));
    page.headed(page.texts.notes, lines.collect())
}

/// Whether the numbers can be trusted, with reasons.
pub(super) fn verdict(page: &Page<'_>) -> Vec<String> {
    let texts = page.texts;
    let verdict = &page.report.verdict;
    let state = page.paint.on(page.state_style(), (texts.state)(verdict.state));
    let mut lines =
        vec![format!("{}{state} ({} {})", page.heading(texts.verdict), texts.run, page.report.run)];
    lines.extend(verdict.reasons.iter().flat_map(|r| paragraph("   - ", &(texts.reason)(r))));
    lines
}
