//! A coordinator as far as a worker can tell, commanded by the test.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{Welcome, WorkerCommand, WorkerReport};
use fluxfleet_proto::wire::fleet_server::{Fleet, FleetServer};
use fluxfleet_proto::wire::{AgentDown, AgentUp, WorkerDown, WorkerUp};
use fluxfleet_worker::{Config, WorkerError};
use tokio::runtime::Runtime;
use tokio::sync::mpsc as async_mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// How long anything may take; nothing here comes near it unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker's stream, seen from the coordinator.
pub(crate) struct Peer {
    commands: Option<async_mpsc::Sender<Result<WorkerDown, Status>>>,
    reports: mpsc::Receiver<WorkerReport>,
}

impl Peer {
    /// Sends a command.
    pub(crate) fn send(&self, command: WorkerCommand) {
        self.send_raw(command.into());
    }

    /// Sends a message that the domain cannot express.
    pub(crate) fn send_raw(&self, message: WorkerDown) {
        self.commands.as_ref().unwrap().blocking_send(Ok(message)).unwrap();
    }

    /// Ends the stream with an error.
    pub(crate) fn fail(&mut self, status: Status) {
        let commands = self.commands.take().unwrap();
        commands.blocking_send(Err(status)).unwrap();
    }

    /// Closes the stream.
    pub(crate) fn close(&mut self) {
        self.commands = None;
    }

    /// The next report; `None` when the worker has ended its half.
    pub(crate) fn next(&self) -> Option<WorkerReport> {
        match self.reports.recv_timeout(PATIENCE) {
            Ok(report) => Some(report),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the worker says nothing"),
        }
    }

    /// The reports up to the first that `last` accepts, included.
    pub(crate) fn until(&self, last: impl Fn(&WorkerReport) -> bool) -> Vec<WorkerReport> {
        let mut reports = Vec::new();
        loop {
            reports.push(self.next().expect("the stream goes on"));
            if last(reports.last().unwrap()) {
                return reports;
            }
        }
    }
}

/// The coordinator's end.
pub(crate) struct Coordinator {
    pub(crate) address: SocketAddr,
    peers: mpsc::Receiver<Peer>,
    runtime: Runtime,
}

struct Service {
    peers: Mutex<mpsc::Sender<Peer>>,
    refusal: Option<Status>,
}

#[tonic::async_trait]
impl Fleet for Service {
    type WorkStream = ReceiverStream<Result<WorkerDown, Status>>;
    type WatchStream = ReceiverStream<Result<AgentDown, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<WorkerUp>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        if let Some(status) = &self.refusal {
            return Err(status.clone());
        }
        let (commands, stream) = async_mpsc::channel(64);
        let (sender, reports) = mpsc::channel();
        let mut inbound = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(up)) = inbound.message().await {
                if sender.send(up.try_into().expect("a worker's messages make sense")).is_err() {
                    return;
                }
            }
        });
        let peer = Peer { commands: Some(commands), reports };
        self.peers.lock().unwrap().send(peer).unwrap();
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn watch(&self, _: Request<Streaming<AgentUp>>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("no agents here"))
    }
}

impl Coordinator {
    /// Takes every worker.
    pub(crate) fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap(), None)
    }

    /// Refuses every worker.
    pub(crate) fn refusing(status: Status) -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap(), Some(status))
    }

    /// Takes every worker at an address, or refuses it.
    pub(crate) fn listen(address: SocketAddr, refusal: Option<Status>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, peers) = mpsc::channel();
        let service = FleetServer::new(Service { peers: Mutex::new(sender), refusal })
            .max_decoding_message_size(fluxfleet_proto::MAX_MESSAGE_BYTES);
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { address, peers, runtime }
    }

    /// The next worker, welcomed; its hello is the first report.
    pub(crate) fn peer(&self) -> Peer {
        let peer = self.peer_unwelcomed();
        peer.send(WorkerCommand::Welcome(Welcome { run: RunId::new("run-1"), peer: PeerId(3) }));
        peer
    }

    /// The next worker, not welcomed.
    pub(crate) fn peer_unwelcomed(&self) -> Peer {
        self.peers.recv_timeout(PATIENCE).expect("a worker")
    }

    /// Vanishes: every connection breaks.
    pub(crate) fn vanish(self) {
        self.runtime.shutdown_background();
    }
}

/// A worker at work.
pub(crate) struct Worker {
    pub(crate) cancel: CancellationToken,
    thread: std::thread::JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// Starts a worker for the coordinator at an address.
    pub(crate) fn start(address: SocketAddr, connect_timeout: Duration) -> Self {
        let cancel = CancellationToken::new();
        let config = Config {
            coordinator: address.to_string(),
            name: "worker-a".into(),
            threads: NonZeroUsize::new(2).unwrap(),
            labels: [("zone".to_owned(), "b".to_owned())].into(),
        };
        let token = cancel.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(fluxfleet_worker::run_within(config, connect_timeout, token))
        });
        Self { cancel, thread }
    }

    /// How it ended.
    pub(crate) fn result(self) -> Result<(), WorkerError> {
        self.thread.join().unwrap()
    }
}

/// A worker that has been welcomed and has said hello.
pub(crate) fn joined() -> (Coordinator, Peer, Worker) {
    let coordinator = Coordinator::start();
    let worker = Worker::start(coordinator.address, PATIENCE);
    let peer = coordinator.peer();
    assert!(matches!(peer.next(), Some(WorkerReport::Hello(_))));
    (coordinator, peer, worker)
}
