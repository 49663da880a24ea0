//! The host under load over real HTTP: its queue, its counts, its clients that leave, and its end.

use std::time::Duration;

use crate::support::{FOREVER, Served, any_port};
use fluxfleet_sim::{Sim, SimConfig, SimError, WhenFull};
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn prompt() -> Value {
    json!({"prompt": "a cat"})
}

/// One GPU with one instance that never finishes, and room for one request that waits.
fn stuck() -> SimConfig {
    SimConfig { gpus: 1, pool_size: 1, queue_capacity: 1, base_service: FOREVER, ..SimConfig::default() }
}

#[tokio::test]
async fn a_full_queue_answers_500_and_says_so() {
    let sim = Served::start(stuck()).await;
    sim.submit(&prompt()).await;
    sim.submit(&prompt()).await;
    for path in ["/generate", "/async-generate"] {
        let (status, answer) = sim.post(path, &prompt()).await;
        assert_eq!(status, 500);
        assert!(answer["detail"].as_str().expect("a detail").starts_with("Queue is full"));
    }
    let (_, stats) = sim.get("/queue-stats").await;
    assert_eq!((&stats["rejected_full"], &stats["items_admitted"]), (&json!(2), &json!(2)));
    assert_eq!((&stats["queue_depth"], &stats["running"]), (&json!(1), &json!(1)));
    sim.stop().await;
}

#[tokio::test]
async fn a_full_queue_can_answer_503_with_retry_after() {
    let when_full = WhenFull::Unavailable { retry_after_s: 7 };
    let sim = Served::start(SimConfig { queue_capacity: 0, when_full, ..stuck() }).await;
    sim.submit(&prompt()).await;
    let response = sim.send("/generate", &prompt()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
    sim.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_to_the_next() {
    let sim = Served::start(stuck()).await;
    let running = sim.post_in_background("/batch-generate", &json!({"prompts": ["a", "b"]}));
    sim.counts("one runs", |counts| counts.running == 1).await;
    let waiting = sim.post_in_background("/generate", &prompt());
    sim.counts("one waits", |counts| counts.queue_depth == 1).await;
    assert_eq!(sim.post("/generate", &prompt()).await.0, 500);

    waiting.abort();
    let counts = sim.counts("it left the queue", |counts| counts.queue_depth == 0).await;
    assert_eq!((counts.items_abandoned, counts.running), (1, 1));
    let next = sim.post_in_background("/generate", &prompt());
    sim.counts("the next one waits", |counts| counts.queue_depth == 1).await;

    running.abort();
    let counts = sim.counts("the batch is abandoned", |counts| counts.items_abandoned == 3).await;
    assert_eq!((counts.running, counts.items_in_progress, counts.items_completed), (1, 1, 0));
    next.abort();
    sim.stop().await;
}

#[tokio::test]
async fn the_hosts_counts_are_those_of_its_clients() {
    let config = SimConfig {
        base_service: Duration::from_millis(2),
        fail_share: 0.2,
        queue_capacity: 1000,
        ..SimConfig::default()
    };
    let sim = Served::start(config).await;
    let mut requests = JoinSet::new();
    for index in 0..90_u64 {
        let batch = json!({"prompts": ["a", "b", "c"]});
        let (path, body, items) =
            if index % 3 == 0 { ("/batch-generate", batch, 3) } else { ("/generate", prompt(), 1) };
        let answer = sim.post_in_background(path, &body);
        requests.spawn(async move { (path, items, answer.await.expect("it is not aborted").0) });
    }
    let mut jobs = Vec::new();
    for _ in 0..30 {
        jobs.push(sim.submit(&prompt()).await);
    }
    let answers = requests.join_all().await;
    let sum = |wanted_path: Option<&str>, wanted_status: u16| -> u64 {
        let wanted = answers
            .iter()
            .filter(|(path, _, status)| wanted_path.is_none_or(|p| p == *path) && *status == wanted_status);
        wanted.map(|(_, items, _)| *items).sum()
    };
    let (mut completed, mut failed) = (0, 0);
    for status_url in jobs {
        match sim.ended(&status_url).await["status"].as_str() {
            Some("completed") => completed += 1,
            Some("failed") => failed += 1,
            other => panic!("{other:?}"),
        }
    }

    let counts = sim.counters.snapshot();
    let by_endpoint = &counts.items_completed_by_endpoint;
    assert_eq!(by_endpoint["/generate"], sum(Some("/generate"), 200));
    assert_eq!(by_endpoint["/batch-generate"], sum(Some("/batch-generate"), 200));
    assert_eq!(by_endpoint["/async-generate"], completed);
    assert_eq!(counts.items_completed, by_endpoint.values().sum::<u64>());
    assert_eq!(counts.items_failed, sum(None, 500) + failed);
    assert!(counts.items_failed > 0);
    assert_eq!(counts.items_admitted, 60 + 90 + 30);
    assert_eq!(counts.items_admitted, counts.items_completed + counts.items_failed);
    assert_eq!((counts.items_in_progress, counts.queue_depth, counts.running), (0, 0, 0));
    assert_eq!((counts.requests["/generate"], counts.requests["/batch-generate"]), (60, 30));
    let (_, stats) = sim.get("/queue-stats").await;
    assert_eq!(stats["items_completed_by_endpoint"], json!(by_endpoint));
    sim.stop().await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_service_times() {
    let mut runs = Vec::new();
    for seed in [5, 5, 6] {
        let config =
            SimConfig { seed, jitter: 0.3, base_service: Duration::from_millis(4), ..SimConfig::default() };
        let sim = Served::start(config).await;
        let mut times = Vec::new();
        for _ in 0..8 {
            let (_, image) = sim.post("/generate", &prompt()).await;
            times.push(image["generation_seconds"].as_f64().expect("a time"));
        }
        runs.push(times);
        sim.stop().await;
    }
    let apart = |left: &[f64], right: &[f64]| -> f64 {
        left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max)
    };
    assert!(apart(&runs[0], &runs[1]) < 1e-6, "{runs:?}");
    assert!(apart(&runs[0], &runs[2]) > 1e-4, "{runs:?}");
    assert!(apart(&runs[0][..4], &runs[0][4..]) > 1e-4, "jitter moves the times: {runs:?}");
}

#[tokio::test]
async fn energy_grows_while_images_are_made() {
    let config = SimConfig { base_service: Duration::from_millis(20), jitter: 0.0, ..SimConfig::default() };
    let sim = Served::start(config).await;
    let mut energy = 0.0;
    for _ in 0..5 {
        assert_eq!(sim.post("/generate", &prompt()).await.0, 200);
        let now: f64 = sim.gpus.read().iter().map(|gpu| gpu.energy_j).sum();
        // For 20 ms one GPU draws 150 W and the other 55 W, and the 13.6 ms of denoising add 125 W.
        assert!(now - energy > 5.79, "{now} J after {energy} J");
        energy = now;
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let first = Sim::bind(any_port(), SimConfig::default()).await.expect("a free port");
    let addr = first.local_addr();
    let error = Sim::bind(addr, SimConfig::default()).await.expect_err("the port is taken");
    assert!(matches!(error, SimError::PortTaken { .. }));
    let text = error.to_string();
    assert!(text.contains(&addr.to_string()) && text.contains("choose another port"), "{text}");
}

#[tokio::test]
async fn a_bad_configuration_never_binds() {
    let config = SimConfig { gpus: 0, jitter: -1.0, ..SimConfig::default() };
    let error = Sim::bind(any_port(), config).await.expect_err("two fields are wrong");
    assert!(matches!(error, SimError::Config(problems) if problems.len() == 2));
}

#[tokio::test]
async fn a_stopping_host_answers_whoever_waits() {
    let sim = Served::start(stuck()).await;
    let waiting = sim.post_in_background("/generate", &prompt());
    sim.counts("it runs", |counts| counts.running == 1).await;
    let (counters, gpus) = (sim.counters.clone(), sim.gpus.clone());
    sim.stop().await;
    let (status, answer) = waiting.await.expect("it is not aborted");
    assert_eq!((status, &answer["detail"]), (503, &json!("Server is shutting down")));
    assert_eq!(counters.snapshot().items_failed, 1);
    assert_eq!(gpus.read().len(), 1, "the handles outlive the host");
}
