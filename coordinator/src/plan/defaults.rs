//! What holds when nothing is said: the seed's defaults, prompts and payload.

use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::trial::{Method, Strategy};
use serde_json::{Map, Value, json};

use super::raw::RawStrategy;

/// `--url`
pub(super) const URL: &str = "http://localhost:8000";
/// `--requests`
pub(super) const REQUESTS: u64 = 20;
/// `--concurrent`
pub(super) const CONCURRENT: u32 = 3;
/// `--batch-size`
pub(super) const BATCH_SIZE: u32 = 4;
/// `--poll-interval`
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// `--cooldown`
pub(super) const COOLDOWN: Duration = Duration::from_secs(10);
/// `--sample-period`
pub(super) const SAMPLE_PERIOD: Duration = Duration::from_millis(500);
/// `--fast-period`
pub(super) const FAST_PERIOD: Duration = Duration::from_millis(100);
/// `--timeout`
pub(super) const TIMEOUT: Duration = Duration::from_secs(300);
/// `--max-body`, bytes
pub(super) const MAX_BODY: u64 = 32 << 20;
/// `--seed`
pub(super) const SEED: u64 = 1;
/// `--wait`
pub(super) const WAIT: Duration = Duration::from_secs(60);

/// The built-in strategies in the seed's order, which is the order of `--strategies all`.
pub const BUILT_IN: [&str; 4] = ["baseline", "model_pool", "batch", "async"];

/// Prompts used round-robin when the plan gives none: ten, as in the seed.
pub const DEFAULT_PROMPTS: [&str; 10] = [
    "一只橘猫趴在洒满阳光的窗台上，水彩风格",
    "雨夜的霓虹街道，赛博朋克，电影感光线",
    "雪山脚下的湖泊倒映着星空，长曝光摄影",
    "古镇石桥与红灯笼，清晨薄雾，水墨画",
    "未来城市上空的飞行列车，概念设计",
    "森林深处发光的蘑菇小屋，童话插画",
    "海边灯塔与暴风雨，油画质感",
    "宇航员在火星温室里种花，写实风格",
    "一碗热气腾腾的牛肉面，美食摄影，特写",
    "秋天的银杏大道，逆光，胶片颗粒",
];

/// Fields that every request body carries beside its prompt.
pub(super) fn parameters() -> Map<String, Value> {
    let fields = json!({
        "num_inference_steps": 25,
        "guidance_scale": 3.5,
        "width": 512,
        "height": 512,
    });
    match fields {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Requests in flight of `model_pool`: the seed used 5 where the others used 3.
pub(super) fn pool_in_flight(concurrent: NonZeroU32) -> NonZeroU32 {
    let scaled = (u64::from(concurrent.get()) * 5).div_ceil(3);
    u32::try_from(scaled).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
}

/// A built-in strategy, with the routes of the plan file where it names some.
pub(super) fn strategy(
    name: &str,
    routes: &RawStrategy,
    batch: NonZeroU32,
    poll: Duration,
) -> Option<Strategy> {
    let path = |default: &str| routes.path.clone().unwrap_or_else(|| default.to_owned());
    let method = match name {
        "baseline" | "model_pool" => Method::Single { path: path("/generate") },
        "batch" => Method::Batch { path: path("/batch-generate"), size: batch },
        "async" => Method::Async {
            submit_path: path("/async-generate"),
            id_field: routes.id_field.clone().unwrap_or_else(|| "request_id".to_owned()),
            status_path: routes.status_path.clone(),
            poll_interval: poll,
        },
        _ => return None,
    };
    Some(Strategy { name: name.to_owned(), method })
}
