//! Plain lines, for logs and pipes.

use std::io::Write;
use std::time::Duration;

use super::text::{announcement, assembly, figures, one_line, pause_text, progress, result};
use super::{AssemblyView, Live, TrialView};
use crate::plan::Lang;

/// Least time between two progress lines of a trial.
const PERIOD: Duration = Duration::from_secs(5);

/// Writes a line for each thing that happens, and a progress line every 5 s.
#[derive(Debug)]
pub struct Lines<W> {
    lang: Lang,
    out: W,
    last_assembly: (usize, usize),
    next_progress: Duration,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`.
    pub fn new(lang: Lang, out: W) -> Self {
        Self { lang, out, last_assembly: (usize::MAX, usize::MAX), next_progress: PERIOD }
    }

    fn line(&mut self, text: &str) {
        // A closed pipe must not end the run.
        let _ = writeln!(self.out, "{}", one_line(text));
        let _ = self.out.flush();
    }

    fn figures(&mut self, so_far: &str, view: &TrialView) {
        let text = format!("  {so_far}  {}", figures(view, self.lang));
        self.line(&text);
    }
}

impl<W: Write + Send> Live for Lines<W> {
    fn note(&mut self, text: &str) {
        self.line(text);
    }

    fn assembling(&mut self, view: &AssemblyView) {
        let now = (view.workers.len(), view.agents.len());
        if now != self.last_assembly {
            self.last_assembly = now;
            let text = assembly(view, self.lang);
            self.line(&text);
        }
    }

    fn trial_begins(&mut self, view: &TrialView) {
        self.next_progress = PERIOD;
        let text = announcement(view, self.lang);
        self.line(&text);
    }

    fn trial_moves(&mut self, view: &TrialView) {
        if view.elapsed >= self.next_progress {
            self.next_progress = view.elapsed + PERIOD;
            self.figures(&progress(view, self.lang), view);
        }
    }

    fn trial_ends(&mut self, view: &TrialView) {
        self.figures(&result(view, self.lang), view);
    }

    fn cooling_down(&mut self, pause: Duration) {
        let text = pause_text(pause, self.lang);
        self.line(&text);
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(ended: u64, elapsed_s: u64) -> TrialView {
        TrialView {
            strategy: "batch".into(),
            items: Some(200),
            length: None,
            warmup: fluxfleet_proto::load::Warmup::None,
            asked: crate::live::Asked::InFlight(12),
            max_in_flight: None,
            planned: Some(200),
            left: None,
            warmed: 0,
            ended,
            failed: 0,
            not_sent: 0,
            in_flight: 12,
            elapsed: Duration::from_secs(elapsed_s),
            measured: Duration::from_secs(elapsed_s),
            p95_s: None,
            gpu_percent: None,
            workers: 2,
            workers_begun: 3,
        }
    }

    #[test]
    fn a_name_from_outside_cannot_forge_a_line() {
        let mut lines = Lines::new(Lang::En, Vec::new());
        lines.note("lost worker a\n\u{1b}[2Jlost worker b: gone");
        assert_eq!(String::from_utf8(lines.out).expect("text"), "lost worker a  [2Jlost worker b: gone\n");
    }

    #[test]
    fn progress_comes_every_five_seconds_and_unknown_figures_are_left_out() {
        let mut lines = Lines::new(Lang::En, Vec::new());
        lines.trial_begins(&view(0, 0));
        lines.trial_ends(&view(0, 0));
        for s in 1..12 {
            lines.trial_moves(&view(s * 10, s));
        }
        lines.trial_ends(&TrialView {
            p95_s: Some(0.25),
            gpu_percent: Some(0.0),
            failed: 3,
            ..view(200, 20)
        });
        let text = String::from_utf8(lines.out).expect("text");
        assert_eq!(
            text,
            "batch: 200 items, 12 in flight\n  0/200  workers 2/3\n  50/200  10.00 items/s, workers 2/3\n  \
             100/200  10.00 items/s, workers 2/3\n  \
             200/200  10.00 items/s, P95 250.0 ms, GPU 0 %, 3 failed, workers 2/3\n"
        );
    }
}
