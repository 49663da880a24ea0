//! What a thread does that is behind. Load and service are on one thread here, so that what comes between two looks at the
//! network does not depend on the machine.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Lanes};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::load::{Limits, Load as Timing, NO_LIMIT, OpenLoad, WhenFull};
use fluxfleet_proto::trial::{Assignment, Method, Share, Strategy as Plan, Target, Transport, Workload};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

use super::Open;
use crate::drive::{Client, ClientOptions, HeaderSet};
use crate::engine::gate::Gate;
use crate::engine::load::Load;
use crate::engine::shared::Control;
use crate::record::Tallies;
use crate::strategy::Strategy;

fn assignment(url: String, load: OpenLoad) -> Assignment {
    Assignment {
        trial: TrialId(0),
        strategy: Plan { name: "baseline".into(), method: Method::Single { path: "/generate".into() } },
        target: Target {
            base_url: url,
            timeout: Duration::from_secs(20),
            headers: Vec::new(),
            max_body_bytes: 1 << 20,
            transport: Transport::default(),
        },
        workload: Workload { prompts: vec!["a cat".into()], parameters_json: "{}".into(), seed: 0 },
        share: Share { first_item: 0, items: Share::UNBOUNDED, in_flight: NO_LIMIT },
        load: Timing::Open(load),
        limits: Limits::default(),
        calibrate: None,
        record_requests: false,
        interval: Duration::from_secs(1),
    }
}

/// Reads a request, which is small, and answers it once it `may`; again and again, one after the other.
async fn serve(mut connection: TcpStream, may: Rc<Barrier>) {
    let mut request = [0; 4096];
    while connection.read(&mut request).await.is_ok_and(|read| read > 0) {
        may.wait().await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"image_url\":\"/x.png\"}";
        connection.write_all(answer).await.unwrap();
    }
}

/// Sends so many requests that are all due already to a service that answers `together` at a time; returns how many went
/// well, and on how many connections.
async fn burst(requests: u64, together: usize) -> (u64, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Rc::new(Cell::new(0));
    let seen = Rc::clone(&accepted);
    let may = Rc::new(Barrier::new(together));
    tokio::task::spawn_local(async move {
        while let Ok((connection, _)) = listener.accept().await {
            seen.set(seen.get() + 1);
            tokio::task::spawn_local(serve(connection, Rc::clone(&may)));
        }
    });
    let load = OpenLoad {
        arrivals: Arrivals::constant(1e6).unwrap(),
        lanes: Lanes::all(1),
        items: Some(requests),
        when_full: WhenFull::Wait,
    };
    let assignment = assignment(url, load.clone());
    let load = Arc::new(load);
    let (parts, _parts) = mpsc::channel(8);
    let (_flush, flushes) = mpsc::channel(1);
    let thread = Load {
        thread: 0,
        threads: 1,
        control: Arc::new(Control::new(assignment.share, assignment.limits, Gate::default())),
        strategy: Arc::new(Strategy::new(&assignment, HeaderSet::new(&http::HeaderMap::new())).unwrap()),
        target: Arc::new(assignment.target.clone()),
        in_flight: NO_LIMIT,
        open: Some(Arc::clone(&load)),
        limits: assignment.limits,
        tallies: Tallies::default(),
        records: false,
        parts,
        flushes,
    };
    let client = Client::new(ClientOptions::of(&assignment.target).unwrap());
    let (context, _flushes) = thread.context(client, None);
    let context = Rc::new(context);
    let start = Clock::now() - Duration::from_secs(1);
    let places = super::places(NO_LIMIT, 1, 0);
    let open = Open::new(&load, assignment.limits, NonZeroU32::MIN, (0, 1), places, start).unwrap();
    context.crowd.spawn(Rc::new(open).drive(Rc::clone(&context)));
    context.crowd.run(16).await;
    let tally = context.recorder.borrow_mut().swap(Tallies::default()).measured;
    assert_eq!(tally.connections, accepted.get());
    (tally.items_ok, tally.connections)
}

fn on_one_thread(requests: u64, together: usize) -> (u64, u64) {
    let options = tokio::runtime::LocalOptions::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(2).build_local(options);
    runtime.unwrap().block_on(async {
        let burst = burst(requests, together);
        tokio::time::timeout(Duration::from_secs(20), burst).await.expect("no hang")
    })
}

#[test]
fn who_is_behind_opens_no_connection_while_answers_come() {
    let (ok, connections) = on_one_thread(500, 1);
    assert_eq!(ok, 500);
    // The first answer takes some looks to come.
    assert!(connections < 10, "{connections}");
}

#[test]
fn who_is_behind_and_hears_no_answer_opens_a_connection_for_each() {
    assert_eq!(on_one_thread(200, 200), (200, 200));
}
