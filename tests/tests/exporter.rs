//! A Prometheus server that nobody here wrote reads an agent, and tells what the agent read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fluxfleet_agent::collect::{GpuCollector, all_absent};
use fluxfleet_agent::testing::{ScriptedCollector, device};
use fluxfleet_agent::{Config, GpuSource, MetricsPort};
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, GpuUuid, Occasion};
use fluxfleet_tests::prometheus::Prometheus;
use fluxfleet_tests::real::set_up;
use tokio_util::sync::CancellationToken;

/// Two GPUs, of which one can be lost.
struct Gpus {
    scripted: ScriptedCollector,
    lost: Arc<AtomicBool>,
}

impl GpuCollector for Gpus {
    fn devices(&self) -> Result<Vec<Device>, Absence> {
        self.scripted.devices()
    }

    fn read(&self, uuid: &GpuUuid, occasion: Occasion) -> GpuReading {
        if uuid.0 == "GPU-b" && self.lost.load(Ordering::Relaxed) {
            return all_absent(uuid.clone(), occasion, &Absence::new(AbsenceReason::Lost, "off the bus"));
        }
        self.scripted.read(uuid, occasion)
    }
}

/// An agent of these GPUs that only Prometheus reads.
struct Agent {
    addr: SocketAddr,
    cancel: CancellationToken,
    thread: JoinHandle<()>,
}

impl Agent {
    fn start(gpus: Gpus) -> Self {
        let cancel = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let cancelled = cancel.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let port = MetricsPort::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
                tell.send(port.addr()).expect("a test that waits");
                let gpus = GpuSource::Custom(Box::new(gpus));
                let config = Config { host: "gpu-1".to_owned(), gpus, ..Config::alone(port) };
                fluxfleet_agent::run(config, cancelled).await.expect("an orderly end");
            });
        });
        Self { addr: told.recv().expect("an agent"), cancel, thread }
    }

    fn end(self) {
        self.cancel.cancel();
        self.thread.join().expect("an agent that did not panic");
    }
}

#[test]
fn prometheus_tells_what_the_agent_read_and_forgets_what_is_lost() {
    set_up();
    let lost = Arc::new(AtomicBool::new(false));
    let b = Device { index: 1, ..device("GPU-b") };
    let scripted = ScriptedCollector::new(Ok(vec![device("GPU-a"), b]));
    let agent = Agent::start(Gpus { scripted, lost: Arc::clone(&lost) });
    let prometheus = Prometheus::scraping(agent.addr);

    // The slow lane comes to each GPU in two seconds.
    prometheus.query_until("count(fluxfleet_gpu_pcie_width) == 2", |found| !found.is_empty());
    for (expression, value) in [
        ("up", 1.0),
        ("fluxfleet_gpus", 2.0),
        ("DCGM_FI_DEV_GPU_UTIL{gpu='1',UUID='GPU-b',modelName='Scripted GPU',hostname='gpu-1'}", 75.0),
        ("DCGM_FI_DEV_POWER_USAGE{device='nvidia0'}", 250.5),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu='0'} / 1000", 1e6),
        ("sum(fluxfleet_gpu_memory_used_bytes)", 12e9),
        ("avg(fluxfleet_gpu_utilization_ratio)", 0.75),
        ("fluxfleet_gpu_throttled{uuid='GPU-a',reason='sw_power_cap'}", 1.0),
    ] {
        let found = prometheus.query(expression);
        assert_eq!(found.iter().map(|series| series.value).collect::<Vec<_>>(), [value], "{expression}");
    }
    let memory = prometheus.query("node_memory_MemTotal_bytes > bool 0");
    assert_eq!(memory.first().map(|series| series.value), Some(1.0));
    assert!(prometheus.query("fluxfleet_gpu_reading_absent").is_empty());

    lost.store(true, Ordering::Relaxed);
    let left = prometheus.query_until("DCGM_FI_DEV_GPU_UTIL", |found| found.len() == 1);
    assert_eq!(left[0].labels["UUID"], "GPU-a");
    let reasons = prometheus.query("fluxfleet_gpu_reading_absent{uuid='GPU-b',metric='utilization_percent'}");
    assert_eq!(reasons[0].labels["reason"], "lost");
    agent.end();
    prometheus.query_until("up == 0", |found| !found.is_empty());
}
