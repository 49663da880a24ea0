//! What Prometheus gets to read from an agent, line by line.

mod support;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use fluxfleet_agent::collect::Calls;
use fluxfleet_agent::testing::{ScriptedCollector, Step, device, gate, reading};
use fluxfleet_agent::{Config, GpuCollector, GpuSource, MetricsPort};
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::message::AgentCommand;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuEvent, GpuEventKind, GpuReading, GpuUuid, Occasion,
};
use fluxfleet_proto::units::Micros;
use support::scrape::{Scrape, get, scrape, scrape_until};
use support::{Agent, Coordinator};

/// GPUs from a script, with calls that took time and an error of the driver.
struct Driver {
    gpus: ScriptedCollector,
    events: Mutex<Vec<GpuEvent>>,
}

impl Driver {
    fn new(gpus: ScriptedCollector) -> Self {
        Self { gpus, events: Mutex::default() }
    }
}

impl GpuCollector for Driver {
    fn devices(&self) -> Result<Vec<Device>, Absence> {
        self.gpus.devices()
    }

    fn read(&self, uuid: &GpuUuid, occasion: Occasion) -> GpuReading {
        self.gpus.read(uuid, occasion)
    }

    fn calls(&self) -> Calls {
        let mut power = Latency::new();
        for us in [20, 40, 3_000] {
            power.record(Micros(us));
        }
        Calls::from([("power", power)])
    }

    fn events(&self) -> Vec<GpuEvent> {
        std::mem::take(&mut *self.events.lock().expect("no panics"))
    }
}

fn two_gpus() -> ScriptedCollector {
    let b = Device { index: 1, pci_bus: "00000000:3B:00.0".to_owned(), ..device("GPU-b") };
    ScriptedCollector::new(Ok(vec![device("GPU-a"), b]))
}

async fn agent(coordinator: Option<&str>, gpus: impl GpuCollector + 'static) -> (SocketAddr, Agent) {
    let port = MetricsPort::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let addr = port.addr();
    let config = Config {
        coordinator: coordinator.map(str::to_owned),
        host: "gpu-1".to_owned(),
        gpus: GpuSource::Custom(Box::new(gpus)),
        ..Config::alone(port)
    };
    (addr, Agent::run(config))
}

async fn end(agent: Agent) {
    agent.cancel.cancel();
    agent.ended().await.expect("an orderly end");
}

/// Whether the slow lane has come to both GPUs, the last of all.
fn complete(scrape: &Scrape) -> bool {
    scrape.values("fluxfleet_gpu_pcie_width", &[]).len() == 2
        && scrape.kind("fluxfleet_agent_gpu_call_seconds").is_some()
}

#[tokio::test]
async fn an_agent_alone_serves_gpus_under_the_names_of_dcgm() {
    let driver = Driver::new(two_gpus());
    let xid = GpuEvent { uuid: Some(GpuUuid("GPU-b".to_owned())), kind: GpuEventKind::Xid(79) };
    driver.events.lock().unwrap().push(xid);
    let (addr, agent) = agent(None, driver).await;
    let scrape = scrape_until(addr, complete).await;
    let mib = 1024.0 * 1024.0;
    for (name, kind, value) in [
        ("DCGM_FI_DEV_GPU_UTIL", "gauge", 75.0),
        ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", 1.0),
        ("DCGM_FI_DEV_FB_USED", "gauge", 6e9 / mib),
        ("DCGM_FI_DEV_FB_FREE", "gauge", (8e9 - 6e9 - 1.0) / mib),
        ("DCGM_FI_DEV_FB_RESERVED", "gauge", 1.0 / mib),
        ("DCGM_FI_DEV_POWER_USAGE", "gauge", 250.5),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", 1e9),
        ("DCGM_FI_DEV_GPU_TEMP", "gauge", 61.0),
        ("DCGM_FI_DEV_SM_CLOCK", "gauge", 1410.0),
        ("DCGM_FI_DEV_MEM_CLOCK", "gauge", 1.0),
        ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", 1.0),
    ] {
        assert_eq!(scrape.kind(name), Some(kind), "{name}");
        for uuid in ["GPU-a", "GPU-b"] {
            assert_eq!(scrape.value(name, &[("UUID", uuid)]), Some(value), "{name}");
        }
    }
    let labels = [
        ("gpu", "1"),
        ("UUID", "GPU-b"),
        ("pci_bus_id", "00000000:3B:00.0"),
        ("device", "nvidia1"),
        ("modelName", "Scripted GPU"),
        ("hostname", "gpu-1"),
    ];
    assert_eq!(scrape.value("DCGM_FI_DEV_POWER_USAGE", &labels), Some(250.5));
    assert_eq!(scrape.values("DCGM_FI_DEV_XID_ERRORS", &[]), [79.0], "of the one that had an error");
    assert_eq!(scrape.value("DCGM_FI_DEV_XID_ERRORS", &labels), Some(79.0));
    assert_eq!(
        scrape.value("fluxfleet_gpu_xid_errors_total", &[("uuid", "GPU-b"), ("xid", "79")]),
        Some(1.0)
    );
    end(agent).await;
}

#[tokio::test]
async fn every_number_of_a_gpu_is_served_in_base_units() {
    let (addr, agent) = agent(None, Driver::new(two_gpus())).await;
    let scrape = scrape_until(addr, complete).await;
    let b = [("gpu", "1"), ("uuid", "GPU-b")];
    for (name, kind, value) in [
        ("utilization_ratio", "gauge", 0.75),
        ("memory_used_bytes", "gauge", 6e9),
        ("memory_total_bytes", "gauge", 8e9),
        ("power_watts", "gauge", 250.5),
        ("power_instant_watts", "gauge", 1.0),
        ("energy_joules_total", "counter", 1e6),
        ("temperature_celsius", "gauge", 61.0),
        ("sm_clock_hertz", "gauge", 1.41e9),
        ("pcie_received_bytes_per_second", "gauge", 1.0),
        ("ecc_uncorrected_total", "counter", 1.0),
    ] {
        let name = format!("fluxfleet_gpu_{name}");
        assert_eq!(scrape.kind(&name), Some(kind), "{name}");
        assert_eq!(scrape.value(&name, &b), Some(value), "{name}");
    }
    assert_eq!(scrape.value("fluxfleet_gpus", &[]), Some(2.0));
    assert_eq!(scrape.value("fluxfleet_gpu_throttled", &[b[0], b[1], ("reason", "sw_power_cap")]), Some(1.0));
    let families = GpuMetric::ALL.iter().filter(|metric| {
        let stem = metric.name().rsplit_once('_').map_or(metric.name(), |(stem, _)| stem);
        scrape.text.contains(&format!("# TYPE fluxfleet_gpu_{stem}"))
    });
    assert_eq!(families.count(), GpuMetric::ALL.len(), "one is missing in\n{}", scrape.text);
    assert_eq!(scrape.kind("fluxfleet_gpu_reading_absent"), None, "nothing is absent");
    end(agent).await;
}

#[tokio::test]
async fn the_host_and_the_agent_are_served_beside_the_gpus() {
    let (addr, agent) = agent(None, Driver::new(two_gpus())).await;
    let scrape = scrape_until(addr, |s| complete(s) && s.kind("fluxfleet_host_cpu_ratio").is_some()).await;
    assert!(scrape.value("node_memory_MemTotal_bytes", &[]) > Some(0.0));
    assert!(scrape.value("node_load1", &[]).is_some());
    assert!(scrape.value("fluxfleet_host_cpu_ratio", &[]).is_some_and(|ratio| (0.0..=1.0).contains(&ratio)));
    assert!(scrape.value("fluxfleet_host_memory_total_bytes", &[]) > Some(0.0));
    assert_eq!(scrape.kind("fluxfleet_agent_samples_taken_total"), Some("counter"));
    assert!(scrape.value("fluxfleet_agent_samples_taken_total", &[]) >= Some(3.0));
    assert_eq!(scrape.kind("fluxfleet_agent_cpu_seconds_total"), Some("counter"));
    assert!(scrape.value("fluxfleet_agent_cpu_seconds_total", &[]) > Some(0.0));
    assert!(scrape.value("fluxfleet_agent_resident_memory_bytes", &[]) > Some(0.0));
    assert_eq!(scrape.value("fluxfleet_agent_info", &[("host", "gpu-1")]), Some(1.0));
    // Without a coordinator nothing waits for it, and no zero says so.
    assert_eq!(scrape.kind("fluxfleet_agent_samples_unconfirmed"), None);

    let call = "fluxfleet_agent_gpu_call_seconds";
    assert_eq!(scrape.kind(call), Some("histogram"));
    let bucket = |le| scrape.value(&format!("{call}_bucket"), &[("call", "power"), ("le", le)]);
    assert_eq!(
        ["0.00001", "0.000025", "0.00005", "0.0025", "0.005", "+Inf"].map(bucket),
        [Some(0.0), Some(1.0), Some(2.0), Some(2.0), Some(3.0), Some(3.0)]
    );
    assert_eq!(scrape.value(&format!("{call}_count"), &[("call", "power")]), Some(3.0));
    assert_eq!(scrape.value(&format!("{call}_sum"), &[("call", "power")]), Some(0.00306));
    end(agent).await;
}

#[tokio::test]
async fn a_reading_that_is_absent_has_no_line_but_a_reason() {
    let mut partly = reading("GPU-a");
    let mut absent = |metric, reason| partly.values.set(metric, Err(Absence::new(reason, "x")));
    absent(GpuMetric::MemoryReservedBytes, AbsenceReason::Unsupported);
    absent(GpuMetric::UtilizationPercent, AbsenceReason::Denied);
    partly.throttle = Some(Err(Absence::new(AbsenceReason::Error, "x")));
    partly.values.set(GpuMetric::TemperatureC, Ok(0.0));
    let one = ScriptedCollector::new(Ok(vec![device("GPU-a")]));
    let script = (0..1000).fold(one, |script, _| script.then(Step::Read(Box::new(partly.clone()))));
    let (addr, agent) = agent(None, script).await;
    let scrape = scrape_until(addr, |scrape| scrape.kind("fluxfleet_gpu_reading_absent").is_some()).await;
    for name in [
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_FB_RESERVED",
        // It would need all three.
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_XID_ERRORS",
        "fluxfleet_gpu_utilization_ratio",
        "fluxfleet_gpu_memory_reserved_bytes",
        "fluxfleet_gpu_throttled",
    ] {
        assert_eq!(scrape.kind(name), None, "{name}");
    }
    assert_eq!(scrape.value("DCGM_FI_DEV_GPU_TEMP", &[]), Some(0.0), "zero is a measured zero");
    for (metric, reason) in
        [("memory_reserved_bytes", "unsupported"), ("utilization_percent", "denied"), ("throttle", "error")]
    {
        let labels = [("uuid", "GPU-a"), ("metric", metric), ("reason", reason)];
        assert_eq!(scrape.value("fluxfleet_gpu_reading_absent", &labels), Some(1.0), "{metric}");
    }
    end(agent).await;
}

#[tokio::test]
async fn the_values_of_a_gpu_that_hangs_disappear_and_the_others_stay() {
    let (_never_opened, closed) = gate();
    let script = two_gpus().then(Step::Read(Box::new(reading("GPU-a"))));
    let script = script.then(Step::Read(Box::new(reading("GPU-b")))).then(Step::Hang(closed));
    let (addr, agent) = agent(None, script).await;
    let util = |scrape: &Scrape, uuid| scrape.value("DCGM_FI_DEV_GPU_UTIL", &[("UUID", uuid)]);
    let scrape = scrape_until(addr, |s| util(s, "GPU-a").is_none() && util(s, "GPU-b").is_some()).await;
    let labels = [("uuid", "GPU-a"), ("metric", "utilization_percent"), ("reason", "stale")];
    assert_eq!(scrape.value("fluxfleet_gpu_reading_absent", &labels), Some(1.0), "{}", scrape.text);
    end(agent).await;
}

#[tokio::test]
async fn whatever_a_gpu_is_called_the_page_can_be_read() {
    let name = "a \"GPU\" of C:\\ and\nmore";
    let odd = ScriptedCollector::new(Ok(vec![Device::new("GPU-\"a", name)]));
    let (addr, agent) = agent(None, odd).await;
    let scrape = scrape_until(addr, |scrape| scrape.kind("DCGM_FI_DEV_GPU_UTIL").is_some()).await;
    let labels = scrape.labels("DCGM_FI_DEV_GPU_UTIL").unwrap();
    assert_eq!((labels["modelName"].as_str(), labels["UUID"].as_str()), (name, "GPU-\"a"));
    end(agent).await;
}

#[tokio::test]
async fn a_host_whose_gpus_cannot_be_seen_serves_the_reason_and_its_system() {
    let why = Absence::new(AbsenceReason::Unsupported, "no NVML library found");
    let (addr, agent) = agent(None, ScriptedCollector::new(Err(why))).await;
    let scrape = scrape_until(addr, |s| s.kind("fluxfleet_host_memory_used_bytes").is_some()).await;
    assert_eq!(scrape.value("fluxfleet_gpus_absent", &[("reason", "unsupported")]), Some(1.0));
    assert!(!scrape.text.contains("DCGM_FI") && scrape.kind("fluxfleet_gpus").is_none(), "{}", scrape.text);
    end(agent).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (addr, agent) = agent(None, two_gpus()).await;
    let (head, _) = get(addr, "/nothing").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    let (head, body) = get(addr, "/").await;
    assert!(head.starts_with("http/1.1 200") && body.contains("/metrics"), "{head}");
    end(agent).await;
}

#[tokio::test]
async fn beside_the_stream_readings_are_served_before_the_coordinator_asks_and_after() {
    let mut coordinator = Coordinator::start().await;
    let (addr, agent) = agent(Some(&coordinator.address), two_gpus()).await;
    let (mut stream, hello) = coordinator.greeted().await;
    assert_eq!(hello.host, "gpu-1");
    let before = scrape_until(addr, |scrape| scrape.kind("DCGM_FI_DEV_GPU_UTIL").is_some()).await;
    assert_eq!(before.value("fluxfleet_agent_samples_unconfirmed", &[]), Some(0.0));

    stream.welcome().await;
    let first = stream.one_sample().await;
    assert_eq!(first.seq, 0, "what was taken before does not count");
    assert_eq!(first.gpus, [reading("GPU-a"), reading("GPU-b")]);
    let unconfirmed = |scrape: &Scrape| scrape.value("fluxfleet_agent_samples_unconfirmed", &[]);
    let waiting = scrape_until(addr, |scrape| unconfirmed(scrape) == Some(1.0)).await;
    assert_eq!(waiting.value("fluxfleet_agent_samples_lost_total", &[]), Some(0.0));
    stream.tell(AgentCommand::Ack(first.seq)).await;
    scrape_until(addr, |scrape| unconfirmed(scrape) == Some(0.0)).await;
    assert_eq!(stream.one_sample().await.seq, 1);
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn readings_are_served_while_the_coordinator_is_not_there_yet() {
    // Bound but not listening: every try is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (addr, agent) = agent(Some(&socket.local_addr().unwrap().to_string()), two_gpus()).await;
    scrape_until(addr, |scrape| scrape.kind("DCGM_FI_DEV_GPU_UTIL").is_some()).await;
    end(agent).await;
}

#[tokio::test]
async fn a_reader_that_stays_silent_keeps_nobody_else_from_reading() {
    let (addr, agent) = agent(None, two_gpus()).await;
    let _silent = tokio::net::TcpStream::connect(addr).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(30), scrape(addr)).await.is_ok());
    end(agent).await;
}
