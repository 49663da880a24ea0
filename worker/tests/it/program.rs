//! The program itself: flags, exit codes, signals.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::message::{Acked, WorkerCommand, WorkerReport};
use rustls::pki_types::PrivateKeyDer;
use tonic::Status;

use crate::fleet::{Coordinator, Peer};
use crate::session::{finish, prepare, ready, start_now};
use crate::support::{Trial, server};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxfleet-worker"));
    command.env_remove("RUST_LOG").env_remove("FLUXFLEET_COORDINATOR");
    command
}

/// Starts the program for a coordinator, with a name of its own.
fn started(coordinator: &Coordinator, adjust: impl FnOnce(&mut Command)) -> (Child, Peer) {
    let mut command = program();
    command.arg("--coordinator").arg(coordinator.address.to_string()).args(["--threads", "2"]);
    command.stderr(Stdio::piped());
    adjust(&mut command);
    let child = command.spawn().unwrap();
    let peer = coordinator.peer();
    let Some(WorkerReport::Hello(hello)) = peer.next() else { panic!("hello comes first") };
    assert!(hello.name.ends_with(&format!("-{}", child.id())), "{}", hello.name);
    (child, peer)
}

fn exit(mut child: Child) -> (Option<i32>, String) {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

#[test]
fn bad_flags_are_told_apart_and_exit_with_2() {
    for (flags, expected) in [
        (vec![], "--coordinator"),
        (vec!["--coordinator", "somewhere"], "HOST:PORT"),
        (vec!["--coordinator", "h:70000"], "70000"),
        (vec!["--coordinator", "http://h:1"], "HOST:PORT"),
        (vec!["--coordinator", "h:1", "--threads", "0"], "whole number from 1"),
        (vec!["--coordinator", "h:1", "--label", "x"], "KEY=VALUE"),
        (vec!["--coordinator", "h:1", "--name", ""], "name"),
        (vec!["--coordinator", "h:1", "--speed", "9"], "--speed"),
    ] {
        let output = program().args(&flags).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.matches("error:").count()), (Some(2), 1), "{flags:?}: {text}");
        assert!(text.contains(expected), "{flags:?}: {text}");
    }
}

#[test]
fn a_refusal_exits_with_6() {
    let coordinator = Coordinator::refusing(Status::already_exists("`w` is taken"));
    let output =
        program().args(["--name", "w", "--coordinator", &coordinator.address.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains("`w` is taken"), "{text}");
}

#[test]
fn an_interrupt_ends_the_load_reports_it_and_exits_with_130() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start(move |_| {
        let _ = arrived.send(());
        server::json(200, r#"{"url":"/x"}"#)
    });
    for signal in ["INT", "TERM"] {
        let coordinator = Coordinator::start();
        let (child, mut peer) = started(&coordinator, |_| {});
        prepare(&peer, Trial::single(&server).items(1 << 39).in_flight(4), 0);
        ready(&peer, 0);
        start_now(&peer, 0);
        (0..20).for_each(|_| arrivals.recv_timeout(Duration::from_secs(30)).unwrap());
        assert!(
            Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success()
        );
        let (tally, _, end) = finish(&peer, 0);
        let (not_sent, reason) = end.not_sent.unwrap();
        assert_eq!((tally.items_ended() + not_sent, reason), (1 << 39, NotSentReason::Interrupted));
        assert_eq!(peer.next(), None);
        peer.close();
        assert_eq!(exit(child).0, Some(130));
    }
}

#[test]
fn an_https_target_is_asked_when_its_certificate_is_trusted_and_a_tls_failure_when_not() {
    let (url, authority) = https_server();
    let (_, stranger) = https_server();
    for trusted in [true, false] {
        let coordinator = Coordinator::start();
        let (child, mut peer) = started(&coordinator, |command| {
            let file = if trusted { authority.path() } else { stranger.path() };
            command.env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR");
        });
        prepare(&peer, Trial::at(url.clone()).items(6).in_flight(2), 0);
        ready(&peer, 0);
        start_now(&peer, 0);
        let (tally, _, _) = finish(&peer, 0);
        if trusted {
            assert_eq!((tally.items_ok, tally.items_failed), (6, 0), "{:?}", tally.failures);
        } else {
            let kinds: Vec<_> = tally.failures.iter().map(|(k, seen)| (k.to_string(), seen.count)).collect();
            assert_eq!(kinds, [("tls".to_owned(), 6)], "{:?}", tally.failures);
        }
        peer.close();
        assert_eq!(exit(child).0, Some(0));
    }
}

/// Lets a command have so many files open.
fn with_files(command: &mut Command, most: u32) {
    let program = std::mem::replace(command, Command::new("sh"));
    command
        .args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")])
        .arg(program.get_program())
        .args(program.get_args());
    command.env_remove("RUST_LOG").env_remove("FLUXFLEET_COORDINATOR").stderr(Stdio::piped());
}

#[test]
fn a_share_that_needs_more_open_files_than_allowed_is_refused_before_the_load() {
    let server = server::start(|_| server::json(200, r#"{"url":"/x"}"#));
    let coordinator = Coordinator::start();
    let (child, mut peer) = started(&coordinator, |command| with_files(command, 100));
    prepare(&peer, Trial::single(&server).items(5000).in_flight(1000), 0);
    let Some(WorkerReport::Fault(Some(TrialId(0)), why)) = peer.next() else { panic!("a fault") };
    assert!(why.contains("1000 requests in flight need") && why.contains("ulimit -n"), "{why}");
    // A smaller share is fine.
    prepare(&peer, Trial::single(&server).items(5).in_flight(2), 1);
    ready(&peer, 1);
    start_now(&peer, 1);
    assert_eq!(finish(&peer, 1).0.items_ok, 5);
    peer.close();
    assert_eq!(exit(child).0, Some(0));
}

#[test]
fn a_share_that_needs_too_many_open_files_with_its_threads_says_how_many_are_enough() {
    let server = server::start(|_| server::json(200, r#"{"url":"/x"}"#));
    let coordinator = Coordinator::start();
    let with = |most| {
        started(&coordinator, |command| {
            *command = program();
            command.arg("--coordinator").arg(coordinator.address.to_string()).args(["--threads", "40"]);
            with_files(command, most);
        })
    };
    let share = || Trial::single(&server).items(300).in_flight(150);
    let (child, mut peer) = with(300);
    prepare(&peer, share(), 0);
    let Some(WorkerReport::Fault(Some(TrialId(0)), why)) = peer.next() else { panic!("a fault") };
    let most = why.split("`ulimit -n ").nth(1).and_then(|rest| rest.split('`').next()?.parse().ok());
    peer.close();
    assert_eq!(exit(child).0, Some(0));
    let (child, mut peer) = with(most.unwrap_or_else(|| panic!("a number: {why}")));
    prepare(&peer, share(), 0);
    ready(&peer, 0);
    start_now(&peer, 0);
    let (tally, _, _) = finish(&peer, 0);
    assert_eq!((tally.items_ok, tally.items_failed), (300, 0), "{:?}", tally.failures);
    peer.close();
    assert_eq!(exit(child).0, Some(0));
}

#[test]
fn a_message_that_makes_no_sense_does_not_end_the_worker() {
    let coordinator = Coordinator::start();
    let (child, mut peer) = started(&coordinator, |_| {});
    peer.send_raw(fluxfleet_proto::wire::WorkerDown { message: None });
    assert!(matches!(peer.next(), Some(WorkerReport::Fault(None, _))));
    peer.send(WorkerCommand::Stop(TrialId(9), NotSentReason::Interrupted, Duration::ZERO));
    peer.send(WorkerCommand::Ack(TrialId(9), Acked::Interval(9)));
    peer.close();
    let (code, text) = exit(child);
    assert_eq!(code, Some(0));
    assert!(text.contains("joined run run-1"), "{text}");
}

/// A server that answers every request on each connection with an item, over TLS, and the certificate of the
/// authority that vouches for it; both made for this call alone.
fn https_server() -> (String, tempfile::NamedTempFile) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority_certificate.pem().as_bytes()).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(tls, stream.unwrap());
            std::thread::spawn(move || {
                // A request of the test is shorter than a TLS record, so one read is one request.
                while tls.read(&mut [0; 8192]).is_ok_and(|n| n > 0) {
                    let body = r#"{"url":"/x"}"#;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    if tls.write_all((head + body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, file)
}
