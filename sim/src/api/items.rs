//! The routes that hold the client until its items are made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};

use super::answer::{BatchAnswer, ImageAnswer};
use super::body::{BatchBody, GenerateBody, accept};
use super::error::ApiError;
use crate::endpoint::Endpoint;
use crate::host::Host;

pub(super) async fn generate(
    State(host): State<Arc<Host>>,
    body: Result<Json<GenerateBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    host.tally.request(Endpoint::Generate);
    let image = accept(&host, body, GenerateBody::image)?;
    let made = host.make(Endpoint::Generate, image.shape(1)).await;
    let made = made.map_err(|refusal| ApiError::refusal(refusal, &host.config))?;
    Ok(Json(ImageAnswer::single(host.config.seed, &image, &made)).into_response())
}

pub(super) async fn batch_generate(
    State(host): State<Arc<Host>>,
    body: Result<Json<BatchBody>, JsonRejection>,
) -> Result<Response, ApiError> {
    host.tally.request(Endpoint::BatchGenerate);
    let max_batch = host.config.max_batch;
    let images = accept(&host, body, |body: BatchBody| body.images(max_batch))?;
    let count = u32::try_from(images.len()).expect("a batch is at most max_batch long");
    let made = host.make(Endpoint::BatchGenerate, images[0].shape(count)).await;
    let made = made.map_err(|refusal| ApiError::refusal(refusal, &host.config))?;
    Ok(Json(BatchAnswer::of(host.config.seed, &images, &made)).into_response())
}
