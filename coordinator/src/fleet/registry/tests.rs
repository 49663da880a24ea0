use fluxfleet_proto::id::SessionId;
use fluxfleet_proto::message::ClockPong;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::fleet::{MAX_AWAY, Outbox};

const PERIOD: Cadence = Cadence {
    fast: Duration::from_millis(100),
    normal: Duration::from_millis(500),
    slow: Duration::from_secs(2),
};

fn at(ms: i64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

fn fleet() -> Fleet {
    Fleet::new(RunId::new("run"), 1)
}

fn hello(session: u128, run: Option<&str>) -> AgentHello {
    AgentHello {
        protocol_version: PROTOCOL_VERSION,
        host: "gpu-1".to_owned(),
        software_version: "0".to_owned(),
        devices: Ok(Vec::new()),
        session: SessionId(session),
        run: run.map(RunId::new),
    }
}

fn join(fleet: &mut Fleet, hello: AgentHello, now: Mono) -> (Result<Seat, Refusal>, Receiver<AgentCommand>) {
    let (outbox, commands) = Outbox::new();
    (fleet.join_agent(hello, outbox, now), commands)
}

/// Answers pings until the agent is told to watch; tells when.
fn settle(fleet: &mut Fleet, seat: Seat, commands: &mut Receiver<AgentCommand>, from: i64) -> i64 {
    for ms in from..from + 10_000 {
        fleet.tick(PERIOD, at(ms));
        while let Ok(command) = commands.try_recv() {
            match command {
                AgentCommand::ClockPing(id) => {
                    assert!(fleet.heard_agent(seat, at(ms)));
                    let clock = fleet.clock_mut(seat.peer).expect("an agent");
                    clock.pong(ClockPong { id, received: at(ms), sent: at(ms) }, at(ms));
                }
                AgentCommand::Watch(cadence) => {
                    assert_eq!(cadence, PERIOD);
                    return ms;
                }
                AgentCommand::Welcome(_) | AgentCommand::Ack(_) | AgentCommand::Mark(..) => {}
            }
        }
    }
    panic!("it is never told to watch");
}

#[test]
fn an_agent_that_is_away_takes_its_place_again_with_its_clock() {
    let mut fleet = fleet();
    let (seat, mut commands) = join(&mut fleet, hello(1, None), at(0));
    let seat = seat.expect("a place");
    let settled = settle(&mut fleet, seat, &mut commands, 0);
    fleet.close();
    assert!(fleet.leave(seat.peer, "cut"));
    assert!(!fleet.leave(seat.peer, "cut again"));
    assert_eq!(fleet.agents().count(), 0);
    let (again, mut commands) = join(&mut fleet, hello(1, Some("run")), at(60_000));
    let again = again.expect("its place");
    assert_eq!((again.peer, again.stream), (seat.peer, seat.stream + 1));
    assert_eq!(fleet.agents().count(), 1);
    // Its clock was known, so it is told to send with the next tick.
    assert_eq!(settle(&mut fleet, again, &mut commands, 60_001), 60_001);
    let old = fleet.offset_for(seat.peer, at(settled), at(60_001)).expect("known");
    assert!(old.error_ns < 1_000_000, "{}", old.error_ns);
    let back = fleet.sampled(seat.peer, at(60_002)).expect("it is up to date");
    // It was last heard a tick before it was settled.
    assert_eq!((back.away, back.late), (at(60_000).since(at(settled - 1)), 0));
}

#[test]
fn what_comes_on_an_earlier_stream_is_not_listened_to() {
    let mut fleet = fleet();
    let (first, mut old) = join(&mut fleet, hello(1, None), at(0));
    let first = first.expect("a place");
    let (second, _commands) = join(&mut fleet, hello(1, Some("run")), at(10));
    let second = second.expect("the same");
    assert!(!fleet.heard_agent(first, at(20)) && fleet.heard_agent(second, at(20)));
    // The earlier stream has ended.
    while old.try_recv().is_ok() {}
    assert_eq!(old.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Disconnected));
}

#[test]
fn a_place_is_not_given_to_another_process_another_run_or_one_that_was_given_up() {
    let mut fleet = fleet();
    let (seat, _commands) = join(&mut fleet, hello(1, None), at(0));
    let seat = seat.expect("a place");
    let refused = |fleet: &mut Fleet, hello| join(fleet, hello, at(5)).0.expect_err("no place");
    assert!(matches!(refused(&mut fleet, hello(2, None)), Refusal::NameTaken(..)));
    assert!(matches!(refused(&mut fleet, hello(1, Some("other"))), Refusal::OtherRun { .. }));
    fleet.close();
    fleet.leave(seat.peer, "cut");
    assert_eq!(refused(&mut fleet, hello(2, None)), Refusal::OtherSession("gpu-1".to_owned()));
    fleet.lose(seat.peer, "too long", at(9));
    assert_eq!(refused(&mut fleet, hello(1, Some("run"))), Refusal::GivenUp("too long".to_owned()));
    assert!(matches!(refused(&mut fleet, hello(2, None)), Refusal::TooLate(_)));
}

#[test]
fn before_the_run_a_new_process_takes_the_place_of_one_that_is_away() {
    let mut fleet = fleet();
    let (seat, _commands) = join(&mut fleet, hello(1, None), at(0));
    fleet.leave(seat.expect("a place").peer, "cut");
    let (seat, _commands) = join(&mut fleet, hello(2, None), at(5));
    assert!(seat.is_ok());
    assert_eq!(fleet.everyone().1.len(), 1);
}

#[test]
fn a_silent_agent_is_away_and_lost_only_after_ten_minutes() {
    let mut fleet = fleet();
    let (seat, _commands) = join(&mut fleet, hello(1, None), at(0));
    let seat = seat.expect("a place");
    let mut now = at(0);
    let mut ticks = |fleet: &mut Fleet, until: Mono| loop {
        now = now + Duration::from_millis(500);
        let gone = fleet.tick(PERIOD, now);
        if !gone.is_empty() || now >= until {
            return (gone, now);
        }
    };
    let (gone, seen) = ticks(&mut fleet, at(60_000));
    assert_eq!(gone, [(seat.peer, Fading::Away, "nothing was heard of it for 10 s".to_owned())]);
    assert_eq!(seen, at(10_500));
    fleet.leave(seat.peer, "silent");
    let (gone, seen) = ticks(&mut fleet, at(700_000));
    assert_eq!(gone, [(seat.peer, Fading::Lost, "silent".to_owned())]);
    assert_eq!(seen, at(500) + MAX_AWAY);
    // Heard again on the same stream, it is there again.
    assert!(fleet.heard_agent(seat, seen));
    assert_eq!(fleet.agents().count(), 1);
}

#[test]
fn nobody_is_silent_while_the_coordinator_itself_stands_still() {
    let mut fleet = fleet();
    let (seat, _commands) = join(&mut fleet, hello(1, None), at(0));
    assert_eq!(fleet.tick(PERIOD, at(1)), []);
    assert_eq!(fleet.tick(PERIOD, at(60_000)), []);
    assert_eq!(fleet.tick(PERIOD, at(60_500)), []);
    assert!(seat.is_ok());
}

#[test]
fn the_next_ping_is_that_of_the_peer_whose_turn_comes_first_and_at_once_for_one_that_is_not_known() {
    let mut fleet = fleet();
    assert_eq!(fleet.next_ping(), None, "nobody is there");
    let (first, mut commands) = join(&mut fleet, hello(1, None), at(0));
    let first = first.unwrap();
    assert_eq!(fleet.next_ping(), None);
    let settled = settle(&mut fleet, first, &mut commands, 0);
    let due = fleet.next_ping().expect("its clock is known");
    assert!(due > at(settled) && due <= at(settled + 1000), "{due:?}");
    fleet.tick(PERIOD, due);
    assert_eq!(fleet.next_ping(), Some(due + Duration::from_secs(1)));
    let second = AgentHello { host: "gpu-2".to_owned(), ..hello(2, None) };
    let (_seat, _commands) = join(&mut fleet, second, due);
    assert_eq!(fleet.next_ping(), None, "the newcomer's clock is not known");
    fleet.leave(first.peer, "a broken stream");
    fleet.tick(PERIOD, due + Duration::from_millis(1));
    let burst = fleet.next_ping().expect("a burst");
    assert!(burst < due + Duration::from_secs(1), "who is away is not waited for");
}
