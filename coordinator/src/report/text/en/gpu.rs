//! English: GPUs.

use fluxfleet_proto::reading::{Absence, GpuEventKind};

use crate::analysis::report::Missing;
use crate::analysis::verdict::Reason;

use super::missing;

pub(super) const COLUMNS: [&str; 8] =
    ["Strategy", "J/item", "above idle", "Power (W)", "Idle (W)", "Util/max", "Peak VRAM", "Throttled"];

pub(super) const UNCERTAINTY: &str = "±: at worst, from the counter's resolution, what was interpolated at both edges and \
                                      the clocks; idle: power before the first strategy; utilization over time";

pub(super) const INTEGRATED: &str = "no usable energy counter: integrated from readings of the power";

pub(super) fn heading(gpus: usize, hosts: usize) -> String {
    let s = |n: usize| if n == 1 { "" } else { "s" };
    format!("GPU energy and memory, {gpus} GPU{} on {hosts} host{}:", s(gpus), s(hosts))
}

pub(super) fn note(host: &str, gpu: Option<&str>, kind: &GpuEventKind, times: u64) -> String {
    let gpu = named(gpu);
    let often = if times > 1 { format!(", {times} times") } else { String::new() };
    match kind {
        GpuEventKind::Xid(number) => format!("{host}: the driver reported {} of {gpu}", xid(*number, times)),
        GpuEventKind::Gone(why) => format!("{host}: {gpu} was gone{often}: {}", absent(why)),
        GpuEventKind::Back => format!("{host}: {gpu} came back{often}"),
        GpuEventKind::Found(_) => format!("{host}: {gpu} could be read only from later on"),
    }
}

/// A reason that concerns a GPU; empty for others.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::GpuGone { strategy, host, gpu, why } => {
            format!("{strategy}: {} on {host} could not be read: {}", named(gpu.as_deref()), absent(why))
        }
        Reason::GpuXid { strategy, host, gpu, number, times } => format!(
            "{strategy}: the driver reported {} of {} on {host}",
            xid(*number, *times),
            named(gpu.as_deref())
        ),
        _ => String::new(),
    }
}

fn absent(absence: &Absence) -> String {
    missing(&Missing::NotRead(absence.clone()))
}

fn named(uuid: Option<&str>) -> &str {
    uuid.unwrap_or("a GPU")
}

fn xid(number: u64, times: u64) -> String {
    if times > 1 { format!("{times} errors (Xid {number})") } else { format!("an error (Xid {number})") }
}
