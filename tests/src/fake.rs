//! A worker that says over gRPC whatever a test wants, however false.

use std::sync::mpsc;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::wire::fleet_client::FleetClient;
use fluxfleet_proto::wire::{self, worker_down::Message as Down, worker_up::Message as Up};
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use crate::process::PATIENCE;

/// A worker's stream to the coordinator. Answers clock pings by itself; everything else is the test's to say.
pub struct FakeWorker {
    up: tokio::sync::mpsc::Sender<wire::WorkerUp>,
    down: mpsc::Receiver<Result<Down, Status>>,
    // Keeps the stream going between two words of the test.
    _runtime: Runtime,
}

/// How a worker of one thread introduces itself.
pub fn hello(name: &str) -> wire::WorkerHello {
    wire::WorkerHello {
        protocol_version: PROTOCOL_VERSION,
        name: name.to_owned(),
        host: "a-test".to_owned(),
        software_version: "0".to_owned(),
        threads: 1,
        cores: 1,
        ..wire::WorkerHello::default()
    }
}

impl FakeWorker {
    /// Joins the coordinator at `addr`, or tells how it was refused.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub fn join(addr: &str, hello: wire::WorkerHello) -> Result<Self, Status> {
        Self::open(addr, Up::Hello(hello))
    }

    /// Opens a stream whose first message is this one.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub fn open(addr: &str, first: Up) -> Result<Self, Status> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (up, rx) = tokio::sync::mpsc::channel(1024);
        let stream = runtime.block_on(async {
            up.send(message(first)).await.expect("room");
            let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
            let channel = endpoint.connect().await.expect("the coordinator");
            FleetClient::new(channel).work(ReceiverStream::new(rx)).await
        })?;
        let (tx, down) = mpsc::channel();
        runtime.spawn(listen(stream.into_inner(), up.clone(), tx));
        Ok(Self { up, down, _runtime: runtime })
    }

    /// Says something. Whether it is heard is another matter: the stream may have ended.
    pub fn say(&self, what: Up) {
        let _ = self.up.blocking_send(message(what));
    }

    /// Waits for a trial to be prepared.
    pub fn prepared(&self) -> wire::Prepare {
        loop {
            if let Some(Down::Prepare(prepare)) = self.heard().expect("the stream goes on") {
                return prepare;
            }
        }
    }

    /// Reports ready for a prepared trial and waits for its start.
    pub fn started(&self, trial: &wire::Prepare) -> wire::Start {
        self.say(Up::Ready(wire::Ready { trial_id: trial.trial_id, ceiling: None }));
        loop {
            if let Some(Down::Start(start)) = self.heard().expect("the stream goes on") {
                return start;
            }
        }
    }

    /// Waits for the coordinator to end the stream, and gives its last word if it has one.
    pub fn dropped(&self) -> Option<Status> {
        loop {
            match self.heard() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }

    /// The next message; `None` at the stream's end.
    fn heard(&self) -> Result<Option<Down>, Status> {
        match self.down.recv_timeout(PATIENCE) {
            Ok(Ok(down)) => Ok(Some(down)),
            Ok(Err(status)) => Err(status),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the coordinator said nothing"),
        }
    }
}

fn message(what: Up) -> wire::WorkerUp {
    wire::WorkerUp { message: Some(what) }
}

async fn listen(
    mut down: Streaming<wire::WorkerDown>,
    up: tokio::sync::mpsc::Sender<wire::WorkerUp>,
    tx: mpsc::Sender<Result<Down, Status>>,
) {
    loop {
        match down.message().await {
            Ok(Some(wire::WorkerDown { message: Some(Down::ClockPing(ping)) })) => {
                let now = u64::try_from(Clock::now().as_nanos()).expect("after the clock's zero");
                let pong = wire::ClockPong { id: ping.id, received_ns: now, sent_ns: now };
                let _ = up.send(message(Up::ClockPong(pong))).await;
            }
            Ok(Some(other)) => {
                let _ = tx.send(Ok(other.message.expect("a command")));
            }
            Ok(None) => return,
            Err(status) => {
                let _ = tx.send(Err(status));
                return;
            }
        }
    }
}
