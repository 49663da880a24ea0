//! What an agent's page says of its host.

use fluxfleet_top::{GpuView, HostState, HostView, Shown};

use super::page::{Page, Sample};

/// The host whose agent at this address served the page.
pub(super) fn host(address: &str, page: &Page) -> HostView {
    let Some(agent) = page.first("fluxfleet_agent_info", &[]) else {
        let why = "what answers is no fluxfleet-agent; is that an agent's --metrics?";
        return HostView { name: address.to_owned(), state: Err(why.to_owned()) };
    };
    let gpus = match page.first("fluxfleet_gpus_absent", &[]) {
        Some(absent) => Err(format!("{}; fluxfleet-agent probe says more there", absent.label("reason"))),
        None => Ok(page.all("fluxfleet_gpu_info", &[]).into_iter().map(|info| gpu(page, info)).collect()),
    };
    let state = HostState {
        cpu_percent: of_host(page, "cpu_ratio", "cpu_percent").map(|ratio| ratio * 100.0),
        memory_used: of_host(page, "memory_used_bytes", "memory_used_bytes"),
        memory_total: of_host(page, "memory_total_bytes", "memory_total_bytes"),
        load: page.value("node_load1", &[]).ok_or_else(|| "-".to_owned()),
        gpus,
    };
    HostView { name: format!("{} ({address})", agent.label("host")), state: Ok(state) }
}

fn of_host(page: &Page, name: &str, metric: &str) -> Shown {
    let absent = || page.first("fluxfleet_host_reading_absent", &[("metric", metric)]);
    shown(page.value(&format!("fluxfleet_host_{name}"), &[]), absent)
}

fn gpu(page: &Page, info: &Sample) -> GpuView {
    let uuid = ("uuid", info.label("uuid"));
    let of = |name: &str, metric: &str| {
        let absent = || page.first("fluxfleet_gpu_reading_absent", &[uuid, ("metric", metric)]);
        shown(page.value(&format!("fluxfleet_gpu_{name}"), &[uuid]), absent)
    };
    let throttled = page.all("fluxfleet_gpu_throttled", &[uuid]);
    GpuView {
        index: info.label("gpu").to_owned(),
        name: info.label("name").to_owned(),
        utilization_percent: of("utilization_ratio", "utilization_percent").map(|ratio| ratio * 100.0),
        memory_used: of("memory_used_bytes", "memory_used_bytes"),
        memory_total: of("memory_total_bytes", "memory_total_bytes"),
        power_w: of("power_watts", "power_w"),
        power_limit_w: of("power_limit_watts", "power_limit_w"),
        temperature_c: of("temperature_celsius", "temperature_c"),
        sm_clock_mhz: of("sm_clock_hertz", "sm_clock_mhz").map(|hertz| hertz / 1e6),
        throttle: throttled.iter().map(|sample| sample.label("reason").to_owned()).collect(),
    }
}

/// A number, or its reason in a word; a dash for what is not told.
fn shown<'a>(value: Option<f64>, absent: impl FnOnce() -> Option<&'a Sample>) -> Shown {
    value.ok_or_else(|| absent().map_or("-", |sample| sample.label("reason")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_the_hosts_view_with_reasons_for_what_is_absent() {
        let page = Page::parse(
            "fluxfleet_agent_info{version=\"1\",host=\"gpu-1\"} 1\n\
             fluxfleet_host_cpu_ratio 0.125\n\
             fluxfleet_host_reading_absent{metric=\"memory_used_bytes\",reason=\"denied\"} 1\n\
             fluxfleet_gpu_info{gpu=\"0\",uuid=\"a\",name=\"Some GPU\"} 1\n\
             fluxfleet_gpu_info{gpu=\"1\",uuid=\"b\",name=\"Some GPU\"} 1\n\
             fluxfleet_gpu_utilization_ratio{gpu=\"0\",uuid=\"a\"} 0.75\n\
             fluxfleet_gpu_sm_clock_hertz{gpu=\"0\",uuid=\"a\"} 1410000000\n\
             fluxfleet_gpu_throttled{gpu=\"0\",uuid=\"a\",reason=\"sw_power_cap\"} 1\n\
             fluxfleet_gpu_reading_absent{uuid=\"b\",metric=\"utilization_percent\",reason=\"lost\"} 1\n",
        );
        let HostView { name, state } = host("h:9400", &page);
        let state = state.unwrap();
        assert_eq!(name, "gpu-1 (h:9400)");
        assert_eq!(state.cpu_percent, Ok(12.5));
        assert_eq!((state.memory_used, state.memory_total), (Err("denied".to_owned()), Err("-".to_owned())));
        let gpus = state.gpus.unwrap();
        assert_eq!(
            (gpus[0].utilization_percent.clone(), gpus[0].sm_clock_mhz.clone()),
            (Ok(75.0), Ok(1410.0))
        );
        assert_eq!(gpus[0].throttle, ["sw_power_cap"]);
        assert_eq!(gpus[1].utilization_percent, Err("lost".to_owned()));
        assert!(gpus[1].throttle.is_empty());
    }

    #[test]
    fn gpus_that_cannot_be_seen_and_pages_of_others_say_so() {
        let text = "fluxfleet_agent_info{host=\"h\"} 1\nfluxfleet_gpus_absent{reason=\"unsupported\"} 1\n";
        let why = host("h:1", &Page::parse(text)).state.unwrap().gpus.unwrap_err();
        assert!(why.starts_with("unsupported; "), "{why}");
        let other = host("h:1", &Page::parse("node_load1 1\n")).state.unwrap_err();
        assert!(other.contains("no fluxfleet-agent"), "{other}");
    }
}
