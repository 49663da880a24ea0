//! The routes of asynchronous jobs: submit, look, cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::answer::ImageAnswer;
use super::body::{GenerateBody, accept};
use super::error::ApiError;
use crate::endpoint::Endpoint;
use crate::host::Host;
use crate::jobs::{Cancel, Job, RequestId, Status};

/// A job as its client sees it. Times are seconds since 1970, absent until they happen.
#[derive(Debug, Serialize)]
struct JobStatus<'a> {
    request_id: &'a RequestId,
    status: &'static str,
    created_at: f64,
    started_at: Option<f64>,
    completed_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ImageAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl<'a> JobStatus<'a> {
    fn of(host: &Host, request_id: &'a RequestId, job: &'a Job) -> Self {
        let stamp = |at| host.clock.unix_s(at);
        let made = job.made.as_ref().filter(|_| job.status == Status::Completed);
        Self {
            request_id,
            status: job.status.word(),
            created_at: stamp(job.created),
            started_at: job.started.map(stamp),
            completed_at: job.finished.map(stamp),
            result: made.map(|made| ImageAnswer::single(host.config.seed, &job.image, made)),
            error: (job.status == Status::Failed).then_some("Image generation failed: simulated fault"),
        }
    }
}

pub(super) async fn submit(
    State(host): State<Arc<Host>>,
    body: Result<Json<GenerateBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    host.tally.request(Endpoint::AsyncGenerate);
    let image = accept(&host, body, GenerateBody::image)?;
    let id = host.submit_job(image).map_err(|refusal| ApiError::refusal(refusal, &host.config))?;
    let answer = json!({
        "message": "Request queued",
        "request_id": id,
        "status": "queued",
        "status_url": format!("/request-status/{}", id.0),
    });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

pub(super) async fn status(
    State(host): State<Arc<Host>>,
    Path(id): Path<RequestId>,
) -> Result<Response, ApiError> {
    host.tally.request(Endpoint::RequestStatus);
    host.job(&id, |job| Json(JobStatus::of(&host, &id, job)).into_response()).ok_or_else(|| unknown(&id))
}

pub(super) async fn cancel(
    State(host): State<Arc<Host>>,
    Path(id): Path<RequestId>,
) -> Result<Response, ApiError> {
    host.tally.request(Endpoint::CancelRequest);
    let (status, message) = match host.cancel_job(&id) {
        Cancel::Dropped => (Status::Cancelled, "Request cancelled"),
        Cancel::Requested(_) => (Status::Processing, "Request is being processed and will end as cancelled"),
        Cancel::Over(status) => {
            let detail = format!("Request {} cannot be cancelled: it is {}", id.0, status.word());
            return Err(ApiError::new(StatusCode::CONFLICT, detail));
        }
        Cancel::Unknown => return Err(unknown(&id)),
    };
    let answer = json!({ "request_id": id, "status": status.word(), "message": message });
    Ok(Json(answer).into_response())
}

fn unknown(id: &RequestId) -> ApiError {
    let detail = format!("Request {} not found: no such job, or one that ended long ago", id.0);
    ApiError::new(StatusCode::NOT_FOUND, detail)
}
