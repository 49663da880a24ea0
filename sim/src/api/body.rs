//! Request bodies: what a client sends, and how it becomes an [`ImageSpec`] within bounds.

use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;

use super::error::ApiError;
use crate::host::Host;
use crate::jobs::ImageSpec;

const STEPS: RangeInclusive<u32> = 1..=200;
const SIDE: RangeInclusive<u32> = 64..=2048;
const GUIDANCE: RangeInclusive<f64> = 0.0..=100.0;

/// What all images of a request share. Fields that the host does not know are ignored, as flux_api does.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    num_inference_steps: u32,
    guidance_scale: f64,
    width: u32,
    height: u32,
    seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { num_inference_steps: 25, guidance_scale: 3.5, width: 512, height: 512, seed: None }
    }
}

/// The body of `/generate` and `/async-generate`.
#[derive(Debug, Deserialize)]
pub(super) struct GenerateBody {
    prompt: String,
    #[serde(flatten)]
    settings: Settings,
}

/// The body of `/batch-generate`.
#[derive(Debug, Deserialize)]
pub(super) struct BatchBody {
    prompts: Vec<String>,
    #[serde(flatten)]
    settings: Settings,
}

impl GenerateBody {
    pub(super) fn image(self) -> Result<ImageSpec, ApiError> {
        self.settings.image("prompt", self.prompt)
    }
}

impl BatchBody {
    /// The images in the order of their prompts; image `i` has seed `seed + i`.
    pub(super) fn images(self, max_batch: u32) -> Result<Vec<ImageSpec>, ApiError> {
        let count = self.prompts.len();
        if count == 0 || count > max_batch as usize {
            return Err(ApiError::out_of_bounds(format!(
                "prompts must hold 1 to {max_batch} prompts, not {count}"
            )));
        }
        let settings = self.settings;
        let images = self.prompts.into_iter().zip(0_u64..).map(|(prompt, index)| {
            let mut image = settings.image(&format!("prompts[{index}]"), prompt)?;
            image.seed = image.seed.map(|seed| seed.wrapping_add(index));
            Ok(image)
        });
        images.collect()
    }
}

impl Settings {
    fn image(&self, prompt_field: &str, prompt: String) -> Result<ImageSpec, ApiError> {
        if prompt.trim().is_empty() {
            return Err(ApiError::out_of_bounds(format!("{prompt_field} must not be empty")));
        }
        within("num_inference_steps", self.num_inference_steps, &STEPS)?;
        within("guidance_scale", self.guidance_scale, &GUIDANCE)?;
        within("width", self.width, &SIDE)?;
        within("height", self.height, &SIDE)?;
        Ok(ImageSpec {
            prompt,
            steps: self.num_inference_steps,
            guidance_scale: self.guidance_scale,
            width: self.width,
            height: self.height,
            seed: self.seed,
        })
    }
}

fn within<T>(field: &str, value: T, bounds: &RangeInclusive<T>) -> Result<(), ApiError>
where
    T: PartialOrd + std::fmt::Display,
{
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(ApiError::out_of_bounds(format!(
        "{field} must be {} to {}, not {value}",
        bounds.start(),
        bounds.end()
    )))
}

/// Parses and checks a body; a wrong one is counted.
pub(super) fn accept<B, T>(
    host: &Host,
    body: Result<Json<B>, JsonRejection>,
    check: impl FnOnce(B) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    body.map_err(ApiError::from).and_then(|Json(body)| check(body)).inspect_err(|_| host.tally.invalid())
}
