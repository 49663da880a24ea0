//! Simplified Chinese: why a verdict is not valid.

use crate::analysis::report::Items;
use crate::analysis::steady::Moving;
use crate::analysis::verdict::Reason;
use crate::report::number;

use super::not_sent;

pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NothingSucceeded => "所有策略都没有任何一项成功".to_owned(),
        Reason::DoesNotAddUp { strategy, worker, items } => {
            let whose = worker.as_ref().map_or_else(String::new, |w| format!("工作节点 {w} 的"));
            let Items { planned, ok, failed, not_sent } = items;
            format!(
                "{strategy}: {whose}项数不相符: 计划 {planned}, 而成功 {ok} + 失败 {failed} + 未发送 {not_sent}"
            )
        }
        Reason::Interrupted => "运行在结束前被停止".to_owned(),
        Reason::WorkerLost { worker, why } => format!("工作节点 {worker} 失联: {why}"),
        Reason::AgentLost { host, why } => format!("{host} 上的代理失联: {why}"),
        Reason::NotStarted { strategy, reason } => format!("{strategy} 未开始: {}", not_sent(*reason)),
        Reason::NotSent { strategy, reason, items } => {
            format!("{strategy}: {items} 项未发送: {}", not_sent(*reason))
        }
        Reason::SampleGaps { host, samples } => format!("{host} 上的代理有 {samples} 个采样未能送达"),
        Reason::AgentSilent { host } => format!("{host} 上的代理没有送达任何采样"),
        Reason::GpuGone { .. } | Reason::GpuXid { .. } => super::gpu::reason(reason),
        Reason::StartSkew { strategy, worker, skew_us } => {
            format!("{strategy}: 工作节点 {worker} 的开始时刻偏离计划 {}", number::signed_ms(*skew_us))
        }
        Reason::UnsureClock { peer, error_us: Some(error) } => {
            format!("{peer} 的时钟误差只能确定到 +/-{}", number::ms(*error))
        }
        Reason::UnsureClock { peer, error_us: None } => format!("{peer} 的时钟从未测得"),
        Reason::ClockStepped { peer, steps, error_us } => {
            format!(
                "{peer} 的时钟在运行期间跳变或停顿 (发现 {steps} 次), 前后误差只能确定到 +/-{}",
                number::ms(*error_us)
            )
        }
        Reason::RateMissed { strategy, intended, achieved, percent } => format!(
            "{strategy}: 要求 {} 项/秒, 实际发送 {} 项/秒: 只达到负载的 {}",
            number::rate(*intended),
            number::rate(*achieved),
            number::percent(*percent)
        ),
        Reason::LoadNotSent { strategy, items, planned } => {
            format!("{strategy}: 负载中有 {items} / {planned} 项被放弃: 这不是所要求的负载")
        }
        Reason::Waited { strategy, requests, sent, longest_s } => format!(
            "{strategy}: 实际负载不是所要求的负载: {requests} / {sent} 个请求等待在途位置, 最长 {} (--max-in-flight)",
            number::seconds(*longest_s)
        ),
        Reason::PacerLate { strategy, p99_us, budget_us } => format!(
            "{strategy}: 负载发生器迟了 {} (P99), 这包含在响应时间里; 允许 {}",
            number::ms(*p99_us),
            number::ms(*budget_us)
        ),
        Reason::ArrivalsOff { strategy, test } => format!(
            "{strategy}: 发送间隔的分布与要求不符: 距离 {:.3}, 共 {} 个间隔, 上限 {:.3}",
            test.distance, test.gaps, test.limit
        ),
        Reason::InFlightMissed { strategy, planned, used_percent, empty_us } => format!(
            "{strategy}: {planned} 个在途位置只有 {} 的时间被使用; 两个请求之间平均空闲 {}",
            number::percent(*used_percent),
            number::ms(*empty_us)
        ),
        Reason::TooFewSamples { strategy, count, least } => {
            format!(
                "{strategy}: 样本太少 ({count} 个): 成功的测量请求少于 {least} 个时, 连中位数都可能只是偶然"
            )
        }
        Reason::NeverSettled { strategy, drift } => {
            let what = match drift.what {
                Moving::Throughput => "吞吐量",
                Moving::ResponseTime => "响应时间",
            };
            format!("{strategy}: 始终没有稳定下来: 从前三分之一到后三分之一, {what}{}", moved(drift.change))
        }
        Reason::Busy { strategy, worker, percent, closed } => {
            let so = if *closed {
                "吞吐量已达到或接近负载发生器自身的上限, 而不是服务的上限"
            } else {
                "测得的时间包含它自身的延迟"
            };
            format!(
                "{strategy}: 工作节点 {worker} 的一个负载线程有 {} 的时间在忙: {so}; 请增加线程或工作节点",
                number::percent(*percent)
            )
        }
        Reason::PollDelay { strategy, worker, p99_us, budget_us } => format!(
            "{strategy}: 工作节点 {worker} 处理到期任务迟了 {} (P99); 允许 {}",
            number::ms(*p99_us),
            number::ms(*budget_us)
        ),
        Reason::FewFiles { strategy, worker, most, limit } => {
            format!("{strategy}: 工作节点 {worker} 打开了 {most} / {limit} 个文件; 请提高上限 (ulimit -n)")
        }
        Reason::Exhausted { strategy, items, planned } => format!(
            "{strategy}: {items} 项 (共 {planned} 项) 因工作节点无法再打开文件而失败; 请提高其上限 (ulimit -n)"
        ),
        Reason::FewPorts { strategy, worker, most, limit } => {
            format!("{strategy}: 工作节点 {worker} 已用其机器的出站端口 {most} / {limit} 个")
        }
    }
}

fn moved(change: f64) -> String {
    if !change.is_finite() {
        "从零增长".to_owned()
    } else if change < 0.0 {
        format!("下降了 {}", number::percent(-100.0 * change))
    } else {
        format!("增长了 {}", number::percent(100.0 * change))
    }
}
