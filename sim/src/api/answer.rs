//! Results in flux_api's JSON. The URLs are names only: nothing is drawn, hence nothing is served there.

use serde::Serialize;

use crate::draw::{Draws, Purpose};
use crate::host::Made;
use crate::jobs::ImageSpec;

pub(super) const MODEL: &str = "flux (simulated)";
const GB: f64 = 1e9;

/// One image.
#[derive(Debug, Serialize)]
pub(super) struct ImageAnswer<'a> {
    message: &'static str,
    image_url: String,
    download_url: String,
    filename: String,
    #[serde(flatten)]
    cost: Cost<'a>,
    prompt: &'a str,
    width: u32,
    height: u32,
    seed: u64,
    num_inference_steps: u32,
    guidance_scale: f64,
}

/// The images of one batch, in the order of the prompts.
#[derive(Debug, Serialize)]
pub(super) struct BatchAnswer<'a> {
    message: String,
    batch_size: usize,
    results: Vec<ImageAnswer<'a>>,
    #[serde(flatten)]
    cost: Cost<'a>,
}

/// What it took to make an image or the batch it was in.
#[derive(Debug, Clone, Serialize)]
struct Cost<'a> {
    /// Time in service, two decimals and `s`.
    generation_time: String,
    /// The same, exact.
    generation_seconds: f64,
    /// Memory in use on the GPU at the end, two decimals and `GB` (10^9 bytes).
    vram_usage_gb: String,
    model_type: &'static str,
    gpu_uuid: &'a str,
}

impl<'a> Cost<'a> {
    fn of(made: &'a Made) -> Self {
        Self {
            generation_time: format!("{:.2}s", made.run.seconds),
            generation_seconds: made.run.seconds,
            vram_usage_gb: format!("{:.2}GB", made.run.memory_used_bytes as f64 / GB),
            model_type: MODEL,
            gpu_uuid: &made.gpu_uuid,
        }
    }
}

impl<'a> ImageAnswer<'a> {
    /// The only image of a job.
    pub(super) fn single(host_seed: u64, spec: &'a ImageSpec, made: &'a Made) -> Self {
        Self::of(host_seed, spec, made, 0)
    }

    fn of(host_seed: u64, spec: &'a ImageSpec, made: &'a Made, index: u64) -> Self {
        // flux_api draws a 32-bit seed when the client gives none.
        let drawn = (Draws::new(host_seed, Purpose::ImageSeed, made.number.0).bits() >> 32) + index;
        let filename = format!("flux_{:08}_{index}.png", made.number.0);
        Self {
            message: "Image generated successfully",
            image_url: format!("/images/{filename}"),
            download_url: format!("/download/{filename}"),
            filename,
            cost: Cost::of(made),
            prompt: &spec.prompt,
            width: spec.width,
            height: spec.height,
            seed: spec.seed.unwrap_or(drawn),
            num_inference_steps: spec.steps,
            guidance_scale: spec.guidance_scale,
        }
    }
}

impl<'a> BatchAnswer<'a> {
    pub(super) fn of(host_seed: u64, specs: &'a [ImageSpec], made: &'a Made) -> Self {
        let images = specs.iter().zip(0_u64..);
        Self {
            message: format!("{} images generated successfully", specs.len()),
            batch_size: specs.len(),
            results: images.map(|(spec, index)| ImageAnswer::of(host_seed, spec, made, index)).collect(),
            cost: Cost::of(made),
        }
    }
}
