//! The engine on a clock of the test's own.

use super::*;

const SHAPE: Shape = Shape { steps: 25, pixels: 512 * 512, images: 1 };
const TASK: Task = Task { shape: SHAPE, jitter: 1.0, saves: true };

fn config() -> SimConfig {
    SimConfig {
        pool_size: 2,
        queue_capacity: 2,
        base_service: Duration::from_secs(1),
        ..SimConfig::default()
    }
}

struct Bench {
    engine: Engine,
    origin: Instant,
}

impl Bench {
    fn new(config: &SimConfig) -> Self {
        let origin = Instant::now();
        Self { engine: Engine::new(config, origin), origin }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.origin + Duration::from_secs_f64(seconds)
    }

    fn submit(&mut self, seconds: f64, number: u64, task: Task) -> Result<(), Full> {
        self.engine.submit(self.at(seconds), JobNumber(number), task)
    }

    /// Numbers of the jobs that finished by then, with the seconds each was due.
    fn finished_by(&mut self, seconds: f64) -> Vec<(u64, f64)> {
        self.engine.advance(self.at(seconds));
        let finished = self.engine.take_events().into_iter().filter_map(|event| match event {
            Event::Finished { number, run } => {
                Some((number.0, run.finished.duration_since(self.origin).as_secs_f64()))
            }
            Event::Started { .. } => None,
        });
        finished.collect()
    }
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-5
}

#[test]
fn a_job_alone_takes_the_base_time() {
    let mut bench = Bench::new(&config());
    bench.submit(3.0, 0, TASK).expect("room");
    assert_eq!(bench.finished_by(3.999), []);
    let finished = bench.finished_by(4.001);
    assert_eq!(finished.len(), 1);
    assert!(close(finished[0].1, 4.0));
}

#[test]
fn a_job_that_does_not_save_leaves_its_instance_early() {
    let mut bench = Bench::new(&config());
    bench.submit(0.0, 0, Task { saves: false, ..TASK }).expect("room");
    assert!(close(bench.finished_by(2.0)[0].1, 0.8));
}

#[test]
fn two_jobs_share_the_gpu_and_finish_sooner_than_in_turn() {
    let mut bench = Bench::new(&config());
    bench.submit(0.0, 0, TASK).expect("room");
    bench.submit(0.0, 1, TASK).expect("room");
    let finished = bench.finished_by(5.0);
    // Both denoise together: 0.68 of work at a rate of 1.25 / 2.
    let expected = 0.12 + 0.68 * 2.0 / 1.25 + 0.2;
    assert!(finished.iter().all(|(_, at)| close(*at, expected)), "{finished:?}");
    assert!(expected < 2.0);
}

#[test]
fn a_full_queue_refuses_and_a_withdrawn_job_makes_room() {
    let mut bench = Bench::new(&config());
    for number in 0..4 {
        bench.submit(0.0, number, TASK).expect("two run and two wait");
    }
    assert_eq!(bench.submit(0.1, 4, TASK), Err(Full));
    assert!(!bench.engine.withdraw(bench.at(0.2), JobNumber(0)), "it runs");
    assert!(bench.engine.withdraw(bench.at(0.2), JobNumber(2)));
    assert!(!bench.engine.withdraw(bench.at(0.2), JobNumber(2)), "it is gone");
    bench.submit(0.3, 5, TASK).expect("one place is free");
    assert_eq!((bench.engine.running(), bench.engine.queued()), (2, 2));
    let order: Vec<u64> = bench.finished_by(100.0).into_iter().map(|(number, _)| number).collect();
    assert_eq!(order, [0, 1, 3, 5]);
}

#[test]
fn waking_late_changes_nothing() {
    let (mut prompt, mut late) = (Bench::new(&config()), Bench::new(&config()));
    for bench in [&mut prompt, &mut late] {
        for number in 0..4 {
            bench.submit(0.0, number, TASK).expect("room");
        }
    }
    let mut seen = Vec::new();
    for millis in 0..10_000_u32 {
        seen.extend(prompt.finished_by(f64::from(millis) / 1000.0));
    }
    let at_once = late.finished_by(9.999);
    assert_eq!(seen.len(), 4);
    for ((number, at), (late_number, late_at)) in seen.into_iter().zip(at_once) {
        assert_eq!(number, late_number);
        assert!(close(at, late_at));
    }
    assert!(close(prompt.engine.meter().energy_j(), late.engine.meter().energy_j()));
    assert!(close(prompt.engine.meter().temperature_c(), late.engine.meter().temperature_c()));
}

#[test]
fn the_next_due_instant_is_never_too_early() {
    let mut bench = Bench::new(&config());
    for number in 0..4 {
        let task = Task { jitter: 1.0 + number as f64 / 7.0, ..TASK };
        bench.submit(0.1, number, task).expect("room");
    }
    let mut wakes = 0;
    while let Some(due) = bench.engine.next_due() {
        bench.engine.advance(due);
        wakes += 1;
        assert!(wakes <= 12, "four jobs have twelve stages");
    }
    assert_eq!(bench.engine.running(), 0);
}

#[test]
fn the_instruments_follow_the_load() {
    let mut bench = Bench::new(&config());
    let asleep = bench.engine.load();
    let resident = bench.engine.memory_used_bytes();
    assert_eq!(asleep.throttle(), ["gpu_idle"]);
    bench.submit(0.0, 0, TASK).expect("room");
    let encoding = bench.engine.load();
    assert!(encoding.awake && !encoding.busy, "prompts are encoded on the host");
    assert!(bench.engine.memory_used_bytes() > resident);
    bench.submit(0.0, 1, TASK).expect("room");
    bench.engine.advance(bench.at(0.2));
    let two = bench.engine.load();
    assert!(two.busy && two.power_w() > encoding.power_w());
    assert!(two.throttle().is_empty());
    bench.engine.advance(bench.at(100.0));
    assert_eq!(bench.engine.load(), asleep);
    assert_eq!(bench.engine.memory_used_bytes(), resident);
    // Busy from 0.12 s for as long as both denoise.
    let (awake, busy) = (0.32 + 1.088, 1.088);
    let energy = 55.0 * (100.0 - awake) + 150.0 * awake + 250.0 * 0.625 * busy;
    assert!(close(bench.engine.meter().energy_j(), energy));
}

/// A strategy as the closed loop of `in_flight` clients that it is.
#[derive(Clone, Copy)]
struct Strategy {
    in_flight: usize,
    images: u32,
    saves: bool,
    /// From the end of a job to the next submission.
    think_s: f64,
}

/// Items per second of `items` asked for one after the other, over two default GPUs.
fn throughput(strategy: Strategy, items: u32) -> f64 {
    let config = SimConfig::default();
    let mut gpus = [Bench::new(&config), Bench::new(&config)];
    let origin = gpus[0].origin;
    for gpu in &mut gpus {
        gpu.origin = origin;
    }
    let mut ready = vec![0.0; strategy.in_flight];
    let (mut asked, mut last_end, mut number) = (0, 0.0_f64, 0);
    loop {
        ready.sort_by(f64::total_cmp);
        let submission = ready.first().copied().filter(|_| asked < items);
        let due = gpus.iter().filter_map(|gpu| gpu.engine.next_due()).min();
        let due = due.map(|due| due.duration_since(origin).as_secs_f64());
        match (submission, due) {
            (Some(at), due) if due.is_none_or(|due| at <= due) => {
                ready.remove(0);
                let images = strategy.images.min(items - asked);
                asked += images;
                let jitter = crate::draw::jitter_factor(config.seed, number, config.jitter);
                let task = Task { shape: Shape { images, ..SHAPE }, jitter, saves: strategy.saves };
                let gpu = gpus
                    .iter_mut()
                    .min_by_key(|gpu| gpu.engine.running() + gpu.engine.queued())
                    .expect("two GPUs");
                gpu.submit(at, number, task).expect("queues are long enough");
                number += 1;
            }
            (_, Some(due)) => {
                for gpu in &mut gpus {
                    for (_, at) in gpu.finished_by(due) {
                        ready.push(at + strategy.think_s);
                        last_end = last_end.max(at + strategy.think_s);
                    }
                }
            }
            (_, None) => return f64::from(items) / last_end,
        }
    }
}

fn strategies(concurrent: usize, items: u32) -> [f64; 4] {
    let baseline = Strategy { in_flight: concurrent, images: 1, saves: true, think_s: 0.002 };
    let pool = Strategy { in_flight: (concurrent * 5).div_ceil(3), ..baseline };
    let batch = Strategy { images: 4, ..baseline };
    // A client that polls every 100 ms sees the end 50 ms late on average.
    let detached = Strategy { saves: false, think_s: 0.05, ..baseline };
    [baseline, pool, batch, detached].map(|strategy| throughput(strategy, items))
}

#[test]
fn strategies_rank_as_their_physics_says() {
    for (concurrent, items) in [(2, 20), (3, 20), (3, 200), (5, 20), (5, 200), (6, 20), (6, 60), (6, 200)] {
        let [baseline, pool, batch, detached] = strategies(concurrent, items);
        let context = format!(
            "{concurrent} in flight, {items} items: baseline {baseline:.2}, model_pool {pool:.2}, batch {batch:.2}, \
             async {detached:.2} items/s"
        );
        assert!(detached > baseline, "{context}");
        assert!(pool > detached, "{context}");
        assert!(batch > baseline * 1.1, "{context}");
    }
}

#[test]
fn more_in_flight_gains_nothing_once_the_pools_are_full() {
    let [baseline, pool, ..] = strategies(12, 400);
    assert!((pool / baseline - 1.0).abs() < 0.02, "baseline {baseline:.2}, model_pool {pool:.2} items/s");
}
