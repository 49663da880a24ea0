//! Simplified Chinese: GPUs.

use fluxfleet_proto::reading::GpuEventKind;

use crate::analysis::verdict::Reason;

use super::absent;

pub(super) const COLUMNS: [&str; 8] =
    ["策略", "焦耳/项", "减去空闲", "功率 (瓦)", "空闲 (瓦)", "利用率/最高", "显存峰值", "降频时间"];

pub(super) const UNCERTAINTY: &str = "±: 最坏情况, 来自计数器分辨率、两端的插值和时钟误差; 空闲: 第一个策略之前的功率; \
                                      利用率按时间加权";

pub(super) const INTEGRATED: &str = "没有可用的能量计数器: 由功率读数积分得到";

pub(super) fn heading(gpus: usize, hosts: usize) -> String {
    format!("⚡ GPU 能耗与显存, {hosts} 台主机上的 {gpus} 个 GPU:")
}

pub(super) fn note(host: &str, gpu: Option<&str>, kind: &GpuEventKind, times: u64) -> String {
    let gpu = named(gpu);
    let often = if times > 1 { format!(" {times} 次") } else { String::new() };
    match kind {
        GpuEventKind::Xid(number) => format!("{host}: 驱动报告{gpu}发生{}", xid(*number, times)),
        GpuEventKind::Gone(why) => format!("{host}: {gpu}消失{often}: {}", absent(why)),
        GpuEventKind::Back => format!("{host}: {gpu}恢复{often}"),
        GpuEventKind::Found(_) => format!("{host}: {gpu}后来才能读取"),
    }
}

/// A reason that concerns a GPU; empty for others.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::GpuGone { strategy, host, gpu, why } => {
            format!("{strategy}:{}({host}) 无法读取: {}", named(gpu.as_deref()), absent(why))
        }
        Reason::GpuXid { strategy, host, gpu, number, times } => {
            let gpu = named(gpu.as_deref());
            format!("{strategy}: 驱动报告{}: {gpu}({host})", xid(*number, *times))
        }
        _ => String::new(),
    }
}

fn named(uuid: Option<&str>) -> String {
    uuid.map_or_else(|| "某个 GPU ".to_owned(), |uuid| format!(" {uuid} "))
}

fn xid(number: u64, times: u64) -> String {
    if times > 1 { format!("{times} 次错误 (Xid {number})") } else { format!("错误 (Xid {number})") }
}
