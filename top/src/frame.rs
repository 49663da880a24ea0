//! The text of one moment.

use crate::view::{GpuView, HostState, HostView, Shown};

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

const HEADS: [&str; 8] = ["GPU", "NAME", "UTIL", "MEMORY", "POWER", "TEMP", "SM CLOCK", "HELD DOWN BY"];

/// Hosts under a title, a line each and one for each GPU, all GPUs in the same columns.
pub fn frame(title: &str, hosts: &[HostView]) -> String {
    let mut widths = HEADS.map(str::len);
    let rows: Vec<Vec<[String; 8]>> = hosts.iter().map(rows).collect();
    for row in rows.iter().flatten() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = vec![title.to_owned()];
    for (host, rows) in hosts.iter().zip(rows) {
        lines.push(String::new());
        lines.push(headline(host));
        if let Ok(HostState { gpus: Err(why), .. }) = &host.state {
            lines.push(format!("  GPUs cannot be read: {why}"));
        }
        if !rows.is_empty() {
            lines.push(row(&widths, &HEADS.map(str::to_owned)));
            lines.extend(rows.iter().map(|cells| row(&widths, cells)));
        }
    }
    let mut text: String = lines.iter().map(|line| plain(line.trim_end()) + "\n").collect();
    if hosts.is_empty() {
        text.push_str("no hosts\n");
    }
    text
}

fn headline(host: &HostView) -> String {
    let HostView { name, state } = host;
    let HostState { cpu_percent, memory_used, memory_total, load, gpus } = match state {
        Ok(state) => state,
        Err(why) => return format!("{name}   {why}"),
    };
    let cpu = number(cpu_percent, 1, " %");
    let memory = gib(memory_used, memory_total);
    let load = number(load, 2, "");
    let gpus = match gpus {
        Ok(gpus) if gpus.is_empty() => "   no GPU".to_owned(),
        Ok(_) | Err(_) => String::new(),
    };
    format!("{name}   cpu {cpu}   memory {memory}   load {load}{gpus}")
}

fn rows(host: &HostView) -> Vec<[String; 8]> {
    let gpus = host.state.as_ref().ok().and_then(|state| state.gpus.as_ref().ok());
    gpus.into_iter().flatten().map(cells).collect()
}

fn cells(gpu: &GpuView) -> [String; 8] {
    let power = match &gpu.power_limit_w {
        Ok(limit) => format!("{} of {limit:.0} W", number(&gpu.power_w, 1, "")),
        Err(_) => number(&gpu.power_w, 1, " W"),
    };
    [
        gpu.index.clone(),
        gpu.name.clone(),
        number(&gpu.utilization_percent, 0, " %"),
        gib(&gpu.memory_used, &gpu.memory_total),
        power,
        number(&gpu.temperature_c, 0, " C"),
        number(&gpu.sm_clock_mhz, 0, " MHz"),
        gpu.throttle.join(", "),
    ]
}

/// Numbers to the right, words to the left.
fn row(widths: &[usize; 8], cells: &[String; 8]) -> String {
    let mut line = String::from(" ");
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        let is_number = (2..7).contains(&at);
        let (before, after) = if is_number { (pad.as_str(), "") } else { ("", pad.as_str()) };
        line.extend([" ", before, cell, after, " "]);
    }
    line
}

fn number(shown: &Shown, decimals: usize, unit: &str) -> String {
    match shown {
        Ok(value) => format!("{value:.decimals$}{unit}"),
        Err(why) => why.clone(),
    }
}

fn gib(used: &Shown, total: &Shown) -> String {
    let number = |shown: &Shown| number(&shown.clone().map(|bytes| bytes / GIB), 1, "");
    match (used, total) {
        (Err(why), Err(_)) => why.clone(),
        _ => format!("{} of {} GiB", number(used), number(total)),
    }
}

/// What a driver or another host calls itself may hold anything; none of it may move the cursor.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: &str) -> GpuView {
        GpuView {
            index: index.to_owned(),
            name: "Some GPU".to_owned(),
            utilization_percent: Ok(75.0),
            memory_used: Ok(6.0 * GIB),
            memory_total: Ok(8.0 * GIB),
            power_w: Ok(250.5),
            power_limit_w: Ok(400.0),
            temperature_c: Ok(61.0),
            sm_clock_mhz: Ok(1410.0),
            throttle: vec!["sw_power_cap".to_owned()],
        }
    }

    fn host(gpus: Result<Vec<GpuView>, String>) -> HostState {
        HostState {
            cpu_percent: Ok(12.34),
            memory_used: Ok(3.0 * GIB),
            memory_total: Ok(16.0 * GIB),
            load: Ok(0.5),
            gpus,
        }
    }

    fn view(name: &str, state: Result<HostState, String>) -> HostView {
        HostView { name: name.to_owned(), state }
    }

    #[test]
    fn hosts_and_gpus_are_a_line_each_in_the_same_columns() {
        let hung = GpuView {
            name: "Another GPU\u{1b}[2J".to_owned(),
            utilization_percent: Err("stale".to_owned()),
            memory_used: Err("stale".to_owned()),
            memory_total: Err("stale".to_owned()),
            power_limit_w: Err("unsupported".to_owned()),
            temperature_c: Ok(0.0),
            throttle: Vec::new(),
            ..gpu("10")
        };
        let hosts = [
            view("gpu-1", Ok(host(Ok(vec![gpu("0"), hung])))),
            view("gpu-2", Err("unreachable: connection refused".to_owned())),
            view("gpu-3", Ok(HostState { load: Err("-".to_owned()), ..host(Err("no driver".to_owned())) })),
            view("gpu-4", Ok(host(Ok(Vec::new())))),
        ];
        assert_eq!(
            frame("title", &hosts),
            "title

gpu-1   cpu 12.3 %   memory 3.0 of 16.0 GiB   load 0.50
  GPU  NAME              UTIL          MEMORY           POWER  TEMP  SM CLOCK  HELD DOWN BY
  0    Some GPU          75 %  6.0 of 8.0 GiB  250.5 of 400 W  61 C  1410 MHz  sw_power_cap
  10   Another GPU?[2J  stale           stale         250.5 W   0 C  1410 MHz

gpu-2   unreachable: connection refused

gpu-3   cpu 12.3 %   memory 3.0 of 16.0 GiB   load -
  GPUs cannot be read: no driver

gpu-4   cpu 12.3 %   memory 3.0 of 16.0 GiB   load 0.50   no GPU
"
        );
    }
}
