//! The host on a paused clock, without HTTP.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use super::*;
use crate::counters::CounterSnapshot;
use crate::jobs::Status;

const SHAPE: Shape = Shape { steps: 25, pixels: 512 * 512, images: 1 };

/// A host whose GPUs are driven, as a server's are.
struct Driven {
    host: Arc<Host>,
    stop: CancellationToken,
    _drivers: JoinSet<()>,
}

impl Driven {
    fn new(config: SimConfig) -> Self {
        config.validate().expect("the test's configuration is valid");
        let stop = CancellationToken::new();
        let gpus = VirtualGpus::new(&config, Instant::now());
        let host = Arc::new(Host::new(config, gpus, Arc::default(), stop.clone()));
        let drivers = host.drive();
        Self { host, stop, _drivers: drivers }
    }

    fn counts(&self) -> CounterSnapshot {
        self.host.counters().snapshot()
    }

    fn status(&self, id: &RequestId) -> Option<Status> {
        self.host.job(id, |job| job.status)
    }

    fn spawn(&self, requests: &mut JoinSet<Result<Made, Refusal>>, endpoint: Endpoint, images: u32) {
        let host = Arc::clone(&self.host);
        requests.spawn(async move { host.make(endpoint, Shape { images, ..SHAPE }).await });
    }
}

fn one_gpu() -> SimConfig {
    SimConfig {
        gpus: 1,
        pool_size: 1,
        queue_capacity: 1,
        base_service: Duration::from_secs(1),
        jitter: 0.0,
        ..SimConfig::default()
    }
}

fn image() -> ImageSpec {
    ImageSpec { prompt: "a cat".into(), steps: 25, guidance_scale: 3.5, width: 512, height: 512, seed: None }
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_runs_completes_and_is_forgotten() {
    let config = SimConfig { finished_jobs_ttl: Duration::from_secs(10), ..one_gpu() };
    let driven = Driven::new(config);
    let first = driven.host.submit_job(image()).expect("room");
    let second = driven.host.submit_job(image()).expect("room");
    assert_eq!(driven.host.submit_job(image()), Err(Refusal::Full));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(driven.status(&first), Some(Status::Processing));
    assert_eq!(driven.status(&second), Some(Status::Pending));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(driven.status(&first), Some(Status::Completed), "it ends after 0.8 s, without saving");
    assert_eq!(driven.status(&second), Some(Status::Processing));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(driven.status(&first), None);
    assert_eq!(driven.status(&second), Some(Status::Completed));
    let counts = driven.counts();
    assert_eq!((counts.items_admitted, counts.items_completed, counts.rejected_full), (2, 2, 1));
    assert_eq!(counts.items_completed_by_endpoint["/async-generate"], 2);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_finished_jobs_are_kept() {
    let config = SimConfig { finished_jobs_kept: 2, queue_capacity: 3, ..one_gpu() };
    let driven = Driven::new(config);
    let ids: Vec<_> = (0..4).map(|_| driven.host.submit_job(image()).expect("room")).collect();
    sleep(Duration::from_secs(10)).await;
    let kept: Vec<bool> = ids.iter().map(|id| driven.status(id).is_some()).collect();
    assert_eq!(kept, [false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_when_it_ends() {
    let driven = Driven::new(one_gpu());
    let running = driven.host.submit_job(image()).expect("room");
    let waiting = driven.host.submit_job(image()).expect("room");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(driven.host.cancel_job(&waiting), Cancel::Dropped);
    assert_eq!(driven.status(&waiting), Some(Status::Cancelled));
    assert_eq!(driven.host.cancel_job(&waiting), Cancel::Over(Status::Cancelled));
    assert!(matches!(driven.host.cancel_job(&running), Cancel::Requested(_)));
    assert_eq!(driven.status(&running), Some(Status::Processing));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(driven.status(&running), Some(Status::Cancelled));
    let unknown = RequestId("no such job".into());
    assert_eq!(driven.host.cancel_job(&unknown), Cancel::Unknown);
    let counts = driven.counts();
    assert_eq!((counts.items_cancelled, counts.items_completed, counts.items_in_progress), (2, 0, 0));
    assert_eq!((counts.running, counts.queue_depth), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_frees_its_place_or_runs_for_nobody() {
    let driven = Driven::new(one_gpu());
    let mut running = JoinSet::new();
    let mut waiting = JoinSet::new();
    driven.spawn(&mut running, Endpoint::BatchGenerate, 4);
    sleep(Duration::from_millis(10)).await;
    driven.spawn(&mut waiting, Endpoint::Generate, 1);
    sleep(Duration::from_millis(10)).await;
    assert_eq!((driven.counts().running, driven.counts().queue_depth), (1, 1));
    waiting.shutdown().await;
    assert_eq!((driven.counts().running, driven.counts().queue_depth), (1, 0));
    running.shutdown().await;
    let counts = driven.counts();
    assert_eq!((counts.items_abandoned, counts.items_in_progress), (5, 0));
    assert_eq!(counts.running, 1, "what runs goes on");
    sleep(Duration::from_secs(5)).await;
    let counts = driven.counts();
    assert_eq!((counts.running, counts.items_abandoned, counts.items_completed), (0, 5, 0));
    assert!(lock(&driven.host.waiting).is_empty());
}

#[tokio::test(start_paused = true)]
async fn thousands_wait_and_every_item_ends_once() {
    let config = SimConfig {
        queue_capacity: 4_000,
        fail_share: 0.25,
        base_service: Duration::from_millis(1),
        ..SimConfig::default()
    };
    let driven = Driven::new(config);
    let mut requests = JoinSet::new();
    for _ in 0..10_000 {
        driven.spawn(&mut requests, Endpoint::Generate, 1);
    }
    let (mut made, mut failed, mut full) = (0, 0, 0);
    for answer in requests.join_all().await {
        match answer {
            Ok(_) => made += 1,
            Err(Refusal::Failed) => failed += 1,
            Err(Refusal::Full) => full += 1,
            Err(Refusal::Stopping) => panic!("nobody stops it"),
        }
    }
    let counts = driven.counts();
    assert_eq!((made, failed), (counts.items_completed, counts.items_failed));
    assert_eq!((full, made + failed), (counts.rejected_full, counts.items_admitted));
    assert!(full > 0 && full <= 10_000 - 8_012, "two queues of 4000 and two pools of 6 fill up: {full}");
    assert!(failed > made / 4 && failed < made / 2, "a quarter fails: {failed} of {}", made + failed);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stops_lets_go_of_whoever_waits() {
    let driven = Driven::new(one_gpu());
    let mut requests = JoinSet::new();
    driven.spawn(&mut requests, Endpoint::Generate, 1);
    sleep(Duration::from_millis(10)).await;
    driven.stop.cancel();
    assert_eq!(requests.join_all().await[0].as_ref().err(), Some(&Refusal::Stopping));
    assert_eq!(driven.counts().items_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn the_gpus_instruments_follow_the_load() {
    let config = SimConfig { gpus: 2, queue_capacity: 100, ..one_gpu() };
    let driven = Driven::new(config);
    let gpus = driven.host.gpus.clone();
    advance(Duration::from_secs(5)).await;
    let idle = gpus.read();
    assert!(idle.iter().all(|gpu| gpu.utilization_percent.abs() < f64::EPSILON));
    assert!((idle[0].energy_j - 275.0).abs() < 1e-6, "5 s at 55 W");

    let mut requests = JoinSet::new();
    for _ in 0..40 {
        driven.spawn(&mut requests, Endpoint::Generate, 1);
    }
    let mut last = idle.clone();
    let mut utilization = 0.0;
    for _ in 0..80 {
        sleep(Duration::from_millis(250)).await;
        let now = gpus.read();
        for (before, after) in last.iter().zip(&now) {
            let joules = after.energy_j - before.energy_j;
            assert!((0.25 * 54.9..=0.26 * 400.0).contains(&joules), "{joules} J in a quarter of a second");
        }
        utilization += now[0].utilization_percent / 80.0;
        last = now;
    }
    assert!((utilization - 68.0).abs() < 2.0, "a pool of one denoises 68 % of the time: {utilization}");
    assert!(last[0].temperature_c > idle[0].temperature_c + 10.0);
    requests.join_all().await;
    sleep(Duration::from_secs(1)).await;
    let rest = gpus.read();
    assert!(rest.iter().all(|gpu| gpu.utilization_percent.abs() < f64::EPSILON));
    assert_eq!(rest[0].throttle, ["gpu_idle"]);
}
