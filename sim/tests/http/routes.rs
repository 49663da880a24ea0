//! Every route over real HTTP: what it answers, and how it refuses.

use std::time::Duration;

use crate::support::{FOREVER, Served};
use fluxfleet_sim::SimConfig;
use reqwest::Method;
use serde_json::{Value, json};

fn quick() -> SimConfig {
    SimConfig { base_service: Duration::from_millis(5), ..SimConfig::default() }
}

fn number_with_unit(value: &Value, unit: &str) -> f64 {
    let text = value.as_str().expect("a string");
    text.strip_suffix(unit).expect("its unit").parse().expect("a number before its unit")
}

#[tokio::test]
async fn generate_answers_one_image_in_the_servers_string_units() {
    let sim = Served::start(quick()).await;
    let body = json!({"prompt": "一只猫", "width": 768, "height": 512, "num_inference_steps": 4, "seed": 7});
    let (status, image) = sim.post("/generate", &body).await;
    assert_eq!(status, 200, "{image}");
    assert!(number_with_unit(&image["generation_time"], "s") >= 0.0);
    assert!(number_with_unit(&image["vram_usage_gb"], "GB") > 20.0);
    assert!(image["generation_seconds"].as_f64().expect("an exact time") > 0.0);
    assert_eq!(image["prompt"], "一只猫");
    assert_eq!((&image["width"], &image["height"], &image["seed"]), (&json!(768), &json!(512), &json!(7)));
    for field in ["message", "image_url", "download_url", "filename", "model_type"] {
        assert!(image[field].is_string(), "{field} in {image}");
    }
    let filename = image["filename"].as_str().expect("a filename");
    assert!(image["image_url"].as_str().expect("a URL").ends_with(filename));
    sim.stop().await;
}

#[tokio::test]
async fn a_batch_answers_each_prompt_in_order() {
    let sim = Served::start(quick()).await;
    let body = json!({"prompts": ["one", "two", "three"], "seed": 10, "width": 256, "height": 256});
    let (status, batch) = sim.post("/batch-generate", &body).await;
    assert_eq!(status, 200, "{batch}");
    assert_eq!(batch["batch_size"], 3);
    let results = batch["results"].as_array().expect("results");
    let prompts: Vec<&Value> = results.iter().map(|image| &image["prompt"]).collect();
    assert_eq!(prompts, ["one", "two", "three"]);
    let seeds: Vec<&Value> = results.iter().map(|image| &image["seed"]).collect();
    assert_eq!(seeds, [10, 11, 12]);
    assert!(number_with_unit(&batch["generation_time"], "s") >= 0.0);
    assert!(results.iter().all(|image| image["generation_time"] == batch["generation_time"]));
    sim.stop().await;
}

#[tokio::test]
async fn an_asynchronous_job_is_accepted_at_once_and_polled_to_its_result() {
    let sim = Served::start(quick()).await;
    let (status, accepted) = sim.post("/async-generate", &json!({"prompt": "a cat"})).await;
    assert_eq!(status, 202, "{accepted}");
    assert_eq!(accepted["status"], "queued");
    let id = accepted["request_id"].as_str().expect("an id");
    assert_eq!(accepted["status_url"], format!("/request-status/{id}"));
    let job = sim.ended(&format!("/request-status/{id}")).await;
    assert_eq!(job["status"], "completed");
    assert_eq!(job["request_id"], id);
    assert_eq!(job["result"]["prompt"], "a cat");
    let stamps =
        ["created_at", "started_at", "completed_at"].map(|field| job[field].as_f64().expect("a time"));
    assert!(stamps.is_sorted(), "{stamps:?}");
    sim.stop().await;
}

#[tokio::test]
async fn a_job_that_waits_is_pending_and_can_be_cancelled() {
    let config = SimConfig { gpus: 1, pool_size: 1, base_service: FOREVER, ..SimConfig::default() };
    let sim = Served::start(config).await;
    let body = json!({"prompt": "a cat"});
    let (running, waiting) = (sim.submit(&body).await, sim.submit(&body).await);
    sim.counts("one runs and one waits", |counts| (counts.running, counts.queue_depth) == (1, 1)).await;
    assert_eq!(sim.get(&waiting).await.1["status"], "pending");

    let cancel = |status_url: &str| status_url.replace("request-status", "cancel-request");
    let (status, answer) = sim.delete(&cancel(&waiting)).await;
    assert_eq!((status, &answer["status"]), (200, &json!("cancelled")));
    assert_eq!(sim.get(&waiting).await.1["status"], "cancelled");
    assert_eq!(sim.delete(&cancel(&waiting)).await.0, 409);
    let (status, answer) = sim.delete(&cancel(&running)).await;
    assert_eq!((status, &answer["status"]), (200, &json!("processing")));
    let counts = sim.counters.snapshot();
    assert_eq!((counts.items_cancelled, counts.queue_depth, counts.running), (1, 0, 1));
    sim.stop().await;
}

#[tokio::test]
async fn an_unknown_job_is_404() {
    let sim = Served::start(quick()).await;
    let (status, answer) = sim.get("/request-status/none").await;
    assert_eq!(status, 404);
    assert!(answer["detail"].as_str().expect("a detail").contains("none"));
    assert_eq!(sim.delete("/cancel-request/none").await.0, 404);
    sim.stop().await;
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_what_is_wrong_in_it() {
    let sim = Served::start(quick()).await;
    let cases = [
        ("/generate", json!({}), "prompt"),
        ("/generate", json!({"prompt": "  "}), "prompt must not be empty"),
        ("/generate", json!({"prompt": 3}), "string"),
        ("/generate", json!({"prompt": "a", "width": 0}), "width must be 64 to 2048, not 0"),
        ("/generate", json!({"prompt": "a", "height": 100_000}), "height must be 64 to 2048, not 100000"),
        ("/generate", json!({"prompt": "a", "num_inference_steps": 0}), "num_inference_steps must be"),
        ("/generate", json!({"prompt": "a", "width": -1}), "u32"),
        ("/async-generate", json!({"prompt": "a", "guidance_scale": -1}), "guidance_scale must be"),
        ("/batch-generate", json!({"prompt": "a"}), "prompts"),
        ("/batch-generate", json!({"prompts": []}), "prompts must hold 1 to 16 prompts, not 0"),
        ("/batch-generate", json!({"prompts": vec!["a"; 17]}), "prompts must hold 1 to 16 prompts, not 17"),
        ("/batch-generate", json!({"prompts": ["a", ""]}), "prompts[1] must not be empty"),
    ];
    let count = cases.len() as u64;
    for (path, body, message) in cases {
        let (status, answer) = sim.post(path, &body).await;
        assert_eq!(status, 422, "{body} -> {answer}");
        let detail = answer["detail"].as_str().expect("a detail");
        assert!(detail.contains(message), "{body} -> {detail}");
    }
    let request = sim.request(Method::POST, "/generate").header("content-type", "application/json");
    let response = request.body("{not json").send().await.expect("an answer");
    assert_eq!(response.status(), 400);
    let counts = sim.counters.snapshot();
    assert_eq!((counts.rejected_invalid, counts.items_admitted), (count + 1, 0));
    sim.stop().await;
}

#[tokio::test]
async fn wrong_methods_are_405_and_unknown_paths_404_in_json() {
    let sim = Served::start(quick()).await;
    for (method, path, expected) in [
        (Method::GET, "/generate", 405),
        (Method::OPTIONS, "/generate", 405),
        (Method::OPTIONS, "/batch-generate", 405),
        (Method::GET, "/async-generate", 405),
        (Method::POST, "/health", 405),
        (Method::GET, "/", 404),
        (Method::POST, "/submit-request", 404),
    ] {
        let response = sim.request(method.clone(), path).send().await.expect("an answer");
        assert_eq!(response.status(), expected, "{method} {path}");
        assert_eq!(response.headers().contains_key("allow"), expected == 405, "{method} {path}");
        let answer: Value = response.json().await.expect("JSON");
        assert!(answer["detail"].as_str().expect("a detail").contains(path));
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_disabled_endpoint_answers_404_and_the_others_go_on() {
    let disabled = vec!["/batch-generate".to_owned(), "/request-status/{id}".to_owned()];
    let sim = Served::start(SimConfig { disabled_endpoints: disabled, ..quick() }).await;
    assert_eq!(sim.post("/batch-generate", &json!({"prompts": ["a"]})).await.0, 404);
    let status_url = sim.submit(&json!({"prompt": "a"})).await;
    assert_eq!(sim.get(&status_url).await.0, 404);
    assert_eq!(sim.post("/generate", &json!({"prompt": "a"})).await.0, 200);
    sim.stop().await;
}

#[tokio::test]
async fn health_and_gpu_info_tell_of_virtual_gpus_that_the_seed_names() {
    let sim = Served::start(SimConfig { gpus: 3, ..quick() }).await;
    let (status, health) = sim.get("/health").await;
    assert_eq!((status, &health["status"], &health["gpus"]), (200, &json!("healthy"), &json!(3)));
    let (status, info) = sim.get("/gpu-info").await;
    assert_eq!(status, 200);
    let shown = info["gpus"].as_array().expect("gpus");
    let read = sim.gpus.read();
    assert_eq!((shown.len(), read.len()), (3, 3));
    for (shown, read) in shown.iter().zip(&read) {
        assert!(read.name.starts_with("Virtual GPU"));
        assert!(read.uuid.starts_with("GPU-") && read.uuid.len() == 40);
        assert_eq!(shown["uuid"], read.uuid);
        assert_eq!(shown["memory_total_bytes"], read.memory_total_bytes);
        assert!(shown["energy_j"].as_f64().expect("energy") <= read.energy_j);
    }
    let again = Served::start(SimConfig { gpus: 3, ..quick() }).await;
    let uuids = |readings: Vec<fluxfleet_sim::GpuReading>| -> Vec<String> {
        readings.into_iter().map(|reading| reading.uuid).collect()
    };
    assert_eq!(uuids(again.gpus.read()), uuids(read));
    let other = Served::start(SimConfig { seed: 1, ..quick() }).await;
    assert_ne!(other.gpus.read()[0].uuid, again.gpus.read()[0].uuid);
    for served in [sim, again, other] {
        served.stop().await;
    }
}
