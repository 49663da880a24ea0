//! The report for a terminal, in the seed tool's layout: framed table, best strategy, change from the
//! baseline, advice; and what the seed did not say: counts, failures, workers, notes, the verdict.

mod blocks;
mod gpu;
mod load;
mod paint;
mod rows;
mod table;
mod wrap;

use crate::analysis::Report;
use crate::analysis::verdict::State;
use crate::plan::Lang;

use super::text::{self, Texts};
use paint::{Paint, Style};
use wrap::{paragraph, plain};

/// Columns of the seed tool's frame.
const FRAME: usize = 100;

/// Columns that a name may take.
const NAME_COLUMNS: usize = 48;

/// The whole report as text, with a final newline. Colour codes only when `color`.
pub fn render(report: &Report, lang: Lang, color: bool) -> String {
    let page = Page { report, texts: text::of(lang), paint: Paint::new(color) };
    let table = rows::comparison(&page);
    let counts = rows::counts(&page);
    let loads = load::open_loads(&page);
    let gpus = gpu::gpus(&page);
    let gpu_width = gpus.as_ref().map_or(0, table::Table::width);
    let load_width = loads.as_ref().map_or(0, table::Table::width);
    let width = table.width().max(counts.width()).max(load_width).max(gpu_width).max(FRAME);
    let (thick, thin) = ("=".repeat(width), "-".repeat(width));
    let mut out = vec![thick.clone(), page.title(), thick.clone()];
    out.extend(table.lines(&thin, page.paint));
    out.push(thick.clone());
    let counts = std::iter::once(page.paint.on(Style::Bold, page.texts.counts_heading))
        .chain(counts.lines(&thin, page.paint))
        .collect();
    let blocks = [
        rows::footnotes(&page),
        counts,
        load::loads(&page, loads.as_ref(), &thin),
        load::warmups(&page),
        gpu::block(&page, gpus.as_ref(), &thin),
        blocks::best(&page),
        blocks::improvements(&page),
        blocks::advice(&page),
        blocks::failures(&page),
        blocks::workers(&page),
        load::generators(&page),
        blocks::notes(&page),
        blocks::verdict(&page),
    ];
    for (i, block) in blocks.into_iter().filter(|b| !b.is_empty()).enumerate() {
        // Footnotes belong to the table above them.
        if i > 0 || page.has_no_footnotes() {
            out.push(String::new());
        }
        out.extend(block);
    }
    out.push(thick);
    out.push(String::new());
    out.join("\n")
}

/// What every block needs.
struct Page<'a> {
    report: &'a Report,
    texts: &'static Texts,
    paint: Paint,
}

impl Page<'_> {
    fn title(&self) -> String {
        let title = self.paint.on(Style::Bold, self.texts.title);
        if self.report.partial {
            format!("{title} - {}", self.paint.on(Style::Warning, self.texts.partial))
        } else {
            title
        }
    }

    fn has_no_footnotes(&self) -> bool {
        rows::footnotes(self).is_empty()
    }

    fn heading(&self, text: &str) -> String {
        self.paint.on(Style::Bold, text)
    }

    /// The lines under a heading; nothing when there are none.
    fn headed(&self, heading: &str, lines: Vec<String>) -> Vec<String> {
        if lines.is_empty() {
            return lines;
        }
        std::iter::once(self.heading(heading)).chain(lines).collect()
    }

    fn state_style(&self) -> Style {
        match self.report.verdict.state {
            State::Valid => Style::Good,
            State::Degraded => Style::Warning,
            State::Invalid => Style::Bad,
        }
    }
}

#[cfg(test)]
mod tests;
