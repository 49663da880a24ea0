//! One live line on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::text::{announcement, assembly, figures, one_line, pause_text, progress, result};
use super::{AssemblyView, Live, TrialView};
use crate::plan::Lang;

/// Redraws one line; what is worth keeping scrolls by above it.
#[derive(Debug)]
pub struct Terminal {
    lang: Lang,
    bar: ProgressBar,
}

impl Terminal {
    /// Draws to standard error.
    pub fn new(lang: Lang) -> Self {
        Self { lang, bar: ProgressBar::hidden() }
    }

    /// Clears the line. Before a new one is made: two live lines would leave the first one behind.
    fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }

    fn spin(&mut self, message: String) {
        if self.bar.is_hidden() || self.bar.length().is_some() {
            self.clear();
            self.bar = ProgressBar::new_spinner();
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        self.bar.set_message(message);
    }
}

impl Live for Terminal {
    fn note(&mut self, text: &str) {
        let text = one_line(text);
        if self.bar.is_hidden() { eprintln!("{text}") } else { self.bar.println(text) }
    }

    fn assembling(&mut self, view: &AssemblyView) {
        let text = one_line(&assembly(view, self.lang));
        if view.complete() {
            self.clear();
            self.note(&text);
        } else {
            self.spin(text);
        }
    }

    fn trial_begins(&mut self, view: &TrialView) {
        self.clear();
        self.note(&announcement(view, self.lang));
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        self.bar = ProgressBar::new(1).with_style(style).with_prefix(view.strategy.clone());
    }

    fn trial_moves(&mut self, view: &TrialView) {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let (done, all) = match (view.left, view.planned) {
            (Some(left), _) => (millis(view.elapsed), millis(view.elapsed + left)),
            (None, Some(planned)) => (view.ended, planned),
            (None, None) => (0, 1),
        };
        self.bar.set_length(all);
        self.bar.set_position(done);
        let lang = self.lang;
        self.bar.set_message(format!("{}  {}", progress(view, lang), figures(view, lang)));
    }

    fn trial_ends(&mut self, view: &TrialView) {
        let text = format!("  {}  {}", result(view, self.lang), figures(view, self.lang));
        self.clear();
        self.note(&text);
    }

    fn cooling_down(&mut self, pause: Duration) {
        self.spin(pause_text(pause, self.lang));
    }

    fn finish(&mut self) {
        self.clear();
    }
}
