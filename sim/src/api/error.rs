//! Answers that are not a result: `{"detail": ".."}` and a status.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::config::{SimConfig, WhenFull};
use crate::host::Refusal;

/// An answer that is not a result.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: String,
    retry_after_s: Option<u32>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after_s: None }
    }

    /// A value out of bounds: 422, as for a value of the wrong type.
    pub(super) fn out_of_bounds(detail: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn refusal(refusal: Refusal, config: &SimConfig) -> Self {
        match refusal {
            Refusal::Full => Self::full(config),
            Refusal::Failed => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Image generation failed: simulated fault")
            }
            Refusal::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "Server is shutting down"),
        }
    }

    fn full(config: &SimConfig) -> Self {
        let detail = format!(
            "Queue is full: {} GPUs with {} waiting requests each. Please try again later.",
            config.gpus, config.queue_capacity
        );
        match config.when_full {
            WhenFull::InternalError => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
            WhenFull::Unavailable { retry_after_s } => Self {
                retry_after_s: Some(retry_after_s),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            },
        }
    }
}

impl From<JsonRejection> for ApiError {
    /// 400 for what is no JSON, 422 for a missing or mistyped field, 415 without `Content-Type: application/json`.
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "detail": self.detail }));
        match self.retry_after_s {
            Some(seconds) => (self.status, [(RETRY_AFTER, seconds.to_string())], body).into_response(),
            None => (self.status, body).into_response(),
        }
    }
}

pub(super) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("Not Found: {}", uri.path()))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("Method Not Allowed: {method} {}", uri.path()))
}
