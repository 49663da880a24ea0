//! Notices, in English and Chinese.

use std::time::Duration;

use crate::fleet::{ClockStep, Notice, Return, Who};
use crate::plan::Lang;

/// A notice as a line.
pub fn notice(notice: &Notice, lang: Lang) -> String {
    let name = |of: &Who| who(of, lang);
    let zh = lang == Lang::Zh;
    match notice {
        Notice::Lost(peer, why) if zh => format!("{}失联: {why}", name(peer)),
        Notice::Lost(peer, why) => format!("lost {}: {why}", name(peer)),
        Notice::LeftAgain(peer, why) if zh => format!("{}又离开了: {why}", name(peer)),
        Notice::LeftAgain(peer, why) => format!("{} left again: {why}", name(peer)),
        Notice::Away(peer, why) if zh => format!("{}断开 ({why}); 它会保留采样, 直到恢复连接", name(peer)),
        Notice::Away(peer, why) => {
            format!("{} is away ({why}); it keeps its samples until it is back", name(peer))
        }
        Notice::Back(peer, back) => returned(&name(peer), *back, lang),
        Notice::ClockStepped(peer, step) => stepped(&name(peer), step, lang),
        Notice::AwaitingSamples(peers, most) => awaiting(peers, *most, lang),
        Notice::Dropped { agent, missed, first, why } if zh => {
            format!("{}丢弃了 {missed} 个采样 (从编号 {first} 起): {why}", name(agent))
        }
        Notice::Dropped { agent, missed, first, why } => {
            format!("{} dropped {missed} samples from number {first} on: {why}", name(agent))
        }
        Notice::NoGpu(peer, why) if zh => format!("{}看不到 GPU ({why}); 系统指标照常采集", name(peer)),
        Notice::NoGpu(peer, why) => format!("{} sees no GPU ({why}); its system metrics go on", name(peer)),
        Notice::Refused(None, from, why) if zh => format!("拒绝了 {from}: {why}"),
        Notice::Refused(None, from, why) => format!("refused {from}: {why}"),
        Notice::Refused(Some(peer), from, why) if zh => format!("拒绝了{}({from}): {why}", name(peer)),
        Notice::Refused(Some(peer), from, why) => format!("refused {} at {from}: {why}", name(peer)),
        Notice::Stranger { from, silent } if zh => {
            let trouble = if *silent { "连接后什么也没有发送" } else { "发送的不是 gRPC" };
            format!(
                "{from} {trouble}; 连接已关闭。工作节点和代理请用本版本的 `fluxfleet-worker --coordinator ..` 和 \
                 `fluxfleet-agent --coordinator ..` 加入"
            )
        }
        Notice::Stranger { from, silent } => {
            let trouble =
                if *silent { "connected and said nothing" } else { "sent something that is not gRPC" };
            format!(
                "{from} {trouble}; connection closed. Workers and agents join with `fluxfleet-worker --coordinator ..` \
                 and `fluxfleet-agent --coordinator ..` of this release"
            )
        }
        Notice::PortFailed(why) if zh => format!("协调器的端口出错: {why}"),
        Notice::PortFailed(why) => format!("the coordinator's port failed: {why}"),
    }
}

fn returned(name: &str, back: Return, lang: Lang) -> String {
    let (s, late) = (back.away.as_secs_f64(), back.late);
    match lang {
        Lang::En => format!("{name} is back after {s:.0} s; {late} samples came late"),
        Lang::Zh => format!("{name}在 {s:.0} s 后恢复连接; {late} 个采样迟到"),
    }
}

fn stepped(name: &str, step: &ClockStep, lang: Lang) -> String {
    let by = step.by_ns as f64 / 1e9;
    let within = step.between.1.since(step.between.0).as_secs_f64();
    match lang {
        Lang::En => format!(
            "the clock of {name} stepped by {by:+.3} s against the coordinator's within {within:.3} s; what was read in \
             between is placed with an error that covers both"
        ),
        Lang::Zh => format!(
            "{name}的时钟在 {within:.3} s 内相对协调器跳变 {by:+.3} s; 其间的读数按覆盖两种可能的误差定位"
        ),
    }
}

fn awaiting(peers: &[Who], most: Duration, lang: Lang) -> String {
    let names = peers.iter().map(|peer| who(peer, lang).trim_end().to_owned());
    let s = most.as_secs_f64();
    match lang {
        Lang::En => format!("waiting for samples of {}, {s} s at most", names.collect::<Vec<_>>().join(", ")),
        Lang::Zh => format!("等待{} 的采样, 最多 {s} s", names.collect::<Vec<_>>().join("、")),
    }
}

fn who(of: &Who, lang: Lang) -> String {
    match (of, lang) {
        (Who::Worker(name), Lang::En) => format!("worker {name}"),
        (Who::Worker(name), Lang::Zh) => format!("工作节点 {name} "),
        (Who::Agent(host), Lang::En) => format!("agent {host}"),
        (Who::Agent(host), Lang::Zh) => format!("代理 {host} "),
        (Who::Unnamed(peer), Lang::En) => peer.to_string(),
        (Who::Unnamed(peer), Lang::Zh) => format!("节点 {} ", peer.0),
    }
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::clock::Mono;

    use super::*;

    #[test]
    fn a_notice_is_in_the_language_of_the_run_and_its_cause_as_it_came() {
        let (worker, agent) = (|| Who::Worker("b".into()), || Who::Agent("gpu-1".into()));
        let from = "10.0.0.7:5000";
        for (of, en, zh) in [
            (Notice::Lost(worker(), "gone".into()), "lost worker b: gone", "工作节点 b 失联: gone"),
            (Notice::LeftAgain(worker(), "x".into()), "worker b left again: x", "工作节点 b 又离开了: x"),
            (
                Notice::Dropped { agent: agent(), missed: 3, first: 7, why: "full".into() },
                "agent gpu-1 dropped 3 samples from number 7 on: full",
                "代理 gpu-1 丢弃了 3 个采样 (从编号 7 起): full",
            ),
            (
                Notice::Away(agent(), "reset".into()),
                "agent gpu-1 is away (reset); it keeps its samples until it is back",
                "代理 gpu-1 断开 (reset); 它会保留采样, 直到恢复连接",
            ),
            (
                Notice::Back(agent(), Return { away: Duration::from_secs(61), late: 1271 }),
                "agent gpu-1 is back after 61 s; 1271 samples came late",
                "代理 gpu-1 在 61 s 后恢复连接; 1271 个采样迟到",
            ),
            (
                Notice::AwaitingSamples(vec![agent(), Who::Agent("gpu-2".into())], Duration::from_secs(10)),
                "waiting for samples of agent gpu-1, agent gpu-2, 10 s at most",
                "等待代理 gpu-1、代理 gpu-2 的采样, 最多 10 s",
            ),
            (
                Notice::ClockStepped(
                    agent(),
                    ClockStep {
                        by_ns: 10_000_000_000,
                        between: (Mono::from_nanos(0), Mono::from_nanos(1_500_000_000)),
                    },
                ),
                "the clock of agent gpu-1 stepped by +10.000 s against the coordinator's within 1.500 s; what was read in \
                 between is placed with an error that covers both",
                "代理 gpu-1 的时钟在 1.500 s 内相对协调器跳变 +10.000 s; 其间的读数按覆盖两种可能的误差定位",
            ),
            (
                Notice::Refused(Some(worker()), from.into(), "old".into()),
                "refused worker b at 10.0.0.7:5000: old",
                "拒绝了工作节点 b (10.0.0.7:5000): old",
            ),
            (
                Notice::Refused(None, from.into(), "old".into()),
                "refused 10.0.0.7:5000: old",
                "拒绝了 10.0.0.7:5000: old",
            ),
        ] {
            assert_eq!((notice(&of, Lang::En).as_str(), notice(&of, Lang::Zh).as_str()), (en, zh));
        }
        let stranger = Notice::Stranger { from: from.parse().expect("an address"), silent: false };
        assert!(notice(&stranger, Lang::En).starts_with("10.0.0.7:5000 sent something that is not gRPC; "));
        assert!(notice(&stranger, Lang::Zh).starts_with("10.0.0.7:5000 发送的不是 gRPC; "));
    }
}
