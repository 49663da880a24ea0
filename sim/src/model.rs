//! How long work takes on a virtual GPU, and why. Pure: no clock, no state, no randomness.
//!
//! # Stages
//! A request for `b` images passes three stages. Their shares of [`base`](Work::of), the time of one 512x512 image of
//! 25 steps on an idle GPU, are those of a diffusion server with the text encoders and the PNG writer on the host:
//!
//! | stage | where | time on an idle GPU |
//! |---|---|---|
//! | encode | host | `0.12 * base * f(b)` |
//! | denoise | GPU | `0.68 * base * f(b) * steps/25 * (pixels/256 + 512)/1536` |
//! | save | host | `0.20 * base * f(b) * pixels/512^2` |
//!
//! A latent image has one token for 16x16 pixels and the text has 512, so a 512x512 image is 1536 tokens; the
//! transformer's time is taken as linear in steps and in tokens. Encode and save are the host's and overlap with
//! anything; denoise shares the GPU.
//!
//! # Batches
//! `f(b) = 0.5 + 0.5 b`: half of a single image's time is paid once for the batch (reading the weights, launching
//! kernels), half for each image. Four images take 2.5 times as long as one, and no batch makes a GPU more than twice
//! as fast ([`PEAK_SPEED`]).
//!
//! # The pool
//! Each GPU holds a pool of model instances; a request needs one from its first stage to its last. Host stages of one
//! request overlap with GPU work of another, which is most of what a pool gives. The rest is the overlap of kernels:
//! `k` requests that denoise at once share the GPU evenly, each at
//!
//! `rate = (1 + 0.5 * (1 - 1/k) * h(b)) / k`, with `h(b) = (2 - b/f(b)) / (2 - 1)`
//!
//! of its speed alone. `h` is what a batch of `b` leaves of the peak: a single image leaves all of the gap, so that
//! kernels of another stream fill it; a large batch leaves little. So throughput grows with requests in flight, each
//! one adds less than the one before, and batches and streams together never pass the peak.
//!
//! # Why the strategies differ
//! - *baseline* keeps fewer requests in flight than the pools hold: GPUs idle while the host encodes and saves.
//! - *model_pool* keeps more in flight: host stages hide behind GPU work, and kernels overlap more.
//! - *batch* pays the setup of every stage once for four images.
//! - *async* answers at once, and its images are handed to a writer when their pixels are ready: the job is complete and the
//!   instance free without the save stage.
//!
//! With the defaults (two GPUs, pools of six, 0.8 s, clients that poll every 100 ms) 200 items run, in items/s:
//!
//! | in flight | baseline | async | model_pool | batch of 4 |
//! |---|---|---|---|---|
//! | 3 | 3.2 | 3.6 | 4.2 | 4.5 |
//! | 6 | 4.6 | 4.7 | 5.0 | 6.1 |
//! | 12 | 5.1 | 5.1 | 5.1 | 6.5 |
//!
//! Twelve in flight fill both pools, so that more of them gain nothing; a run of few items also pays for its ragged end.

use std::time::Duration;

/// Share of the base time in which the host encodes the prompt.
pub const ENCODE_SHARE: f64 = 0.12;
/// Share of the base time in which the GPU denoises.
pub const DENOISE_SHARE: f64 = 0.68;
/// Share of the base time in which the host writes the image.
pub const SAVE_SHARE: f64 = 0.20;
/// Share of one image's time that a batch pays once.
pub const BATCH_SETUP: f64 = 0.5;
/// Largest gain from kernels of different requests that overlap.
pub const OVERLAP_GAIN: f64 = 0.5;
/// The speed of a full GPU relative to one that makes single images one at a time: the limit of `b / f(b)`.
pub const PEAK_SPEED: f64 = 1.0 / (1.0 - BATCH_SETUP);

const BASE_STEPS: f64 = 25.0;
const BASE_PIXELS: f64 = 512.0 * 512.0;
const PIXELS_PER_TOKEN: f64 = 256.0;
const TEXT_TOKENS: f64 = 512.0;
const BASE_TOKENS: f64 = BASE_PIXELS / PIXELS_PER_TOKEN + TEXT_TOKENS;

/// What one request asks for, as far as time depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Denoising steps, at least 1.
    pub steps: u32,
    /// Pixels of each image, at least 1.
    pub pixels: u32,
    /// Images, at least 1.
    pub images: u32,
}

impl Shape {
    /// Pixels of all its images, in units of one 512x512 image.
    pub fn base_images(self) -> f64 {
        f64::from(self.images) * f64::from(self.pixels) / BASE_PIXELS
    }
}

/// Seconds that each stage of a request takes on an idle GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Prompt encoding, on the host.
    pub encode: f64,
    /// Denoising, on the GPU.
    pub denoise: f64,
    /// Writing the images, on the host.
    pub save: f64,
}

impl Work {
    /// The stages of a request of this shape, where one 512x512 image of 25 steps takes `base` in all.
    pub fn of(base: Duration, shape: Shape) -> Self {
        let unit = base.as_secs_f64() * batch_factor(shape.images);
        let pixels = f64::from(shape.pixels);
        let tokens = pixels / PIXELS_PER_TOKEN + TEXT_TOKENS;
        Self {
            encode: unit * ENCODE_SHARE,
            denoise: unit * DENOISE_SHARE * f64::from(shape.steps) / BASE_STEPS * tokens / BASE_TOKENS,
            save: unit * SAVE_SHARE * pixels / BASE_PIXELS,
        }
    }

    /// The same work, each stage `factor` times as long.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { encode: self.encode * factor, denoise: self.denoise * factor, save: self.save * factor }
    }
}

/// `f(b)`: how many times as long a batch of `images` takes as one image.
pub fn batch_factor(images: u32) -> f64 {
    BATCH_SETUP + (1.0 - BATCH_SETUP) * f64::from(images)
}

/// `b / f(b)`: how many times as fast a batch of `images` goes as single images one at a time.
pub fn batch_gain(images: u32) -> f64 {
    f64::from(images) / batch_factor(images)
}

/// The speed at which a request of `images` denoises while `active` requests do (itself included), relative to its
/// speed alone on the GPU.
pub fn denoise_rate(active: u32, images: u32) -> f64 {
    let streams = f64::from(active.max(1));
    let headroom = (PEAK_SPEED - batch_gain(images)) / (PEAK_SPEED - 1.0);
    (1.0 + OVERLAP_GAIN * (1.0 - 1.0 / streams) * headroom) / streams
}

/// The share of the GPU's peak speed that requests denoising at once use, given the images of each: 0 to 1.
pub fn occupancy(images_of_each: impl ExactSizeIterator<Item = u32>) -> f64 {
    let active = u32::try_from(images_of_each.len()).unwrap_or(u32::MAX);
    images_of_each.map(|images| denoise_rate(active, images) * batch_gain(images) / PEAK_SPEED).sum()
}

/// Time in service of a request of this shape when `active` requests (itself included) denoise all the while.
pub fn service_time(base: Duration, shape: Shape, active: u32) -> Duration {
    let work = Work::of(base, shape);
    let denoise = work.denoise / denoise_rate(active, shape.images);
    Duration::from_secs_f64(work.encode + denoise + work.save)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const ONE: Shape = Shape { steps: 25, pixels: 512 * 512, images: 1 };

    fn seconds(shape: Shape, active: u32) -> f64 {
        service_time(BASE, shape, active).as_secs_f64()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    #[test]
    fn one_default_image_on_an_idle_gpu_takes_the_base_time() {
        assert!(close(seconds(ONE, 1), 1.0));
    }

    #[test]
    fn time_grows_with_steps_and_pixels() {
        assert!(close(seconds(Shape { steps: 50, ..ONE }, 1), 1.68));
        let large = Shape { pixels: 1024 * 1024, ..ONE };
        assert!(close(seconds(large, 1), 0.12 + 0.68 * 3.0 + 0.8));
    }

    #[test]
    fn a_batch_takes_longer_than_one_image_and_less_than_its_images_apart() {
        for images in 2..=16 {
            let batch = seconds(Shape { images, ..ONE }, 1);
            assert!(batch > seconds(Shape { images: images - 1, ..ONE }, 1));
            assert!(batch < f64::from(images));
        }
        assert!(close(seconds(Shape { images: 4, ..ONE }, 1), 2.5));
    }

    #[test]
    fn each_further_request_in_flight_adds_throughput_but_less_than_the_one_before() {
        let speed = |active: u32| f64::from(active) * denoise_rate(active, 1);
        assert!(close(speed(1), 1.0));
        assert!(close(speed(2), 1.25));
        for active in 2..32 {
            let gain = speed(active) - speed(active - 1);
            assert!(gain > 0.0);
            assert!(gain > speed(active + 1) - speed(active));
        }
    }

    #[test]
    fn batches_and_streams_together_stay_within_the_peak() {
        for active in 1..=64 {
            for images in 1..=256 {
                let used = occupancy((0..active).map(|_| images));
                assert!(used > 0.0 && used <= 1.0, "{active} x {images}: {used}");
            }
        }
        assert!(close(occupancy(std::iter::empty()), 0.0));
        assert!(close(occupancy([1].into_iter()), 0.5));
    }
}
