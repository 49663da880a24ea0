//! `performance_comparison.png`, the seed tool's figure: bars of throughput, mean response time and efficiency
//! score, and a radar of all three. Needs no font of the machine: one with common Chinese is built in.

mod bars;
mod canvas;
mod font;
mod palette;
mod radar;

use thiserror::Error;

use crate::analysis::Report;
use crate::analysis::report::{Measured, StrategyReport, Value};
use crate::analysis::verdict::State;
use crate::plan::{Lang, PlannedLoad};

use super::number;
use super::text::{self, Texts};
use bars::{Bar, Bars};
use canvas::{Align, Area, Canvas};
use palette::{ALARM, FAINT, INK, WARNING, WHITE};

/// Width of the figure in pixels.
const WIDTH: i32 = 1_600;
/// Height of the figure in pixels.
const HEIGHT: i32 = 1_200;
/// Height of the strip above the panels.
const HEADER: i32 = 90;
/// Height of a line about the load, between that strip and the panels.
const LOAD: i32 = 34;
/// Height of the strip below them.
const FOOTER: i32 = 50;

/// The figure cannot be drawn.
#[derive(Debug, Error)]
pub enum PlotError {
    /// The built-in font does not read.
    #[error("the built-in font is damaged")]
    Font,
    /// The drawing library gave up.
    #[error("drawing failed: {0}")]
    Draw(String),
    /// The encoder writes through a temporary file, which failed.
    #[error("the temporary file for the picture failed: {0}")]
    Temporary(#[from] std::io::Error),
}

/// The figure as PNG bytes, 1600 x 1200.
///
/// # Errors
/// [`PlotError`] when drawing or encoding fails.
pub fn render(report: &Report, lang: Lang) -> Result<Vec<u8>, PlotError> {
    let texts = text::of(lang);
    canvas::draw((WIDTH, HEIGHT), |canvas| {
        header(canvas, report, texts)?;
        let mut top = HEADER;
        for line in load(report, texts) {
            let line = canvas::fitted(&line, 26, WIDTH - 80)?;
            canvas.text(&line, (40, top), 26, INK, Align::Left)?;
            top += LOAD;
        }
        let (width, height) = (WIDTH / 2, (HEIGHT - top - FOOTER) / 2);
        let panel = |column, row| Area { x: column * width, y: top + row * height, width, height };
        let pictures: [Picture; 3] = [
            (|m| &m.throughput_items_per_s, number::rate),
            (|m| &m.response.mean_s, number::seconds),
            (|m| &m.score, number::score),
        ];
        for (i, ((pick, format), place)) in
            pictures.into_iter().zip([panel(0, 0), panel(1, 0), panel(0, 1)]).enumerate()
        {
            let bars = Bars {
                title: texts.plot_titles[i],
                unit: texts.plot_units[i],
                none: texts.plot_none,
                rows: report.strategies.iter().enumerate().map(|(i, s)| bar(i, s, pick, format)).collect(),
            };
            bars::draw(canvas, place, &bars)?;
        }
        radar::draw(canvas, panel(1, 1), report, texts)?;
        footer(canvas, report, texts)
    })
}

/// Which value a panel shows, and how it is written.
type Picture = (fn(&Measured) -> &Value, fn(f64) -> String);

fn bar(
    index: usize,
    strategy: &StrategyReport,
    pick: fn(&Measured) -> &Value,
    format: fn(f64) -> String,
) -> Bar {
    let value = strategy.measured.as_ref().ok().and_then(|m| pick(m).as_ref().ok()).copied();
    Bar { name: strategy.name.clone(), value: value.map(|v| (v, format(v))), color: palette::of(index).color }
}

fn header(canvas: &Canvas<'_>, report: &Report, texts: &Texts) -> Result<(), PlotError> {
    let middle = HEADER / 2 + 4;
    canvas.text(texts.plot_title, (40, middle), 46, INK, Align::Left)?;
    let mut right = WIDTH - 40;
    let invalid = (report.verdict.state == State::Invalid).then_some((texts.plot_invalid, ALARM));
    let partial = report.partial.then_some((texts.plot_partial, WARNING));
    for (text, color) in [invalid, partial].into_iter().flatten() {
        let width = canvas::width_of(text, 34)? + 36;
        canvas.rect(Area { x: right - width, y: middle - 24, width, height: 48 }, color)?;
        canvas.text(text, (right - width / 2, middle), 34, WHITE, Align::Middle)?;
        right -= width + 20;
    }
    Ok(())
}

/// The open load that the figures were taken under: what was asked for, and what of it each strategy was sent.
fn load(report: &Report, texts: &Texts) -> Vec<String> {
    let asked @ PlannedLoad::Open { .. } = &report.config.load else { return Vec::new() };
    let rate = |value: &Value| value.as_ref().map_or("-".to_owned(), |r| number::rate(*r));
    let sent = report.strategies.iter().filter_map(|strategy| {
        let open = strategy.measured.as_ref().ok()?.load.open()?;
        let (sent, asked) = (rate(&open.achieved_items_per_s), rate(&open.intended_items_per_s));
        Some(format!("{} {sent} / {asked}", strategy.name))
    });
    let sent: Vec<_> = sent.collect();
    let asked = format!("{}{}", texts.plot_load, (texts.load)(asked));
    let sent = (!sent.is_empty()).then(|| format!("{}{}", texts.plot_sent, sent.join(texts.comma)));
    std::iter::once(asked).chain(sent).collect()
}

fn footer(canvas: &Canvas<'_>, report: &Report, texts: &Texts) -> Result<(), PlotError> {
    let state = (texts.state)(report.verdict.state);
    let line = format!("{} {}   {}{state}", texts.run, report.run, texts.plot_verdict);
    let line = canvas::fitted(&line, 24, WIDTH - 80)?;
    canvas.text(&line, (40, HEIGHT - FOOTER / 2), 24, FAINT, Align::Left)
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::failure::FailureKind;

    use super::*;
    use crate::aggregate::Ending;
    use crate::analysis::testing::{RunSketch, Sketch, open_run, seed_run};
    use crate::analysis::{ScoreSettings, analyse};

    fn picture(run: RunSketch, lang: Lang) -> Vec<u8> {
        render(&analyse(&run.done(), &ScoreSettings::default()), lang).expect("a picture")
    }

    /// Width and height from the header.
    fn size(png: &[u8]) -> (u32, u32) {
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
        (number(16), number(20))
    }

    fn many() -> RunSketch {
        let names = [
            "baseline",
            "一个名称非常长的策略用于测试排版",
            "model_pool_with_eight_replicas_and_warm_cache",
            "model_pool_with_eight_replicas_and_cold_cache",
            "批量推理",
            "async",
            "tp2",
            "tp4",
            "int8量化",
            "fp8",
            "speculative-decoding-small-draft",
            "cuda-graphs",
        ];
        names.iter().zip(0..).fold(RunSketch::new(), |run, (name, i)| {
            let i = f64::from(i);
            run.ran(Sketch::new(name, 0.2 + 0.13 * i, 16.0 - i, 30.0 + 5.0 * i))
        })
    }

    fn failing(name: &str) -> Sketch {
        Sketch::new(name, 1.0, 1.0, 0.0).items(0).failing(FailureKind::Http(503), 20, "full")
    }

    fn cases() -> Vec<(&'static str, RunSketch)> {
        vec![
            ("four", seed_run()),
            ("open", open_run()),
            ("one", RunSketch::new().ran(Sketch::new("baseline", 3.2, 0.45, 88.0))),
            ("many", many()),
            (
                "some_without_values",
                RunSketch::new()
                    .ran(Sketch::new("baseline", 1.2, 2.45, 88.0))
                    .ran(failing("batch"))
                    .ended("async", Ending::Skipped("404".into()))
                    .interrupted(),
            ),
            ("nothing", RunSketch::new().ran(failing("baseline"))),
            ("nothing_ran", RunSketch::new().ended("async", Ending::Skipped("404".into()))),
        ]
    }

    #[test]
    fn every_kind_of_run_has_a_picture() {
        for ((name, run), lang) in cases().into_iter().zip([Lang::En, Lang::Zh].into_iter().cycle()) {
            assert_eq!(size(&picture(run, lang)), (1_600, 1_200), "{name}");
        }
    }

    fn lines(run: RunSketch, lang: Lang) -> Vec<String> {
        load(&analyse(&run.done(), &ScoreSettings::default()), text::of(lang))
    }

    #[test]
    fn an_open_load_is_told_with_what_of_it_was_sent() {
        assert_eq!(
            lines(open_run(), Lang::En),
            [
                "Open load: Poisson arrivals, 10.00 items/s",
                "Sent / asked for (items/s): baseline 10.02 / 10.02, batch 7.50 / 10.02",
            ]
        );
        let zh = lines(open_run(), Lang::Zh);
        assert_eq!(zh[1], "实际 / 要求 (项/秒): baseline 10.02 / 10.02, batch 7.50 / 10.02");
        assert!(lines(seed_run(), Lang::En).is_empty(), "a closed load is told by its strategies");
    }

    #[test]
    fn one_report_always_gives_the_same_picture() {
        assert_eq!(picture(seed_run(), Lang::Zh), picture(seed_run(), Lang::Zh));
    }
}
