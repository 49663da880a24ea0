use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::histogram;
use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{Absence, AbsenceReason};
use fluxfleet_proto::trial::Method;
use serde_json::Value;

use super::*;
use crate::aggregate::Ending;
use crate::analysis::testing::{
    RunSketch, Sketch, agent, gone_run, gpu_run, limited_run, loads, lost, open_run, partitioned, remote_run,
    seed_run, stopped_run, trial, troubled_run, with_records,
};
use crate::analysis::{ScoreSettings, analyse};
use crate::plan::{ErrorLimit, FleetPlan};

const SCHEMA: &str = include_str!("../../../../docs/results.schema.json");

fn text(run: RunSketch) -> String {
    let mut outcome = run.done();
    let report = analyse(&outcome, &ScoreSettings::default());
    let mut bytes = Vec::new();
    write(&mut bytes, &report, &mut outcome).expect("memory");
    String::from_utf8(bytes).expect("UTF-8")
}

fn json(run: RunSketch) -> Value {
    serde_json::from_str(&text(run)).expect("a document")
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("a document")
}

fn unseen_gpus() -> RunSketch {
    RunSketch::new()
        .without_gpus()
        .with(|run| {
            run.agents[0].hello.devices = Err(Absence::new(AbsenceReason::Denied, "no access to the driver"));
            run.agents.push(agent(PeerId(8), "gpu-host-2"));
            run.agents[1].clock = None;
            run.agents[1].lost = Some(lost(500, "the connection was closed"));
            run.plan.fleet = FleetPlan::Remote {
                listen: ([127, 0, 0, 1], 7_700).into(),
                workers: NonZeroU32::MIN,
                agents: 2,
                wait: Duration::from_mins(1),
            };
            run.workers[0].clock = None;
        })
        .ran(Sketch::new("baseline", 1.0, 1.0, 0.0).items(1))
}

/// One document of each kind of open load, and of each limit.
fn loaded() -> Vec<Value> {
    let mut documents: Vec<_> =
        loads().into_iter().map(|load| json(open_run().with(|run| run.plan.load = load))).collect();
    documents.push(json(open_run().with(|run| run.plan.error_limit = Some(ErrorLimit::Share(0.2)))));
    documents.push(json(limited_run().with(|run| {
        run.plan.error_limit = Some(ErrorLimit::Items(9));
        run.strategies[0].planned.in_flight = NonZeroU32::MAX;
        trial(run, 0).tally.connect_time.record(fluxfleet_proto::units::Micros(1 << 33));
    })));
    documents
}

fn documents() -> Vec<Value> {
    let batching = |run: RunSketch| {
        run.with(|run| {
            let sample = &mut run.samples[0].sample;
            sample.gpus[0].values = GpuMetric::ALL.iter().map(|metric| (*metric, Ok(12.5))).collect();
            sample.gpus[0].repeated.push(GpuMetric::UtilizationPercent);
            sample.system.values = HostMetric::ALL.iter().map(|metric| (*metric, Ok(12.5))).collect();
            sample.system.core_percent = Some(Ok(vec![0.0, 25.0]));
            run.strategies[0].planned.strategy.method =
                Method::Batch { path: "/batch-generate".into(), size: NonZeroU32::new(4).expect("4") };
        })
    };
    let mut documents = vec![
        json(batching(with_records(seed_run()))),
        json(troubled_run()),
        json(stopped_run()),
        json(remote_run()),
        json(unseen_gpus()),
        json(gone_run()),
        json(gpu_run(1).with(partitioned)),
        json(RunSketch::new().ended("batch", Ending::Skipped("404".into()))),
    ];
    documents.extend(loaded());
    documents
}

#[test]
fn every_document_follows_the_schema() {
    let schema = schema();
    jsonschema::meta::validate(&schema).expect("a valid schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for document in documents() {
        let errors: Vec<_> =
            validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

/// Paths of all members, array places written as `[]`.
fn members(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                members(value, &path, into);
                into.insert(path);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                members(element, &format!("{path}[]"), into);
            }
        }
        _ => {}
    }
}

/// Paths of all members that the schema names.
fn described(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        described(schema, &path, into);
        into.insert(path);
    }
    if schema["items"].is_object() {
        described(&schema["items"], &format!("{path}[]"), into);
    }
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        described(choice, path, into);
    }
}

#[test]
fn every_member_that_the_schema_names_occurs_and_is_more_than_null_somewhere() {
    let mut named = BTreeSet::new();
    described(&schema(), "", &mut named);
    let mut seen = BTreeSet::new();
    for mut document in documents() {
        drop_nulls(&mut document);
        members(&document, "", &mut seen);
    }
    let missing: Vec<_> = named.difference(&seen).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Leaves two elements in each array.
fn shorten(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(shorten),
        Value::Array(elements) => {
            elements.truncate(2);
            elements.iter_mut().for_each(shorten);
        }
        _ => {}
    }
}

/// Pointers to all members, but for those of free-form maps.
fn pointers(value: &Value, pointer: &str, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                into.push((pointer.to_owned(), name.clone()));
                if name != "absent" && name != "parameters" {
                    pointers(value, &format!("{pointer}/{name}"), into);
                }
            }
        }
        // The first element stands for all: they have one schema.
        Value::Array(elements) => {
            if let Some(element) = elements.first() {
                pointers(element, &format!("{pointer}/0"), into);
            }
        }
        _ => {}
    }
}

#[test]
fn a_member_that_is_lost_renamed_or_added_breaks_the_schema() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    for document in [json(with_records(troubled_run())), json(open_run()), fully_watched()] {
        breaks_with_any_change(&validator, &document);
    }
}

/// A document whose first sample beside the normal lane has GPUs and events, and whose first GPU was throttled.
fn fully_watched() -> Value {
    let mut document = json(gone_run());
    let event = document["gpu_samples"].as_array().expect("an array").iter();
    let event = event.clone().find(|s| s["occasion"] == "event").expect("an event")["events"].clone();
    document["gpu_samples"][0]["events"] = event;
    // Of what is read of a GPU on the normal lane not all is required.
    document["system_metrics"] = Value::Array(Vec::new());
    document
}

fn breaks_with_any_change(validator: &jsonschema::Validator, document: &Value) {
    // A minute of seconds and samples takes long to check so often, and the first of each says it all.
    let mut document = document.clone();
    shorten(&mut document);
    let mut all = Vec::new();
    pointers(&document, "", &mut all);
    assert!(all.len() > 150, "{}", all.len());
    for (object, name) in all {
        let mut changed = document.clone();
        let map = changed.pointer_mut(&object).and_then(Value::as_object_mut).expect("an object");
        let value = map.remove(&name).expect("a member");
        assert!(!validator.is_valid(&changed), "{object}/{name} may be lost");
        let map = changed.pointer_mut(&object).and_then(Value::as_object_mut).expect("an object");
        map.insert(name.clone(), value);
        map.insert("unheard_of".into(), Value::Null);
        assert!(!validator.is_valid(&changed), "{object} may have another member");
    }
}

#[test]
fn every_item_of_every_strategy_and_worker_has_exactly_one_end() {
    for document in documents() {
        let entries = document["performance_results"].as_array().expect("an array");
        let workers = entries.iter().flat_map(|e| e["workers"].as_array().expect("an array"));
        for entry in entries.iter().chain(workers) {
            let count = |name: &str| entry[name].as_u64().expect("a count");
            assert_eq!(
                count("items_planned"),
                count("items_ok") + count("items_failed") + count("items_not_sent")
            );
        }
    }
}

#[test]
fn a_missing_value_is_null_with_its_reason() {
    let document = json(remote_run());
    let entry = &document["performance_results"][0];
    assert_eq!(entry["avg_gpu_utilization"], Value::Null);
    assert_eq!(
        entry["absent"]["avg_gpu_utilization"],
        "no agent took part: the target is another machine; start fluxfleet-agent there"
    );
    assert_eq!(entry["efficiency_score_without_gpu"], true);
}

#[test]
fn every_percentile_without_enough_durations_is_named_but_for_medians() {
    let document = json(open_run());
    let entry = &document["performance_results"][0];
    let named = entry["uncertified"].as_array().expect("an array");
    let named: BTreeSet<_> = named.iter().filter_map(Value::as_str).collect();
    // 601 requests and 12 connections.
    for name in [
        "p99_response_time",
        "p999_response_time",
        "service_time_p99",
        "first_byte_p99",
        "send_lateness_p99_us",
        "pacer_lateness_p99_us",
        "connect_time_p95",
        "connect_time_p99",
        "tls_time_p95",
        "tls_time_p99",
    ] {
        assert!(named.contains(name), "{name} of {named:?}");
    }
    assert_eq!(named.len(), 10, "{named:?}");
}

#[test]
fn an_open_load_is_told_with_what_was_asked_for_and_what_was_sent() {
    let document = json(open_run());
    let config = &document["test_config"];
    assert_eq!(config["load"]["arrival"], "poisson");
    assert_eq!((&config["load"]["rate"], &config["duration"]), (&10.0.into(), &60.0.into()));
    assert_eq!(
        (&config["requests_per_strategy"], &config["warmup"]["seconds"]),
        (&Value::Null, &10.0.into())
    );
    let load = &document["performance_results"][1]["load"];
    assert_eq!(load["kind"], "open");
    assert_eq!(load["requests_not_sent"], load["intended_requests"].as_u64().expect("a count").div_ceil(4));
    assert_eq!(load["absent"]["in_flight_used_percent"], "an open load holds no number in flight");
    let entry = &document["performance_results"][1];
    assert_eq!(entry["steady_state"]["state"], "never_settled");
    assert_eq!(entry["series"].as_array().expect("an array").len(), 70);
    assert_eq!(entry["generator"][0]["intervals"].as_array().expect("an array").len(), 70);
}

#[test]
fn a_skipped_strategy_is_no_row_of_zeros() {
    let document = json(troubled_run());
    let entry = &document["performance_results"][2];
    assert_eq!(entry["skipped"], "POST /async-generate answers 404; leave it out of --strategies");
    for name in ["total_requests", "success_rate", "throughput", "avg_response_time", "efficiency_score"] {
        assert_eq!(entry[name], Value::Null, "{name}");
    }
    assert_eq!(entry["items_not_sent"], entry["items_planned"]);
}

#[test]
fn a_strategy_without_success_says_why() {
    let document = json(troubled_run());
    let error = document["performance_results"][1]["error"].as_str().expect("an error");
    assert!(error.starts_with("none of 20 items succeeded, most often because of connect"), "{error}");
}

#[test]
fn histograms_read_back_with_every_request() {
    use base64::Engine as _;
    let document = json(seed_run());
    let base64 = document["performance_results"][0]["histograms"]["response_time"].as_str().expect("text");
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
    assert_eq!(histogram::decode(&bytes).expect("a histogram").len(), 20);
}

#[test]
fn header_values_and_credentials_stay_out() {
    let run = seed_run().with(|run| run.plan.target.base_url = "http://me:sesame@localhost:8000".into());
    let text = text(run);
    assert!(text.contains("authorization") && text.contains("http://***@localhost:8000"));
    assert!(!text.contains("sesame"));
}

#[test]
fn all_samples_are_written_however_many() {
    let document = json(seed_run());
    // The four windows of 80, 17, 47 and 71 s, a sample a second, both ends included.
    assert_eq!(document["system_metrics"].as_array().expect("an array").len(), 81 + 18 + 48 + 72);
}

#[test]
fn a_whole_document() {
    let run = with_records(
        RunSketch::new()
            .ran(Sketch::new("baseline", 20.0, 15.23, 45.2).items(2))
            .ended("async", Ending::Skipped("POST /async-generate answers 404".into())),
    );
    insta::with_settings!({filters => vec![("\"HISTF[A-Za-z0-9+/=]+\"", "\"[histogram]\"")]}, {
        insta::assert_snapshot!(text(run));
    });
}
