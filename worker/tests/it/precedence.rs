//! How the system schedules load threads while their requests are in flight.

use std::sync::{Arc, Mutex};

use fluxfleet_proto::arrival::{Arrivals, Lanes};
use fluxfleet_proto::load::{Load, NO_LIMIT, OpenLoad, WhenFull};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::Barrier;

use crate::support::{Trial, run, server};

/// More than any other test has, which may run beside this one: the last thread's name is its own.
const THREADS: u32 = 9;

/// Numbers of policies, as sched.h has them.
const OTHER: u32 = 0;
const FIFO: u32 = 1;

/// The policy of the last of the load threads. `None`: there is no such thread.
fn policy_of_the_last() -> Option<u32> {
    let name = format!("load-{}\n", THREADS - 1);
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may have ended since it was listed.
    let read = |path: &std::path::Path, file| std::fs::read_to_string(path.join(file)).unwrap_or_default();
    let path = threads.map(|entry| entry.unwrap().path()).find(|path| read(path, "comm") == name)?;
    let stat = read(&path, "stat");
    // proc(5): the third field is the first behind the name, and the 41st the policy.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(41 - 3)?.parse().ok()
}

/// The policy of the last thread while each thread has one request in flight.
fn policy_under(load: Option<Load>) -> u32 {
    let all = Arc::new(Barrier::new(THREADS as usize));
    let seen = Arc::new(Mutex::new(None));
    let policy = Arc::clone(&seen);
    let server = server::start_async(move |_| {
        let (all, policy) = (Arc::clone(&all), Arc::clone(&policy));
        async move {
            if all.wait().await.is_leader() {
                *policy.lock().unwrap() = policy_of_the_last();
            }
            // Nobody is answered before that.
            all.wait().await;
            server::json(200, r#"{"image_url":"/x.png"}"#)
        }
    });
    let trial = Trial::single(&server).items(THREADS.into()).threads(THREADS as usize);
    let outcome = run(match load {
        Some(load) => trial.load(load).in_flight(NO_LIMIT),
        None => trial.in_flight(THREADS),
    });
    assert_eq!(outcome.tally.items_ok, u64::from(THREADS));
    let policy = seen.lock().unwrap().take();
    policy.expect("the last thread is there while its request is in flight")
}

/// Whether this process may have threads in real time.
fn may_be_real_time() -> bool {
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let try_it =
        move || set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, fifo).is_ok();
    // A thread of its own: the policy stays with it.
    std::thread::spawn(try_it).join().unwrap()
}

#[test]
fn load_threads_are_in_real_time_where_that_is_allowed_and_only_for_arrivals_that_are_due() {
    let open = OpenLoad {
        arrivals: Arrivals::constant(1000.0).unwrap(),
        lanes: Lanes::all(THREADS),
        items: Some(THREADS.into()),
        when_full: WhenFull::Wait,
    };
    let allowed = if may_be_real_time() { FIFO } else { OTHER };
    assert_eq!(policy_under(Some(Load::Open(open))), allowed);
    assert_eq!(policy_under(None), OTHER);
}
