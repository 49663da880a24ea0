//! The routes that tell how the host is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::answer::MODEL;
use crate::counters::CounterSnapshot;
use crate::endpoint::Endpoint;
use crate::host::Host;

pub(super) async fn queue_stats(State(host): State<Arc<Host>>) -> Json<CounterSnapshot> {
    host.tally.request(Endpoint::QueueStats);
    Json(host.counters().snapshot())
}

pub(super) async fn health(State(host): State<Arc<Host>>) -> Json<Value> {
    host.tally.request(Endpoint::Health);
    Json(json!({
        "status": "healthy",
        "model_loaded": true,
        "model_type": MODEL,
        "gpus": host.config.gpus,
        "uptime_seconds": host.clock.uptime_s(),
    }))
}

pub(super) async fn gpu_info(State(host): State<Arc<Host>>) -> Json<Value> {
    host.tally.request(Endpoint::GpuInfo);
    Json(json!({ "gpus": host.gpus.read() }))
}
