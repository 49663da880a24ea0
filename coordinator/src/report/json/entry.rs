//! An entry of `performance_results`.

use fluxfleet_proto::histogram::encode_base64;
use serde::Serialize;

use crate::analysis::report::{
    ErrorLine, Items, Measured, Missing, Percentile, StrategyReport, Times, Value, WorkerPart,
};
use crate::report::text::EN;

use super::absent::Absent;
use super::generator::Generator;
use super::gpu::{Gpu, GpuTotal};
use super::load::{Load, SeriesEntry, SteadyState, Warmup};
use super::stream::rfc3339;

/// One strategy. A field that is `None` has its reason in `absent`, under its name.
#[derive(Serialize)]
pub(super) struct Performance<'a> {
    strategy: &'a str,
    path: &'a str,
    items_per_request: u32,
    in_flight: Option<u32>,
    skipped: Option<&'a str>,
    not_started: Option<String>,
    error: Option<String>,
    items_planned: u64,
    items_ok: u64,
    items_failed: u64,
    items_not_sent: u64,
    not_sent: Vec<NotSent>,
    /// The rest is `null` throughout where the strategy did not run, for which `absent` has no entries of
    /// its own: `skipped` or `not_started` says why.
    #[serde(flatten)]
    measured: Statistics,
    load: Option<Load>,
    warmup: Option<Warmup>,
    steady_state: Option<SteadyState>,
    series: Vec<SeriesEntry>,
    generator: Vec<Generator<'a>>,
    gpus: Vec<Gpu<'a>>,
    gpu_total: Option<GpuTotal>,
    errors: Vec<ErrorEntry<'a>>,
    workers: Vec<WorkerEntry<'a>>,
    uncertified: Vec<&'static str>,
    absent: Absent,
    histograms: Option<Histograms>,
}

#[derive(Default, Serialize)]
struct Statistics {
    started_at: Option<String>,
    ended_at: Option<String>,
    total_requests: Option<u64>,
    successful_requests: Option<u64>,
    failed_requests: Option<u64>,
    requests_sent: Option<u64>,
    polls_sent: Option<u64>,
    redirects: Option<u64>,
    connections: Option<u64>,
    bytes_received: Option<u64>,
    success_rate: Option<f64>,
    total_time: Option<f64>,
    throughput: Option<f64>,
    response_time_count: Option<u64>,
    response_time_overflow: Option<u64>,
    avg_response_time: Option<f64>,
    median_response_time: Option<f64>,
    min_response_time: Option<f64>,
    max_response_time: Option<f64>,
    p50_response_time: Option<f64>,
    p90_response_time: Option<f64>,
    p95_response_time: Option<f64>,
    p99_response_time: Option<f64>,
    p999_response_time: Option<f64>,
    response_time_std: Option<f64>,
    service_time_p50: Option<f64>,
    service_time_p95: Option<f64>,
    service_time_p99: Option<f64>,
    first_byte_p50: Option<f64>,
    first_byte_p95: Option<f64>,
    first_byte_p99: Option<f64>,
    connect_time_p50: Option<f64>,
    connect_time_p95: Option<f64>,
    connect_time_p99: Option<f64>,
    tls_time_p50: Option<f64>,
    tls_time_p95: Option<f64>,
    tls_time_p99: Option<f64>,
    failed_response_time_count: Option<u64>,
    failed_response_time_avg: Option<f64>,
    failed_response_time_p50: Option<f64>,
    failed_response_time_p95: Option<f64>,
    failed_response_time_max: Option<f64>,
    send_lateness_p50_us: Option<f64>,
    send_lateness_p99_us: Option<f64>,
    send_lateness_max_us: Option<f64>,
    pacer_lateness_p50_us: Option<f64>,
    pacer_lateness_p99_us: Option<f64>,
    pacer_lateness_max_us: Option<f64>,
    not_sent_wait_count: Option<u64>,
    not_sent_wait_p50: Option<f64>,
    not_sent_wait_p99: Option<f64>,
    not_sent_wait_max: Option<f64>,
    overflow: Option<Overflow>,
    avg_generation_time: Option<f64>,
    median_generation_time: Option<f64>,
    avg_gpu_utilization: Option<f64>,
    avg_vram_usage: Option<f64>,
    avg_cpu_usage: Option<f64>,
    avg_memory_usage: Option<f64>,
    host_samples: Option<u64>,
    efficiency_score: Option<f64>,
    efficiency_score_without_gpu: Option<bool>,
}

/// Durations beyond the histograms' range, by what they are of.
#[derive(Serialize)]
struct Overflow {
    response_time: u64,
    service_time: u64,
    first_byte: u64,
    send_lateness: u64,
    pacer_lateness: u64,
    failed_response_time: u64,
    not_sent_wait: u64,
    connect_time: u64,
    tls_time: u64,
}

#[derive(Serialize)]
struct NotSent {
    reason: String,
    count: u64,
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    kind: String,
    count: u64,
    example: Option<&'a str>,
}

#[derive(Serialize)]
struct WorkerEntry<'a> {
    name: &'a str,
    items_planned: u64,
    items_ok: u64,
    items_failed: u64,
    items_not_sent: u64,
    start_skew_us: Option<i64>,
}

#[derive(Serialize)]
struct Histograms {
    response_time: String,
    service_time: String,
}

impl<'a> Performance<'a> {
    pub(super) fn of(row: &'a StrategyReport) -> Self {
        let Items { planned, ok, failed, not_sent } = row.items;
        let mut entry = Self {
            strategy: &row.name,
            path: &row.path,
            items_per_request: row.items_per_request,
            in_flight: row.in_flight,
            skipped: None,
            not_started: None,
            error: None,
            items_planned: planned,
            items_ok: ok,
            items_failed: failed,
            items_not_sent: not_sent,
            not_sent: Vec::new(),
            measured: Statistics::default(),
            load: None,
            warmup: None,
            steady_state: None,
            series: Vec::new(),
            generator: Vec::new(),
            gpus: Vec::new(),
            gpu_total: None,
            errors: Vec::new(),
            workers: Vec::new(),
            uncertified: Vec::new(),
            absent: Absent::default(),
            histograms: None,
        };
        let unsent = |reason: &dyn ToString, count| NotSent { reason: reason.to_string(), count };
        match &row.measured {
            Ok(measured) => {
                entry.error = EN.row_error(row);
                entry.not_sent = measured.not_sent.iter().map(|(r, n)| unsent(r, *n)).collect();
                entry.errors = measured.errors.iter().map(error).collect();
                entry.workers = measured.workers.iter().map(worker).collect();
                entry.load = Some(Load::of(&measured.load));
                entry.warmup = measured.warmup.as_ref().map(Warmup::of);
                entry.steady_state = Some(SteadyState::of(&measured.steady));
                entry.series = measured.series.iter().map(SeriesEntry::of).collect();
                entry.generator = measured.generators.iter().map(Generator::of).collect();
                entry.gpus = measured.gpus.gpus.iter().map(Gpu::of).collect();
                entry.gpu_total = Some(GpuTotal::of(&measured.gpus.total));
                entry.measured =
                    Reader { absent: &mut entry.absent, uncertified: &mut entry.uncertified }.read(measured);
                entry.histograms = Some(Histograms {
                    response_time: encode_base64(measured.response_histogram.histogram()),
                    service_time: encode_base64(measured.service_histogram.histogram()),
                });
            }
            Err(Missing::Skipped(why)) => {
                entry.skipped = Some(why);
                entry.not_sent.push(unsent(&"skipped", not_sent));
            }
            Err(Missing::NotStarted(reason)) => {
                entry.not_started = Some((EN.not_sent)(*reason).to_owned());
                entry.not_sent.push(unsent(reason, not_sent));
            }
            Err(other) => entry.not_started = Some((EN.missing)(other)),
        }
        entry
    }
}

fn error(line: &ErrorLine) -> ErrorEntry<'_> {
    ErrorEntry { kind: line.kind.to_string(), count: line.count, example: line.example.as_deref() }
}

fn worker(part: &WorkerPart) -> WorkerEntry<'_> {
    let Items { planned, ok, failed, not_sent } = part.items;
    WorkerEntry {
        name: &part.worker,
        items_planned: planned,
        items_ok: ok,
        items_failed: failed,
        items_not_sent: not_sent,
        start_skew_us: part.start_skew_us,
    }
}

fn beyond_range(m: &Measured) -> Overflow {
    Overflow {
        response_time: m.response.overflow,
        service_time: m.service.overflow,
        first_byte: m.first_byte.overflow,
        send_lateness: m.send_lateness.overflow,
        pacer_lateness: m.pacer_lateness.overflow,
        failed_response_time: m.failed_response.overflow,
        not_sent_wait: m.not_sent_wait.overflow,
        connect_time: m.connect.overflow,
        tls_time: m.tls.overflow,
    }
}

/// Takes values out of a measurement and notes what is missing and what is not certified.
struct Reader<'r> {
    absent: &'r mut Absent,
    uncertified: &'r mut Vec<&'static str>,
}

impl Reader<'_> {
    fn value(&mut self, field: &'static str, value: &Value) -> Option<f64> {
        self.absent.take(field, value)
    }

    fn micros(&mut self, field: &'static str, seconds: &Value) -> Option<f64> {
        // Whole microseconds went in; rounding takes off what the division by a million added.
        self.value(field, seconds).map(|s| (s * 1e6).round())
    }

    fn micros_percentile(&mut self, field: &'static str, percentile: &Percentile) -> Option<f64> {
        self.percentile(field, percentile).map(|s| (s * 1e6).round())
    }

    fn percentile(&mut self, field: &'static str, percentile: &Percentile) -> Option<f64> {
        let value = self.value(field, &percentile.seconds)?;
        if !percentile.certified {
            self.uncertified.push(field);
        }
        Some(value)
    }

    fn read(mut self, m: &Measured) -> Statistics {
        let Times { count, overflow, mean_s, std_dev_s, min_s, max_s, p50, p90, p95, p99, p999 } =
            &m.response;
        if m.window.is_none() {
            for field in ["started_at", "ended_at"] {
                self.absent.note(field, &Missing::NothingSent);
            }
        }
        Statistics {
            started_at: m.window.map(|(from, _)| rfc3339(from)),
            ended_at: m.window.map(|(_, to)| rfc3339(to)),
            total_requests: Some(m.requests.ended()),
            successful_requests: Some(m.requests.ok),
            failed_requests: Some(m.requests.failed),
            requests_sent: Some(m.requests.sent),
            polls_sent: Some(m.requests.polls),
            redirects: Some(m.requests.redirects),
            connections: Some(m.requests.connections),
            bytes_received: Some(m.requests.bytes_received),
            success_rate: self.value("success_rate", &m.success_rate_percent),
            total_time: self.value("total_time", &m.total_time_s),
            throughput: self.value("throughput", &m.throughput_items_per_s),
            response_time_count: Some(*count),
            response_time_overflow: Some(*overflow),
            avg_response_time: self.value("avg_response_time", mean_s),
            median_response_time: self.value("median_response_time", &p50.seconds),
            min_response_time: self.value("min_response_time", min_s),
            max_response_time: self.value("max_response_time", max_s),
            p50_response_time: self.percentile("p50_response_time", p50),
            p90_response_time: self.percentile("p90_response_time", p90),
            p95_response_time: self.percentile("p95_response_time", p95),
            p99_response_time: self.percentile("p99_response_time", p99),
            p999_response_time: self.percentile("p999_response_time", p999),
            response_time_std: self.value("response_time_std", std_dev_s),
            service_time_p50: self.percentile("service_time_p50", &m.service.p50),
            service_time_p95: self.percentile("service_time_p95", &m.service.p95),
            service_time_p99: self.percentile("service_time_p99", &m.service.p99),
            first_byte_p50: self.percentile("first_byte_p50", &m.first_byte.p50),
            first_byte_p95: self.percentile("first_byte_p95", &m.first_byte.p95),
            first_byte_p99: self.percentile("first_byte_p99", &m.first_byte.p99),
            connect_time_p50: self.percentile("connect_time_p50", &m.connect.p50),
            connect_time_p95: self.percentile("connect_time_p95", &m.connect.p95),
            connect_time_p99: self.percentile("connect_time_p99", &m.connect.p99),
            tls_time_p50: self.percentile("tls_time_p50", &m.tls.p50),
            tls_time_p95: self.percentile("tls_time_p95", &m.tls.p95),
            tls_time_p99: self.percentile("tls_time_p99", &m.tls.p99),
            failed_response_time_count: Some(m.failed_response.count),
            failed_response_time_avg: self.value("failed_response_time_avg", &m.failed_response.mean_s),
            failed_response_time_p50: self.percentile("failed_response_time_p50", &m.failed_response.p50),
            failed_response_time_p95: self.percentile("failed_response_time_p95", &m.failed_response.p95),
            failed_response_time_max: self.value("failed_response_time_max", &m.failed_response.max_s),
            send_lateness_p50_us: self.micros_percentile("send_lateness_p50_us", &m.send_lateness.p50),
            send_lateness_p99_us: self.micros_percentile("send_lateness_p99_us", &m.send_lateness.p99),
            send_lateness_max_us: self.micros("send_lateness_max_us", &m.send_lateness.max_s),
            pacer_lateness_p50_us: self.micros_percentile("pacer_lateness_p50_us", &m.pacer_lateness.p50),
            pacer_lateness_p99_us: self.micros_percentile("pacer_lateness_p99_us", &m.pacer_lateness.p99),
            pacer_lateness_max_us: self.micros("pacer_lateness_max_us", &m.pacer_lateness.max_s),
            not_sent_wait_count: Some(m.not_sent_wait.count),
            not_sent_wait_p50: self.percentile("not_sent_wait_p50", &m.not_sent_wait.p50),
            not_sent_wait_p99: self.percentile("not_sent_wait_p99", &m.not_sent_wait.p99),
            not_sent_wait_max: self.value("not_sent_wait_max", &m.not_sent_wait.max_s),
            overflow: Some(beyond_range(m)),
            avg_generation_time: self.value("avg_generation_time", &m.generation.mean_s),
            median_generation_time: self.value("median_generation_time", &m.generation.p50.seconds),
            avg_gpu_utilization: self.value("avg_gpu_utilization", &m.host.gpu_percent),
            avg_vram_usage: self.value("avg_vram_usage", &m.host.vram_percent),
            avg_cpu_usage: self.value("avg_cpu_usage", &m.host.cpu_percent),
            avg_memory_usage: self.value("avg_memory_usage", &m.host.memory_percent),
            host_samples: Some(m.host.samples),
            efficiency_score: self.value("efficiency_score", &m.score),
            efficiency_score_without_gpu: Some(m.score_without_gpu),
        }
    }
}
