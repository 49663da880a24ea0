//! What is seen while a run goes on.

mod lines;
mod terminal;

use std::io::IsTerminal as _;
use std::time::Duration;

pub use lines::Lines;
pub use terminal::Terminal;

use crate::plan::{Lang, OutputPlan};

/// Where a run shows what it is doing. Nothing here changes the run.
pub trait Live: Send {
    /// Something worth a line of its own: a peer joined, was lost, was refused.
    fn note(&mut self, text: &str);
    /// The fleet is being assembled; called again as it changes.
    fn assembling(&mut self, view: &AssemblyView);
    /// A strategy's trial begins.
    fn trial_begins(&mut self, view: &TrialView);
    /// The trial goes on; called a few times a second.
    fn trial_moves(&mut self, view: &TrialView);
    /// The trial is over.
    fn trial_ends(&mut self, view: &TrialView);
    /// A pause before the next strategy.
    fn cooling_down(&mut self, pause: Duration);
    /// Everything is over; what was drawn is cleared away.
    fn finish(&mut self);
}

/// Who has joined and who is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssemblyView {
    /// Names of the workers there.
    pub workers: Vec<String>,
    /// Workers waited for.
    pub workers_wanted: u32,
    /// Hosts of the agents there.
    pub agents: Vec<String>,
    /// Agents waited for.
    pub agents_wanted: u32,
    /// Time left to wait.
    pub left: Duration,
}

impl AssemblyView {
    /// Whether everybody is there.
    pub fn complete(&self) -> bool {
        self.workers.len() >= self.workers_wanted as usize && self.agents.len() >= self.agents_wanted as usize
    }
}

/// How a trial goes.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialView {
    /// The strategy's name.
    pub strategy: String,
    /// Items planned.
    pub planned: u64,
    /// Items that ended, well or not.
    pub ended: u64,
    /// Items that failed.
    pub failed: u64,
    /// Requests that the plan holds in flight.
    pub in_flight: u32,
    /// Time since the start barrier.
    pub elapsed: Duration,
    /// 95 % of the requests so far took no longer, in seconds. `None` before the first success.
    pub p95_s: Option<f64>,
    /// Latest mean GPU utilization in percent. `None` without a reading.
    pub gpu_percent: Option<f64>,
    /// Workers that take part now.
    pub workers: usize,
    /// Workers that began.
    pub workers_begun: usize,
}

impl TrialView {
    /// Items ended per second of the trial so far. `None` before it began.
    pub fn items_per_s(&self) -> Option<f64> {
        let s = self.elapsed.as_secs_f64();
        (s > 0.0).then(|| self.ended as f64 / s)
    }
}

/// Shows nothing.
#[derive(Debug)]
pub struct Silent;

impl Live for Silent {
    fn note(&mut self, _: &str) {}
    fn assembling(&mut self, _: &AssemblyView) {}
    fn trial_begins(&mut self, _: &TrialView) {}
    fn trial_moves(&mut self, _: &TrialView) {}
    fn trial_ends(&mut self, _: &TrialView) {}
    fn cooling_down(&mut self, _: Duration) {}
    fn finish(&mut self) {}
}

/// What suits the output: nothing when quiet, one live line on a terminal, plain lines elsewhere. Everything goes
/// to standard error; standard output is the report's.
pub fn choose(output: &OutputPlan) -> Box<dyn Live> {
    if output.quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb") {
        Box::new(Terminal::new(output.lang))
    } else {
        Box::new(Lines::new(output.lang, std::io::stderr()))
    }
}

/// A text on one line of its own: names and messages come from other machines, and their control characters must
/// neither forge a line nor move the cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The seed's announcement of a strategy, and plain English.
fn announcement(view: &TrialView, lang: Lang) -> String {
    let TrialView { strategy, planned, in_flight, .. } = view;
    match lang {
        Lang::En => format!("{strategy}: {planned} items, {in_flight} in flight"),
        Lang::Zh => {
            let what = match strategy.as_str() {
                "baseline" => "📊 测试基准吞吐量",
                "model_pool" => "🏊 测试模型池优化",
                "batch" => "📦 测试批量推理",
                "async" => "⚡ 测试异步推理",
                other => return format!("📊 测试 {other}: {planned} 请求, {in_flight} 并发"),
            };
            format!("{what}: {planned} 请求, {in_flight} 并发")
        }
    }
}

/// `12.3/s, P95 0.82 s, GPU 71 %, workers 3/3`; what is not known is left out.
fn figures(view: &TrialView, lang: Lang) -> String {
    let mut parts = Vec::new();
    if let Some(rate) = view.items_per_s() {
        parts.push(match lang {
            Lang::En => format!("{rate:.2} items/s"),
            Lang::Zh => format!("{rate:.2} 项/秒"),
        });
    }
    if let Some(p95) = view.p95_s {
        parts.push(if p95 < 1.0 { format!("P95 {:.1} ms", p95 * 1e3) } else { format!("P95 {p95:.2} s") });
    }
    if let Some(gpu) = view.gpu_percent {
        parts.push(format!("GPU {gpu:.0} %"));
    }
    if view.failed > 0 {
        parts.push(match lang {
            Lang::En => format!("{} failed", view.failed),
            Lang::Zh => format!("失败 {}", view.failed),
        });
    }
    let (now, begun) = (view.workers, view.workers_begun);
    parts.push(match lang {
        Lang::En => format!("workers {now}/{begun}"),
        Lang::Zh => format!("工作节点 {now}/{begun}"),
    });
    parts.join(", ")
}

/// `workers 2/3 (a, b), agents 0/1, 41 s left to join`; the time only while somebody is missing.
fn assembly(view: &AssemblyView, lang: Lang) -> String {
    let names = |names: &[String]| {
        if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
    };
    let (w, a) = (view.workers.len(), view.agents.len());
    let (ww, aw) = (view.workers_wanted, view.agents_wanted);
    let (wn, an) = (names(&view.workers), names(&view.agents));
    let left = match lang {
        _ if view.complete() => String::new(),
        Lang::En => format!(", {} s left to join", view.left.as_secs()),
        Lang::Zh => format!(", 还可等待 {} 秒", view.left.as_secs()),
    };
    match lang {
        Lang::En => format!("fleet: workers {w}/{ww}{wn}, agents {a}/{aw}{an}{left}"),
        Lang::Zh => format!("集群: 工作节点 {w}/{ww}{wn}, 代理 {a}/{aw}{an}{left}"),
    }
}

/// What the first Ctrl-C does, and what a second one would do.
pub fn stopping(grace: Duration, lang: Lang) -> String {
    let s = grace.as_secs();
    match lang {
        Lang::En => format!("stopping: requests in flight get {s} s to end; Ctrl-C again waits for nothing"),
        Lang::Zh => format!("正在停止: 进行中的请求有 {s} 秒完成; 再按一次 Ctrl-C 立即结束"),
    }
}

/// `cooling down for 10 s`
fn pause_text(pause: Duration, lang: Lang) -> String {
    let s = pause.as_secs_f64();
    match lang {
        Lang::En => format!("cooling down for {s} s"),
        Lang::Zh => format!("冷却 {s} 秒"),
    }
}
