//! Runs trials on the engine and gathers what they give off.

pub(crate) mod server;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::load::{Limits, Load};
use fluxfleet_proto::tally::{Interval, Phase, Record, Tally};
use fluxfleet_proto::trial::{Assignment, Method, Share, Strategy, Target, TrialEnd, Workload};
use fluxfleet_worker::engine::{self, Handle, Output};

/// A trial about to be run.
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) assignment: Assignment,
    pub(crate) threads: usize,
}

impl Trial {
    /// One item at `http://{address}/generate` by a single request.
    pub(crate) fn at(base_url: impl Into<String>) -> Self {
        Self {
            assignment: Assignment {
                trial: TrialId(0),
                strategy: Strategy {
                    name: "baseline".into(),
                    method: Method::Single { path: "/generate".into() },
                },
                target: Target {
                    base_url: base_url.into(),
                    timeout: Duration::from_secs(20),
                    headers: vec![],
                    max_body_bytes: 1 << 20,
                    transport: fluxfleet_proto::trial::Transport::default(),
                },
                workload: Workload {
                    prompts: vec!["一只猫".into(), "a dog".into(), "a \"bird\"".into()],
                    parameters_json: r#"{"width":512}"#.into(),
                    seed: 40,
                },
                share: Share { first_item: 0, items: 1, in_flight: 1 },
                load: Load::Closed,
                limits: Limits::default(),
                calibrate: None,
                record_requests: false,
                interval: Duration::from_millis(20),
            },
            threads: 1,
        }
    }

    pub(crate) fn single(server: &server::Server) -> Self {
        Self::at(server.url())
    }

    pub(crate) fn batch(server: &server::Server, size: u32) -> Self {
        Self::at(server.url())
            .method("batch", Method::Batch { path: "/generate".into(), size: NonZeroU32::new(size).unwrap() })
    }

    pub(crate) fn submit_poll(server: &server::Server, status_path: Option<&str>) -> Self {
        Self::at(server.url()).method(
            "async",
            Method::Async {
                submit_path: "/generate".into(),
                id_field: "request_id".into(),
                status_path: status_path.map(Into::into),
                poll_interval: Duration::from_millis(5),
            },
        )
    }

    pub(crate) fn method(mut self, name: &str, method: Method) -> Self {
        self.assignment.strategy = Strategy { name: name.into(), method };
        self
    }

    pub(crate) fn items(mut self, items: u64) -> Self {
        self.assignment.share.items = items;
        self
    }

    pub(crate) fn first_item(mut self, first_item: u64) -> Self {
        self.assignment.share.first_item = first_item;
        self
    }

    pub(crate) fn in_flight(mut self, in_flight: u32) -> Self {
        self.assignment.share.in_flight = in_flight;
        self
    }

    pub(crate) fn load(mut self, load: Load) -> Self {
        self.assignment.load = load;
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.assignment.limits = limits;
        self
    }

    pub(crate) fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.assignment.target.timeout = timeout;
        self
    }

    pub(crate) fn max_body(mut self, bytes: u64) -> Self {
        self.assignment.target.max_body_bytes = bytes;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.assignment.target.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn records(mut self) -> Self {
        self.assignment.record_requests = true;
        self
    }
}

/// All that a trial gave off.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) warmup: Tally,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) records: Vec<Record>,
    pub(crate) end: TrialEnd,
}

impl Outcome {
    /// Failed items by kind.
    pub(crate) fn kinds(&self) -> Vec<(String, u64)> {
        self.tally.failures.iter().map(|(kind, seen)| (kind.to_string(), seen.count)).collect()
    }

    /// The example text of the only failure kind.
    pub(crate) fn example(&self) -> String {
        let mut texts = self.tally.failures.iter().filter_map(|(_, seen)| seen.example.clone());
        let text = texts.next().unwrap_or_default();
        assert_eq!(texts.next(), None, "one kind only");
        text
    }
}

/// Runs a trial from start to end.
pub(crate) fn run(trial: Trial) -> Outcome {
    run_with(trial, |handle| handle.start(Clock::now()))
}

/// Prepares a trial, lets `then` command it once it is ready, and gathers it to its end.
pub(crate) fn run_with(trial: Trial, then: impl FnOnce(&Handle)) -> Outcome {
    let items = trial.assignment.share.items;
    let (handle, mut outputs) =
        engine::prepare(trial.assignment, NonZeroUsize::new(trial.threads).unwrap()).unwrap();
    assert!(matches!(outputs.blocking_recv(), Some(Output::Ready(None))), "ready comes first");
    then(&handle);
    let outcome = gather_and(&mut outputs, |interval| handle.give_back(interval)).unwrap();
    let not_sent = outcome.end.not_sent.map_or(0, |(n, _)| n);
    if items < Share::UNBOUNDED {
        let ended = outcome.tally.items_ended() + outcome.tally.not_sent.total();
        assert_eq!(ended + not_sent, items, "every item ends once");
    }
    outcome
}

/// Reads outputs to the end; checks their numbering. A fault is the error.
pub(crate) fn gather(outputs: &mut tokio::sync::mpsc::Receiver<Output>) -> Result<Outcome, String> {
    gather_and(outputs, drop)
}

/// The same, with what to do with each interval that is not needed any more.
fn gather_and(
    outputs: &mut tokio::sync::mpsc::Receiver<Output>,
    done_with: impl Fn(Interval),
) -> Result<Outcome, String> {
    let (mut tally, mut warmup, mut all) = (Tally::default(), Tally::default(), Vec::<Interval>::new());
    let mut records = Vec::new();
    let (mut intervals, mut messages) = (0, 0);
    let mut until = None;
    while let Some(output) = outputs.blocking_recv() {
        match output {
            Output::Ready(_) => panic!("ready twice"),
            Output::Interval(i) => {
                assert_eq!(i.seq, intervals);
                // Two phases may share a span, and then one of the two tells of the generator.
                let same = all.last().is_some_and(|last| (last.from, last.to) == (i.from, i.to));
                assert!(same || until.is_none_or(|u| u == i.from) && i.from <= i.to, "spans join");
                assert_eq!(i.health.is_none(), same);
                until = Some(i.to);
                intervals += 1;
                match i.phase {
                    Phase::Warmup => warmup.merge(&i.tally),
                    Phase::Measure => tally.merge(&i.tally),
                }
                done_with((*i).clone());
                all.push(*i);
            }
            Output::Records(r) => {
                assert_eq!(r.seq, messages);
                assert!((1..=1000).contains(&r.records.len()));
                messages += 1;
                records.extend(r.records);
            }
            Output::Done(end) => {
                assert_eq!((end.intervals, end.records), (intervals, messages));
                assert!(outputs.blocking_recv().is_none(), "nothing follows the end");
                return Ok(Outcome { tally, warmup, intervals: all, records, end });
            }
            Output::Fault(why) => {
                assert!(outputs.blocking_recv().is_none(), "nothing follows a fault");
                return Err(why);
            }
        }
    }
    panic!("no end");
}
