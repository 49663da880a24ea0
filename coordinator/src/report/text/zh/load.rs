//! Simplified Chinese: the load, the warm-up and the generators.

use fluxfleet_proto::arrival::{Arrivals, Process};
use fluxfleet_proto::load::WhenFull;

use crate::analysis::generator::GeneratorReport;
use crate::analysis::phases::WarmupReport;
use crate::plan::PlannedLoad;
use crate::report::number;

pub(super) const HEADING: &str = "📮 要求的负载与实际的负载: ";
pub(super) const COLUMNS: [&str; 9] =
    ["策略", "要求/秒", "实际/秒", "达到", "迟到P99", "最大迟到", "等待", "放弃", "间隔/上限"];
pub(super) const FOOTNOTES: [&str; 2] = [
    "要求、实际: 测量期间的项数; 迟到: 负载发生器处理到达的延迟; 等待: 之后还要等待在途位置的请求数; 放弃: 未发送的请求数",
    "间隔/上限: 发送间隔与所要求分布的距离 (Kolmogorov-Smirnov), 以及允许的距离",
];
pub(super) const WARMUPS: &str = "🔥 预热 (不计入其他任何数字):";
pub(super) const GENERATORS: &str = "🔧 负载发生器:";

pub(super) fn load(load: &PlannedLoad) -> String {
    let PlannedLoad::Open { arrivals, when_full } = load else { return "闭环".to_owned() };
    let what = match arrivals {
        Arrivals::Replay(times) => format!("回放 {} 个到达", times.len()),
        Arrivals::Drawn { process, profile, .. } => {
            let process = match process {
                Process::Constant => "均匀到达".to_owned(),
                Process::Poisson => "泊松到达".to_owned(),
                Process::Gamma { shape } => format!("Gamma 到达 (形状 {shape})"),
            };
            match profile.stages() {
                [only] if only.from.to_bits() == only.to.to_bits() => {
                    format!("{process}, {} 项/秒", number::rate(only.from))
                }
                stages => format!("{process}, 速率分 {} 个阶段变化", stages.len()),
            }
        }
    };
    match when_full {
        WhenFull::Wait => what,
        WhenFull::Drop => format!("{what}, 没有在途位置时放弃"),
    }
}

pub(super) fn warmup(warmup: &WarmupReport) -> String {
    let time = warmup.seconds.map_or("未结束".to_owned(), number::seconds);
    let mut parts = vec![format!("{time}, 测量之前 {} 项", warmup.items_ended())];
    if warmup.items_failed > 0 {
        parts.push(format!("其中失败 {}", warmup.items_failed));
    }
    if warmup.items_not_sent > 0 {
        parts.push(format!("另有 {} 项被放弃", warmup.items_not_sent));
    }
    parts.join(", ")
}

pub(super) fn generator(g: &GeneratorReport) -> Vec<String> {
    let mut parts = Vec::new();
    parts.push(match (g.ceiling, g.ceiling_percent) {
        (Some(ceiling), Some(percent)) => format!(
            "运行在其上限的 {} (上限 {} 请求/秒)",
            number::part(percent),
            number::per_second(ceiling.requests_per_s)
        ),
        _ => "上限未测量".to_owned(),
    });
    if let (Some(mean), Some(max)) = (g.busy_mean, g.busy_max) {
        let (mean, max) = (number::percent(100.0 * mean), number::percent(100.0 * max));
        parts.push(format!("最忙线程平均 {mean}, 最高 {max}"));
    }
    if let Some(p99) = g.poll_delay_p99_us {
        parts.push(format!("调度延迟 P99 {}", number::ms(p99 as f64)));
    }
    let used = |most: u64, limit: Option<u64>| {
        limit.map_or_else(|| most.to_string(), |limit| format!("{most} / {limit}"))
    };
    if let Some(most) = g.files.most {
        parts.push(format!("文件 {}", used(most, g.files.limit)));
    }
    if let Some(most) = g.ports.most {
        parts.push(format!("端口 {}", used(most, g.ports.limit)));
    }
    parts.push(format!("套接字错误 {}", g.socket_errors));
    if let Some(memory) = g.memory {
        let (first, last) = (number::mebibytes(memory.first), number::mebibytes(memory.last));
        parts.push(format!("内存 {first}, 结束时 {last}"));
    }
    parts
}
