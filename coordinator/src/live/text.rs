//! What is said, in English and Chinese.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fluxfleet_proto::id::RunId;
use fluxfleet_proto::load::Warmup;
use fluxfleet_proto::reading::{GpuEvent, GpuEventKind};

use super::{Asked, AssemblyView, TrialView};
use crate::plan::Lang;

/// A text on one line of its own: names and messages come from other machines, and their control characters must
/// neither forge a line nor move the cursor.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The seed's announcement of a strategy, and plain English.
pub(super) fn announcement(view: &TrialView, lang: Lang) -> String {
    let name = view.strategy.as_str();
    let goal = goal(view, lang);
    match (lang, name) {
        (Lang::En, _) => format!("{name}: {goal}"),
        (Lang::Zh, "baseline") => format!("📊 测试基准吞吐量: {goal}"),
        (Lang::Zh, "model_pool") => format!("🏊 测试模型池优化: {goal}"),
        (Lang::Zh, "batch") => format!("📦 测试批量推理: {goal}"),
        (Lang::Zh, "async") => format!("⚡ 测试异步推理: {goal}"),
        (Lang::Zh, _) => format!("📊 测试 {name}: {goal}"),
    }
}

/// A rate as one writes it: `10`, `12.5`, and `0.002778` for `10/h`.
fn short(per_s: f64) -> String {
    let text = format!("{per_s:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `20 items, 3 in flight`, `30 s at 10 items/s, after a warm-up of 5 s`
fn goal(view: &TrialView, lang: Lang) -> String {
    let zh = lang == Lang::Zh;
    let seconds = |d: Duration| format!("{} {}", d.as_secs_f64(), if zh { "秒" } else { "s" });
    let items = |n: u64| match (n, zh) {
        (_, true) => format!("{n} 请求"),
        (1, false) => "1 item".to_owned(),
        (_, false) => format!("{n} items"),
    };
    let amount = match (view.items, view.length) {
        (Some(n), Some(t)) => format!("{} {} {}", items(n), if zh { "或" } else { "or" }, seconds(t)),
        (Some(n), None) => items(n),
        (None, Some(t)) => seconds(t),
        (None, None) => String::new(),
    };
    let asked = match (view.asked, zh) {
        (Asked::InFlight(n), false) => format!("{amount}, {n} in flight"),
        (Asked::InFlight(n), true) => format!("{amount}, {n} 并发"),
        (Asked::Rate(r), false) => format!("{amount} at {} items/s", short(r)),
        (Asked::Rate(r), true) => format!("{amount}, 每秒 {} 项", short(r)),
        (Asked::Stages(_), false) => format!("{amount} at rates in stages"),
        (Asked::Stages(_), true) => format!("{amount}, 分阶段速率"),
        (Asked::Replay, false) => format!("{amount} of a replay"),
        (Asked::Replay, true) => format!("{amount}, 按记录重放"),
    };
    let most = view
        .max_in_flight
        .map(|most| if zh { format!("最多 {most} 个在途") } else { format!("at most {most} in flight") });
    let warmup = match view.warmup {
        Warmup::None => None,
        Warmup::Time(t) => Some(seconds(t)),
        Warmup::Items(n) => Some(items(n)),
    };
    let warmup = warmup.map(|w| if zh { format!("先预热 {w}") } else { format!("after a warm-up of {w}") });
    let parts: Vec<String> = std::iter::once(asked).chain(most).chain(warmup).collect();
    parts.join(", ")
}

/// How far a trial is: items of those planned, or the time that is left.
pub(super) fn progress(view: &TrialView, lang: Lang) -> String {
    match (view.left, view.planned) {
        (Some(left), _) => {
            let left = left.as_millis().div_ceil(1000);
            if lang == Lang::Zh { format!("剩余 {left} 秒") } else { format!("{left} s left") }
        }
        (None, planned) => counted(view.ended, planned, lang),
    }
}

/// What a trial came to.
pub(super) fn result(view: &TrialView, lang: Lang) -> String {
    counted(view.ended, view.planned, lang)
}

fn counted(ended: u64, planned: Option<u64>, lang: Lang) -> String {
    match (planned, lang) {
        (Some(planned), _) => format!("{ended}/{planned}"),
        (None, Lang::En) => format!("{ended} items"),
        (None, Lang::Zh) => format!("{ended} 项"),
    }
}

/// `12.3 items/s of 15 asked for, 7 in flight, P95 0.82 s, GPU 71 %, workers 3/3`; what is not known is left out.
pub(super) fn figures(view: &TrialView, lang: Lang) -> String {
    let zh = lang == Lang::Zh;
    let mut parts = Vec::new();
    if view.measured.is_zero() && view.warmed > 0 {
        let n = view.warmed;
        parts.push(if zh { format!("预热中, {n} 项") } else { format!("warming up, {n} items") });
    }
    if let Some(rate) = view.items_per_s() {
        let asked = match view.asked {
            Asked::Rate(asked) | Asked::Stages(asked) => Some(asked),
            Asked::InFlight(_) | Asked::Replay => None,
        };
        let (rate, asked) =
            (format!("{rate:.2}"), asked.map(|r| if r < 0.1 { short(r) } else { format!("{r:.2}") }));
        parts.push(match (asked, zh) {
            (None, false) => format!("{rate} items/s"),
            (None, true) => format!("{rate} 项/秒"),
            (Some(asked), false) => format!("{rate} items/s of {asked} asked for"),
            (Some(asked), true) => format!("{rate} 项/秒 (要求 {asked})"),
        });
    }
    // In a closed load that its items end, it is the number announced.
    if view.left.is_some() || !matches!(view.asked, Asked::InFlight(_)) {
        let n = view.in_flight;
        parts.push(if zh { format!("在途 {n}") } else { format!("{n} in flight") });
    }
    if let Some(p95) = view.p95_s {
        parts.push(if p95 < 1.0 { format!("P95 {:.1} ms", p95 * 1e3) } else { format!("P95 {p95:.2} s") });
    }
    if let Some(gpu) = view.gpu_percent {
        parts.push(format!("GPU {gpu:.0} %"));
    }
    for (n, en, in_zh) in [(view.failed, "failed", "失败"), (view.not_sent, "not sent", "未发送")] {
        if n > 0 {
            parts.push(if zh { format!("{in_zh} {n}") } else { format!("{n} {en}") });
        }
    }
    let (now, begun) = (view.workers, view.workers_begun);
    parts.push(if zh { format!("工作节点 {now}/{begun}") } else { format!("workers {now}/{begun}") });
    parts.join(", ")
}

/// `workers 2/3 (a, b), agents 0/1, 41 s left to join`; the time only while somebody is missing.
pub(super) fn assembly(view: &AssemblyView, lang: Lang) -> String {
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
        Lang::Zh => format!("正在停止: 在途请求有 {s} 秒完成; 再按一次 Ctrl-C 立即结束"),
    }
}

/// Where workers and agents can join.
pub fn listening(run: &RunId, at: SocketAddr, lang: Lang) -> String {
    match lang {
        Lang::En => format!("coordinator {run} listens on {at}"),
        Lang::Zh => format!("协调器 {run} 监听 {at}"),
    }
}

/// A file that was written.
pub fn wrote(path: &Path, lang: Lang) -> String {
    match lang {
        Lang::En => format!("wrote {}", path.display()),
        Lang::Zh => format!("已写入 {}", path.display()),
    }
}

/// That preflight leaves a strategy out.
pub fn left_out(strategy: &str, why: &str, lang: Lang) -> String {
    match lang {
        Lang::En => format!("{strategy} is left out: {why}"),
        Lang::Zh => format!("跳过 {strategy}: {why}"),
    }
}

/// `cooling down for 10 s`
pub(super) fn pause_text(pause: Duration, lang: Lang) -> String {
    let s = pause.as_secs_f64();
    match lang {
        Lang::En => format!("cooling down for {s} s"),
        Lang::Zh => format!("冷却 {s} 秒"),
    }
}

/// That a strategy is stopped because of its failures.
pub fn tripped(failed: u64, ended: u64, lang: Lang) -> String {
    match lang {
        Lang::En => {
            format!("stopping the strategy: {failed} of {ended} items failed, more than --error-limit allows")
        }
        Lang::Zh => format!("停止该策略: {ended} 项中有 {failed} 项失败, 超过 --error-limit 的限制"),
    }
}

/// What happened to a GPU.
pub fn gpu_event(host: &str, event: &GpuEvent, lang: Lang) -> String {
    let gpu = match (&event.uuid, lang) {
        (Some(uuid), Lang::En) => format!("GPU {uuid} on host {host}"),
        (Some(uuid), Lang::Zh) => format!("主机 {host} 的 GPU {uuid}"),
        (None, Lang::En) => format!("a GPU on host {host}"),
        (None, Lang::Zh) => format!("主机 {host} 的某个 GPU"),
    };
    match (&event.kind, lang) {
        (GpuEventKind::Xid(number), Lang::En) => {
            format!("{gpu} reported error Xid {number}; NVIDIA's list of Xid errors says what it means")
        }
        (GpuEventKind::Xid(number), Lang::Zh) => {
            format!("{gpu} 报告错误 Xid {number}; 含义见 NVIDIA 的 Xid 错误列表")
        }
        (GpuEventKind::Gone(absence), Lang::En) => {
            format!("{gpu} is gone: {absence}; its readings are absent until it is back")
        }
        (GpuEventKind::Gone(absence), Lang::Zh) => format!("{gpu} 失去读数: {absence}; 恢复前没有它的读数"),
        (GpuEventKind::Back, Lang::En) => format!("{gpu} is back"),
        (GpuEventKind::Back, Lang::Zh) => format!("{gpu} 已恢复"),
        (GpuEventKind::Found(device), Lang::En) => format!("{gpu} ({}) can be read from now on", device.name),
        (GpuEventKind::Found(device), Lang::Zh) => format!("{gpu} ({}) 从现在起可以读取", device.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(change: impl FnOnce(&mut TrialView)) -> TrialView {
        let mut view = TrialView {
            strategy: "batch".into(),
            items: None,
            length: Some(Duration::from_secs(30)),
            warmup: Warmup::None,
            asked: Asked::Rate(12.5),
            max_in_flight: None,
            planned: Some(375),
            left: Some(Duration::from_millis(12_300)),
            warmed: 0,
            ended: 170,
            failed: 0,
            not_sent: 0,
            in_flight: 7,
            elapsed: Duration::from_millis(17_700),
            measured: Duration::from_millis(17_000),
            p95_s: None,
            gpu_percent: None,
            workers: 2,
            workers_begun: 2,
        };
        change(&mut view);
        view
    }

    #[test]
    fn a_strategy_is_announced_with_what_ends_it_and_what_is_asked() {
        let time = view(|v| (v.max_in_flight, v.warmup) = (Some(64), Warmup::Time(Duration::from_secs(5))));
        assert_eq!(
            announcement(&time, Lang::En),
            "batch: 30 s at 12.5 items/s, at most 64 in flight, after a warm-up of 5 s"
        );
        assert_eq!(
            announcement(&time, Lang::Zh),
            "📦 测试批量推理: 30 秒, 每秒 12.5 项, 最多 64 个在途, 先预热 5 秒"
        );
        let closed = view(|v| (v.items, v.asked) = (Some(9), Asked::InFlight(3)));
        assert_eq!(announcement(&closed, Lang::En), "batch: 9 items or 30 s, 3 in flight");
        let plain = view(|v| (v.items, v.length, v.asked) = (Some(9), None, Asked::InFlight(3)));
        assert_eq!(announcement(&plain, Lang::Zh), "📦 测试批量推理: 9 请求, 3 并发");
        let replay = view(|v| (v.asked, v.warmup) = (Asked::Replay, Warmup::Items(4)));
        assert_eq!(announcement(&replay, Lang::En), "batch: 30 s of a replay, after a warm-up of 4 items");
    }

    #[test]
    fn a_trial_that_a_time_ends_shows_what_is_left_and_what_is_really_in_flight() {
        let view = view(|v| (v.failed, v.not_sent) = (2, 5));
        assert_eq!(progress(&view, Lang::En), "13 s left");
        assert_eq!(progress(&view, Lang::Zh), "剩余 13 秒");
        assert_eq!(
            figures(&view, Lang::En),
            "10.00 items/s of 12.50 asked for, 7 in flight, 2 failed, 5 not sent, workers 2/2"
        );
        assert_eq!(
            figures(&view, Lang::Zh),
            "10.00 项/秒 (要求 12.50), 在途 7, 失败 2, 未发送 5, 工作节点 2/2"
        );
        assert_eq!(result(&view, Lang::En), "170/375");
    }

    #[test]
    fn a_rate_of_some_an_hour_is_not_shown_as_none() {
        let view = view(|v| (v.asked, v.warmup) = (Asked::Rate(10.0 / 3600.0), Warmup::Items(1)));
        assert_eq!(
            announcement(&view, Lang::En),
            "batch: 30 s at 0.002778 items/s, after a warm-up of 1 item"
        );
        let figures = figures(&view, Lang::En);
        assert!(figures.starts_with("10.00 items/s of 0.002778 asked for"), "{figures}");
        assert_eq!(short(1e9), "1000000000");
    }

    #[test]
    fn what_happens_before_the_load_is_said_in_the_language_of_the_run() {
        let at = "127.0.0.1:7000".parse().expect("an address");
        let listens = |lang| listening(&RunId::new("r1"), at, lang);
        assert_eq!(listens(Lang::En), "coordinator r1 listens on 127.0.0.1:7000");
        assert_eq!(listens(Lang::Zh), "协调器 r1 监听 127.0.0.1:7000");
        assert_eq!(left_out("async", "404", Lang::En), "async is left out: 404");
        assert_eq!(left_out("async", "404", Lang::Zh), "跳过 async: 404");
        let wrote = |lang| wrote(Path::new("out/results.json"), lang);
        assert_eq!(wrote(Lang::En), "wrote out/results.json");
        assert_eq!(wrote(Lang::Zh), "已写入 out/results.json");
    }

    #[test]
    fn a_warm_up_shows_no_rate() {
        let view = view(|v| {
            (v.warmed, v.ended, v.measured) = (40, 0, Duration::ZERO);
            (v.left, v.planned, v.asked) = (None, None, Asked::InFlight(3));
        });
        assert_eq!(progress(&view, Lang::En), "0 items");
        assert_eq!(figures(&view, Lang::En), "warming up, 40 items, workers 2/2");
    }
}
