//! A coordinator that does what a test tells it.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod scrape;

use std::pin::Pin;
use std::time::Duration;

use fluxfleet_agent::testing::ScriptedCollector;
use fluxfleet_agent::{AgentError, Config, GpuSource, run};
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{AgentCommand, AgentReport, Cadence, Welcome};
use fluxfleet_proto::peer::AgentHello;
use fluxfleet_proto::reading::{HostSample, Occasion};
use fluxfleet_proto::wire;
use fluxfleet_proto::wire::fleet_server::{Fleet, FleetServer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

type Down<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A coordinator on a port of its own.
pub(crate) struct Coordinator {
    pub(crate) address: String,
    streams: mpsc::Receiver<AgentStream>,
}

impl Coordinator {
    /// One that takes every agent.
    pub(crate) async fn start() -> Self {
        Self::answering(None).await
    }

    /// One that refuses every agent.
    pub(crate) async fn refusing(status: Status) -> Self {
        Self::answering(Some(status)).await
    }

    async fn answering(refusal: Option<Status>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (opened, streams) = mpsc::channel(4);
        let serve = tonic::transport::Server::builder()
            .add_service(FleetServer::new(Service { refusal, opened }))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move { serve.await.expect("a server") });
        Self { address, streams }
    }

    /// Waits for an agent and its greeting.
    pub(crate) async fn greeted(&mut self) -> (AgentStream, AgentHello) {
        let mut stream = self.streams.recv().await.expect("an agent");
        match stream.hear().await {
            Some(AgentReport::Hello(hello)) => (stream, hello),
            other => panic!("not a greeting: {other:?}"),
        }
    }

    /// As [`greeted`](Self::greeted), and welcomes it.
    pub(crate) async fn welcomed(&mut self) -> AgentStream {
        let (stream, _) = self.greeted().await;
        stream.welcome().await;
        stream
    }
}

/// The stream of one agent, as the coordinator has it. Dropping it closes it in order.
pub(crate) struct AgentStream {
    up: Streaming<wire::AgentUp>,
    down: mpsc::Sender<Result<wire::AgentDown, Status>>,
}

impl AgentStream {
    /// The next message; `None` when the agent ended the stream in order.
    pub(crate) async fn hear(&mut self) -> Option<AgentReport> {
        let up = self.up.message().await.expect("a stream that did not break")?;
        Some(AgentReport::try_from(up).expect("a message that makes sense"))
    }

    /// The next samples.
    pub(crate) async fn samples(&mut self) -> Vec<HostSample> {
        match self.hear().await {
            Some(AgentReport::Samples(samples)) => samples,
            other => panic!("not samples: {other:?}"),
        }
    }

    /// As [`samples`](Self::samples), with a ping each second meanwhile, as a coordinator sends them: an agent takes one
    /// that says nothing for gone.
    async fn samples_kept_alive(&mut self) -> Vec<HostSample> {
        loop {
            match tokio::time::timeout(Duration::from_secs(1), self.hear()).await {
                Ok(Some(AgentReport::Samples(samples))) => return samples,
                Ok(Some(AgentReport::ClockPong(_))) | Err(_) => {}
                Ok(other) => panic!("not samples: {other:?}"),
            }
            self.tell(AgentCommand::ClockPing(0)).await;
        }
    }

    /// Samples up to the first that is as `wanted`, which is the last.
    pub(crate) async fn samples_until(
        &mut self,
        mut wanted: impl FnMut(&HostSample) -> bool,
    ) -> Vec<HostSample> {
        let mut all = Vec::new();
        loop {
            for sample in self.samples_kept_alive().await {
                let found = wanted(&sample);
                all.push(sample);
                if found {
                    return all;
                }
            }
        }
    }

    /// Has one sample taken, with an hour for every reading to answer: a new period begins with a sample.
    pub(crate) async fn one_sample(&mut self) -> HostSample {
        self.watch(Duration::from_hours(1)).await;
        // An event of it may follow.
        self.samples_until(|sample| sample.occasion == Occasion::Normal).await.pop().expect("the one found")
    }

    /// Waits until the stream breaks.
    pub(crate) async fn breaks(&mut self) {
        while self.up.message().await.is_ok_and(|message| message.is_some()) {}
    }

    /// Ends the stream with a status.
    pub(crate) async fn refuse(self, status: Status) {
        self.down.send(Err(status)).await.expect("an agent that listens");
    }

    pub(crate) async fn watch(&self, period: Duration) {
        let far = Duration::from_hours(2);
        self.tell(AgentCommand::Watch(Cadence { fast: far, normal: period, slow: far })).await;
    }

    pub(crate) async fn tell(&self, command: AgentCommand) {
        self.down.send(Ok(command.into())).await.expect("an agent that listens");
    }

    pub(crate) async fn welcome(&self) {
        self.welcome_to("test-run").await;
    }

    pub(crate) async fn welcome_to(&self, run: &str) {
        self.tell(AgentCommand::Welcome(Welcome { run: RunId::new(run), peer: PeerId(1) })).await;
    }
}

struct Service {
    refusal: Option<Status>,
    opened: mpsc::Sender<AgentStream>,
}

#[tonic::async_trait]
impl Fleet for Service {
    type WorkStream = Down<wire::WorkerDown>;
    type WatchStream = Down<wire::AgentDown>;

    async fn work(
        &self,
        _: Request<Streaming<wire::WorkerUp>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn watch(
        &self,
        request: Request<Streaming<wire::AgentUp>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut up = request.into_inner();
        if let Some(status) = &self.refusal {
            up.message().await?;
            return Err(status.clone());
        }
        let (down, commands) = mpsc::channel(16);
        self.opened.send(AgentStream { up, down }).await.expect("a test that waits for agents");
        Ok(Response::new(Box::pin(ReceiverStream::new(commands))))
    }
}

/// An agent under test.
pub(crate) struct Agent {
    pub(crate) cancel: CancellationToken,
    ended: JoinHandle<Result<(), AgentError>>,
}

impl Agent {
    /// Runs against `coordinator` with scripted GPUs.
    pub(crate) fn start(coordinator: &str, gpus: ScriptedCollector) -> Self {
        Self::patient(coordinator, gpus, Duration::from_mins(10))
    }

    /// As [`start`](Self::start), with this long to reach the coordinator again.
    pub(crate) fn patient(coordinator: &str, gpus: ScriptedCollector, reconnect_for: Duration) -> Self {
        let config = Config {
            coordinator: Some(coordinator.to_owned()),
            host: "gpu-1".to_owned(),
            gpus: GpuSource::Custom(Box::new(gpus)),
            processes: Vec::new(),
            connect_timeout: Duration::from_secs(30),
            metrics: None,
            reconnect_for,
            keep: Duration::from_mins(10),
        };
        Self::run(config)
    }

    /// Runs with this configuration.
    pub(crate) fn run(config: Config) -> Self {
        let cancel = CancellationToken::new();
        let ended = tokio::spawn(run(config, cancel.clone()));
        Self { cancel, ended }
    }

    /// How its run ended.
    pub(crate) async fn ended(self) -> Result<(), AgentError> {
        self.ended.await.expect("a run that did not panic")
    }
}

/// A network between an agent and a coordinator.
pub(crate) struct Network {
    pub(crate) address: String,
    through: watch::Sender<(u64, bool)>,
}

impl Network {
    pub(crate) async fn to(coordinator: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (through, seen) = watch::channel((0, true));
        tokio::spawn(async move {
            while let Ok((mut agent, _)) = listener.accept().await {
                let (mut seen, coordinator) = (seen.clone(), coordinator.clone());
                let (cuts, flows) = *seen.borrow_and_update();
                tokio::spawn(async move {
                    if !flows {
                        return;
                    }
                    let mut coordinator = TcpStream::connect(coordinator).await.expect("a coordinator");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut agent, &mut coordinator) => {}
                        _ = seen.wait_for(|&(now, _)| now != cuts) => {}
                    }
                });
            }
        });
        Self { address, through }
    }

    /// Closes all connections, and new ones at once.
    pub(crate) fn cut(&self) {
        self.through.send_modify(|(cuts, flows)| (*cuts, *flows) = (*cuts + 1, false));
    }

    /// Lets new connections through.
    pub(crate) fn restore(&self) {
        self.through.send_modify(|(_, flows)| *flows = true);
    }
}
