//! The HTTP routes, in flux_api's JSON: figures for people are strings with units (`"1.72s"`), and each such string has
//! an exact number beside it under another name.

mod answer;
mod body;
mod error;
mod info;
mod items;
mod jobs;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};

use crate::endpoint::Endpoint;
use crate::host::Host;

/// Every route that the configuration leaves enabled.
pub(crate) fn router(host: Arc<Host>) -> Router {
    let mut router = Router::new();
    for endpoint in Endpoint::ALL {
        if host.config.serves(endpoint) {
            router = router.route(endpoint.path(), handler(endpoint));
        }
    }
    router.fallback(error::unknown_path).method_not_allowed_fallback(error::wrong_method).with_state(host)
}

fn handler(endpoint: Endpoint) -> MethodRouter<Arc<Host>> {
    match endpoint {
        Endpoint::Generate => post(items::generate),
        Endpoint::BatchGenerate => post(items::batch_generate),
        Endpoint::AsyncGenerate => post(jobs::submit),
        Endpoint::RequestStatus => get(jobs::status),
        Endpoint::CancelRequest => delete(jobs::cancel),
        Endpoint::QueueStats => get(info::queue_stats),
        Endpoint::Health => get(info::health),
        Endpoint::GpuInfo => get(info::gpu_info),
    }
}
