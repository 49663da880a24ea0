//! Simplified Chinese, with the seed tool's own headings.

use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::reading::{Absence, AbsenceReason};

use crate::analysis::advice::Rule;
use crate::analysis::certify::{P95_SAMPLES, P99_SAMPLES, P999_SAMPLES};
use crate::analysis::gpu::{IDLE_LEAST, IDLE_LEAST_READINGS};
use crate::analysis::note::Note;
use crate::analysis::report::{DetailAbsent, ErrorLine, Items, Missing};
use crate::analysis::verdict::State;
use crate::report::number;

use super::Texts;

mod gpu;
mod load;
mod reason;

/// Simplified Chinese.
pub(super) const ZH: Texts = Texts {
    title: "📊 优化策略对比报告",
    partial: "部分结果 (PARTIAL): 运行在结束前被停止",
    columns: ["策略", "吞吐量", "成功率", "平均响应时间", "P95响应时间", "GPU利用率", "效率分数"],
    counts_heading: "🔎 数据依据: 成功的请求数 (n) 及其响应时间, 以及每一项的去向",
    count_columns: ["策略", "n", "P50", "P99", "P99.9", "成功项", "失败项", "未发送", "计划项"],
    best: "🏆 最佳策略: ",
    no_best: "🏆 没有最佳策略: 没有任何一项成功。",
    best_figures: ["效率分数: ", "吞吐量: ", "平均响应时间: "],
    items_per_s: "项/秒",
    seconds: "秒",
    improvements: "📈 性能提升分析 (相对于基准):",
    improvement_figures: ["吞吐量", "响应时间"],
    advice: "💡 优化建议:",
    failures: "❌ 失败:",
    workers: "👷 工作节点:",
    notes: "📝 备注:",
    verdict: "📋 结论: ",
    run: "运行",
    comma: ", ",
    colon: ": ",
    uncertified,
    score_without_gpu: "没有 GPU 读数的效率分数: 吞吐量与响应时间的权重已重新分配",
    state,
    reason: reason::reason,
    note,
    missing,
    not_sent,
    remedy,
    failure,
    no_success,
    rule,
    remedies,
    worker_items,
    worker_skew,
    worker_lost,
    detail_absent,
    load_heading: load::HEADING,
    load_columns: load::COLUMNS,
    load_footnotes: load::FOOTNOTES,
    load: load::load,
    warmups: load::WARMUPS,
    warmup: load::warmup,
    generators: load::GENERATORS,
    generator: load::generator,
    gpus: gpu::heading,
    gpu_columns: gpu::COLUMNS,
    gpu_uncertainty: gpu::UNCERTAINTY,
    gpu_integrated: gpu::INTEGRATED,
    plot_title: "优化策略对比",
    plot_load: "开环负载: ",
    plot_sent: "实际 / 要求 (项/秒): ",
    plot_partial: "部分结果 PARTIAL",
    plot_invalid: "无效 INVALID",
    plot_verdict: "结论: ",
    plot_titles: ["吞吐量对比", "平均响应时间对比", "效率分数对比", "综合性能雷达图 (1 = 最佳)"],
    plot_units: ["项/秒, 越高越好", "秒, 越低越好", "0 至 1, 越高越好"],
    plot_axes: ["吞吐量", "响应时间", "效率分数"],
    plot_none: "n/a",
};

fn uncertified() -> String {
    format!(
        "请求数太少, 不足以在 99 % 置信度下确认该百分位 (P95 需要 {P95_SAMPLES}, P99 需要 {P99_SAMPLES}, \
         P99.9 需要 {P999_SAMPLES})"
    )
}

fn state(state: State) -> &'static str {
    match state {
        State::Valid => "有效",
        State::Degraded => "降级",
        State::Invalid => "无效",
    }
}

fn note(note: &Note) -> String {
    match note {
        Note::Skipped { strategy, why } => format!("{strategy} 已跳过: {why}"),
        Note::ScoreSaturated { reference_items_per_s, strategies, highest, throughput_items_per_s } => {
            let (reference, highest_items) =
                (number::rate(*reference_items_per_s), number::rate(*throughput_items_per_s));
            if *strategies == 1 {
                format!(
                    "{highest} 达到 {reference} 项/秒, 更高的吞吐量不再提高效率分数; 其吞吐量为 {highest_items} 项/秒"
                )
            } else {
                format!(
                    "所有策略都达到 {reference} 项/秒, 更高的吞吐量不再提高效率分数; 吞吐量最高的是 {highest}: {highest_items} 项/秒"
                )
            }
        }
        Note::ScoreWithoutGpu { strategies, why } => {
            format!("{} 的效率分数没有 GPU 读数: {}", strategies.join(", "), missing(why))
        }
        Note::BeyondRange { strategy, requests } => format!(
            "{strategy}: {requests} 个请求超出直方图的范围 (71 分钟); 它们计入平均值和最大值, 落在其中的百分位\
             显示最大值"
        ),
        Note::SettledLate { strategy, after_s, warmup_s } if *warmup_s > 0.0 => format!(
            "{strategy} 在 {after_s} 秒后才稳定, 晚于 {} 的预热: 可以从那时开始测量: --warmup {after_s}s",
            number::seconds(*warmup_s)
        ),
        Note::SettledLate { strategy, after_s, warmup_s: _ } => {
            format!("{strategy} 在 {after_s} 秒后才稳定: 可以从那时开始测量: --warmup {after_s}s")
        }
        Note::Gpu { host, gpu, kind, times } => gpu::note(host, gpu.as_deref(), kind, *times),
    }
}

fn missing(missing: &Missing) -> String {
    match missing {
        Missing::Skipped(why) => format!("已跳过: {why}"),
        Missing::NotStarted(reason) => format!("未开始: {}", not_sent(*reason)),
        Missing::NothingSent => "没有发送任何请求".to_owned(),
        Missing::NoSuccess => "没有任何一项成功".to_owned(),
        Missing::NoEndpoint => "服务没有该端点".to_owned(),
        Missing::NothingFailed => "没有整体失败的请求".to_owned(),
        Missing::NoTime => "没有可测量的时间".to_owned(),
        Missing::OneValue => "只有一个数值".to_owned(),
        Missing::NotReported => "服务没有给出".to_owned(),
        Missing::ClosedLoad => "闭环负载没有到达过程".to_owned(),
        Missing::OpenLoad => "开环负载不保持固定的在途数".to_owned(),
        Missing::TooFew { count, least } => format!("只有 {count} 个, 需要 {least} 个"),
        Missing::EvenGaps => "均匀间隔没有分布可检验; 迟到时间说明它有多均匀".to_owned(),
        Missing::ShortGaps { mean_us, least_us } => {
            format!("平均间隔 {mean_us} 微秒, 其分布与发送迟到 ({least_us} 微秒) 无法区分; 请看迟到时间")
        }
        Missing::NoLaw => "回放的到达不服从任何分布".to_owned(),
        Missing::Stopped => "负载被提前停止".to_owned(),
        Missing::NoConnection => "测量期间没有建立连接".to_owned(),
        Missing::NoTls => "测量期间没有建立 TLS 连接".to_owned(),
        Missing::AllSent => "所有到达都已发送".to_owned(),
        Missing::NoAgent(why) if why.is_empty() => "没有代理参与".to_owned(),
        Missing::NoAgent(why) => format!("没有代理参与: {why}"),
        Missing::NoGpu => "主机没有 GPU".to_owned(),
        Missing::NoSample => "该策略运行期间没有采样".to_owned(),
        Missing::NotRead(absence) => absent(absence),
        Missing::CounterReset => "丢失: 能量计数器重新开始计数, 例如驱动被重新加载".to_owned(),
        Missing::CounterStill => "能量计数器从未变化".to_owned(),
        Missing::NotEnclosed => "其前后没有都取得读数".to_owned(),
        Missing::ReadingGap { gap_ms, longest_ms } => {
            format!("有 {gap_ms} 毫秒没有读数, 最长允许 {longest_ms} 毫秒")
        }
        Missing::IdleTooShort { readings, seen_ms } => format!(
            "未测得: 第一个策略之前 {seen_ms} 毫秒内只有 {readings} 个读数, 至少需要 {} 毫秒内 {IDLE_LEAST_READINGS} 个",
            IDLE_LEAST.as_millis()
        ),
        Missing::OfGpu { host, gpu: Some(gpu), why } => {
            format!("{host} 上的 {gpu}: {}", self::missing(why))
        }
        Missing::OfGpu { host, gpu: None, why } => format!("{host} 上的 GPU: {}", self::missing(why)),
        Missing::NoBaseline => "没有要求测试 `baseline` 策略".to_owned(),
        Missing::NothingToCompare => "只有一个策略".to_owned(),
        Missing::BaselineMissing(why) => format!("基准没有数值: {}", self::missing(why)),
    }
}

fn absent(absence: &Absence) -> String {
    let reason = match absence.reason {
        AbsenceReason::Unsupported => "设备不支持",
        AbsenceReason::Denied => "没有权限",
        AbsenceReason::Lost => "设备或驱动丢失",
        AbsenceReason::Stale => "读数过旧",
        AbsenceReason::Error => "读取出错",
        AbsenceReason::NotYet => "尚无数值",
    };
    if absence.detail.is_empty() { reason.to_owned() } else { format!("{reason}: {}", absence.detail) }
}

fn not_sent(reason: NotSentReason) -> &'static str {
    match reason {
        NotSentReason::Interrupted => "运行被停止",
        NotSentReason::WorkerLost => "所属工作节点失联, 是否已发送不得而知",
        NotSentReason::WorkerFault => "所属工作节点无法继续",
        NotSentReason::NotStarted => "运行在此之前已结束",
        NotSentReason::NoEndpoint => "服务没有该端点",
        NotSentReason::NoPlace => "在途请求数已满, 未能及时空出 (--max-in-flight)",
        NotSentReason::TimeUp => "时间已到 (--duration)",
        NotSentReason::ErrorLimit => "失败数超过 --error-limit 允许的上限",
    }
}

fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Dns => "请检查 --url 中的主机名",
        FailureKind::Connect => "请检查服务是否在 --url 上运行, 端口是否被阻挡",
        FailureKind::Exhausted => {
            "请提高工作节点的打开文件上限 (ulimit -n), 或减少在途请求 (--max-in-flight)"
        }
        FailureKind::Tls => "请检查服务的证书, 或确认它是否只支持 http",
        FailureKind::Timeout => "请降低负载 (--concurrent 或 --rate), 或提高 --timeout",
        FailureKind::Disconnected => "请在服务日志中查找重启记录, 或降低负载 (--concurrent 或 --rate)",
        FailureKind::Protocol => "请检查 --url 是否指向 HTTP 服务",
        FailureKind::Overloaded => "服务已满: 请降低负载 (--concurrent 或 --rate)",
        FailureKind::Redirect => "请在 --url 中给出最终地址",
        FailureKind::EmptyBody
        | FailureKind::NotJson
        | FailureKind::InvalidJson
        | FailureKind::MissingField => "请检查 --url 是否指向推理服务本身, 以及它在此路径上的应答",
        FailureKind::BodyTooLarge => "请减小单项大小, 或让服务返回链接而不是数据",
        FailureKind::ShortAnswer => "请降低 --batch-size",
        FailureKind::JobCancelled => "请查明是谁取消了服务上的任务",
        FailureKind::JobLost => "请检查服务是否重启过, 或过早丢弃任务",
        FailureKind::Interrupted => "请让运行正常结束",
        FailureKind::Http(404 | 405 | 410 | 501) => "服务没有此路径: 请从 --strategies 中去掉该策略",
        FailureKind::Http(401 | 403 | 407) => "请发送服务要求的凭据",
        FailureKind::Http(400..=499) => "请对照服务所接受的请求格式",
        FailureKind::ServiceError | FailureKind::JobFailed | FailureKind::Http(_) => "请查看服务日志",
    }
}

fn failure(line: &ErrorLine, example: Option<&str>) -> String {
    let ErrorLine { kind, count, .. } = line;
    match example {
        Some(example) => format!("{kind} x {count}, 例如: {example}"),
        None => format!("{kind} x {count}"),
    }
}

fn no_success(items: Items, main: Option<&ErrorLine>) -> String {
    match main {
        Some(main) => {
            let example = main.example.as_deref().map_or_else(String::new, |e| format!(", 例如: {e}"));
            format!(
                "{} 项中没有一项成功, 最常见的原因是 {} ({} 次{example})",
                items.planned, main.kind, main.count
            )
        }
        None => format!("{} 项中没有发送任何一项", items.planned),
    }
}

fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::LowGpuUtilization => "GPU 利用率低 (< 50%)",
        Rule::LongResponseTime => "响应时间长 (> 20s)",
        Rule::HighVramUsage => "VRAM 使用率高 (> 90%)",
        Rule::LowThroughput => "吞吐量低 (< 0.5 项/秒)",
    }
}

fn remedies(rule: Rule) -> [&'static str; 3] {
    match rule {
        Rule::LowGpuUtilization => ["增加并发数", "实现模型池", "启用批量推理"],
        Rule::LongResponseTime => ["减少推理步数", "使用更快的模型", "实现异步推理"],
        Rule::HighVramUsage => ["优化内存管理", "使用量化模型", "减少批大小"],
        Rule::LowThroughput => ["实现模型池", "增加并发数", "优化推理过程"],
    }
}

fn worker_items(items: Items) -> String {
    let Items { planned, ok, failed, not_sent } = items;
    format!("成功 {ok} + 失败 {failed} + 未发送 {not_sent} = {planned} 项")
}

fn worker_skew(skew: &str) -> String {
    format!("最大开始偏差 {skew}")
}

fn worker_lost(why: &str) -> String {
    format!("失联: {why}")
}

fn detail_absent(absent: DetailAbsent) -> String {
    match absent {
        DetailAbsent::NotAsked => "未要求保留; 请使用 --records all".to_owned(),
        DetailAbsent::TooMany { items: None, limit } => {
            format!("运行没有计划项数, 而每个请求最多保留到 {limit} 项; 请使用 --records all")
        }
        DetailAbsent::TooMany { items: Some(items), limit } => {
            format!("计划 {items} 项, 超过自动保留每个请求的上限 {limit}; 请使用 --records all")
        }
    }
}
