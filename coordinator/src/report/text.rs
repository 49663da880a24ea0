//! Every sentence of a report, once per language. The compiler keeps the languages in step: a text that one
//! of them lacks does not build.

mod en;
mod zh;

use fluxfleet_proto::failure::{FailureKind, NotSentReason};

use crate::analysis::advice::Rule;
use crate::analysis::generator::GeneratorReport;
use crate::analysis::note::Note;
use crate::analysis::phases::WarmupReport;
use crate::analysis::report::{DetailAbsent, ErrorLine, Items, Missing, StrategyReport};
use crate::analysis::verdict::{Reason, State};
use crate::plan::{Lang, PlannedLoad};

pub(super) use en::EN;

/// The texts of one language.
pub(super) struct Texts {
    /// Title of the comparison.
    pub(super) title: &'static str,
    /// Beside the title of a run that was stopped.
    pub(super) partial: &'static str,
    /// Strategy, throughput, success, mean response, P95, GPU, score.
    pub(super) columns: [&'static str; 7],
    /// Heading of the second table.
    pub(super) counts_heading: &'static str,
    /// Strategy, requests, P50, P99, P99.9, items ok, failed, not sent, planned.
    pub(super) count_columns: [&'static str; 9],
    /// Before the best strategy's name.
    pub(super) best: &'static str,
    /// Instead of a best strategy.
    pub(super) no_best: &'static str,
    /// Labels of the best strategy's figures: score, throughput, mean response.
    pub(super) best_figures: [&'static str; 3],
    /// Unit of a throughput.
    pub(super) items_per_s: &'static str,
    /// Unit of a time.
    pub(super) seconds: &'static str,
    /// Heading of the comparison with the baseline.
    pub(super) improvements: &'static str,
    /// Labels: throughput, response time.
    pub(super) improvement_figures: [&'static str; 2],
    /// Heading of the advice.
    pub(super) advice: &'static str,
    /// Heading of the failures.
    pub(super) failures: &'static str,
    /// Heading of the workers.
    pub(super) workers: &'static str,
    /// Heading of the notes.
    pub(super) notes: &'static str,
    /// Before the verdict.
    pub(super) verdict: &'static str,
    /// Before the run's id.
    pub(super) run: &'static str,
    /// Between two list items in a sentence.
    pub(super) comma: &'static str,
    /// Between a label and what it labels.
    pub(super) colon: &'static str,
    /// Footnote of percentiles with too few requests.
    pub(super) uncertified: fn() -> String,
    /// Footnote of scores without GPU readings.
    pub(super) score_without_gpu: &'static str,
    /// A verdict.
    pub(super) state: fn(State) -> &'static str,
    /// Why a verdict is not valid.
    pub(super) reason: fn(&Reason) -> String,
    /// A note.
    pub(super) note: fn(&Note) -> String,
    /// Why a value is missing.
    pub(super) missing: fn(&Missing) -> String,
    /// Why items were not sent.
    pub(super) not_sent: fn(NotSentReason) -> &'static str,
    /// What to do about failures of a kind.
    pub(super) remedy: fn(FailureKind) -> &'static str,
    /// Failed items of a kind, with the example given.
    pub(super) failure: fn(&ErrorLine, Option<&str>) -> String,
    /// A strategy that ran and had no success: what happened, without the remedy.
    pub(super) no_success: fn(Items, Option<&ErrorLine>) -> String,
    /// A rule with its threshold.
    pub(super) rule: fn(Rule) -> &'static str,
    /// What a rule advises.
    pub(super) remedies: fn(Rule) -> [&'static str; 3],
    /// A worker's items.
    pub(super) worker_items: fn(Items) -> String,
    /// A worker's start skew, already formatted.
    pub(super) worker_skew: fn(&str) -> String,
    /// A worker that vanished, and why.
    pub(super) worker_lost: fn(&str) -> String,
    /// Why there are no request details.
    pub(super) detail_absent: fn(DetailAbsent) -> String,
    /// Heading of the open loads, before what was asked for.
    pub(super) load_heading: &'static str,
    /// Strategy, rate asked for, rate sent, the share reached, lateness P99 and longest, waited, given up, gaps.
    pub(super) load_columns: [&'static str; 9],
    /// What the columns of lateness and gaps are.
    pub(super) load_footnotes: [&'static str; 2],
    /// The load asked for.
    pub(super) load: fn(&PlannedLoad) -> String,
    /// Heading of the warm-ups.
    pub(super) warmups: &'static str,
    /// A warm-up.
    pub(super) warmup: fn(&WarmupReport) -> String,
    /// Heading of the generators.
    pub(super) generators: &'static str,
    /// How a worker's generator fared, in parts.
    pub(super) generator: fn(&GeneratorReport) -> Vec<String>,
    /// Heading of the GPUs: how many, and on how many hosts.
    pub(super) gpus: fn(usize, usize) -> String,
    /// Strategy, energy per item, the same above idle, power, idle power, utilization, peak memory, throttled.
    pub(super) gpu_columns: [&'static str; 8],
    /// What the uncertainties are.
    pub(super) gpu_uncertainty: &'static str,
    /// Footnote of energies that are made of power readings.
    pub(super) gpu_integrated: &'static str,
    /// Title of the figure.
    pub(super) plot_title: &'static str,
    /// On the figure of an open load, before what was asked for.
    pub(super) plot_load: &'static str,
    /// Below it, before what of that was sent.
    pub(super) plot_sent: &'static str,
    /// On the figure of a run that was stopped.
    pub(super) plot_partial: &'static str,
    /// On the figure of an invalid run.
    pub(super) plot_invalid: &'static str,
    /// Before the verdict in the figure.
    pub(super) plot_verdict: &'static str,
    /// Titles of the figure's panels: throughput, response time, score, radar.
    pub(super) plot_titles: [&'static str; 4],
    /// Units under the figure's bar titles.
    pub(super) plot_units: [&'static str; 3],
    /// Axes of the radar.
    pub(super) plot_axes: [&'static str; 3],
    /// Instead of a bar.
    pub(super) plot_none: &'static str,
}

/// The texts of a language.
pub(super) fn of(lang: Lang) -> &'static Texts {
    match lang {
        Lang::En => &en::EN,
        Lang::Zh => &zh::ZH,
    }
}

impl Texts {
    /// Why a strategy has no row of figures: it did not run, or nothing in it succeeded. `None` when it has.
    pub(super) fn row_error(&self, row: &StrategyReport) -> Option<String> {
        match &row.measured {
            Err(missing) => Some((self.missing)(missing)),
            Ok(measured) if row.items.ok == 0 => {
                let main = measured.errors.first();
                let mut text = (self.no_success)(row.items, main);
                if let Some(main) = main {
                    text.push_str(self.colon);
                    text.push_str((self.remedy)(main.kind));
                }
                Some(text)
            }
            Ok(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing;

    /// Every text that needs no more than an enum value, so that an empty one or one left in the other
    /// language shows.
    fn all(texts: &Texts) -> Vec<String> {
        let mut all: Vec<String> = [
            texts.title,
            texts.partial,
            texts.counts_heading,
            texts.best,
            texts.no_best,
            texts.improvements,
            texts.advice,
            texts.failures,
            texts.workers,
            texts.notes,
            texts.verdict,
            texts.run,
            texts.score_without_gpu,
            texts.items_per_s,
            texts.seconds,
            texts.load_heading,
            texts.warmups,
            texts.generators,
            texts.gpu_uncertainty,
            texts.gpu_integrated,
        ]
        .map(str::to_owned)
        .into();
        all.push((texts.uncertified)());
        all.extend(testing::states().map(|s| (texts.state)(s).to_owned()));
        all.extend(testing::reasons().iter().map(texts.reason));
        all.extend(testing::notes().iter().map(texts.note));
        all.extend(testing::missing().iter().map(texts.missing));
        for rule in Rule::ALL {
            all.push((texts.rule)(rule).to_owned());
            all.extend((texts.remedies)(rule).map(str::to_owned));
        }
        all.extend(testing::failure_kinds().into_iter().map(|kind| (texts.remedy)(kind).to_owned()));
        all.extend(testing::not_sent_reasons().into_iter().map(|r| (texts.not_sent)(r).to_owned()));
        all.extend(texts.load_columns.map(str::to_owned));
        all.extend(texts.load_footnotes.map(str::to_owned));
        all.extend(testing::loads().iter().map(texts.load));
        all.extend(testing::warmups().iter().map(texts.warmup));
        all.extend(testing::generators().iter().flat_map(texts.generator));
        all.extend([(texts.gpus)(1, 1), (texts.gpus)(8, 1), (texts.gpus)(16, 2)]);
        all.extend(texts.gpu_columns.map(str::to_owned));
        all.extend(texts.plot_titles.map(str::to_owned));
        all.extend(texts.plot_axes.map(str::to_owned));
        all
    }

    fn has_chinese(text: &str) -> bool {
        text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
    }

    #[test]
    fn both_languages_say_everything_in_their_own_words() {
        let (en, zh) = (all(of(Lang::En)), all(of(Lang::Zh)));
        assert_eq!(en.len(), zh.len());
        for (en, zh) in en.iter().zip(&zh) {
            assert!(!en.is_empty() && !has_chinese(en), "{en}");
            assert!(has_chinese(zh), "{zh} (in English: {en})");
        }
    }

    #[test]
    fn every_reason_names_its_numbers_in_both_languages() {
        for reason in testing::reasons() {
            let (en, zh) = ((of(Lang::En).reason)(&reason), (of(Lang::Zh).reason)(&reason));
            let digits = |s: &str| s.chars().filter(char::is_ascii_digit).collect::<String>();
            assert_eq!(digits(&en), digits(&zh), "{en} / {zh}");
        }
    }
}
