//! Which driver a client uses, and what the general one adds.

use std::io::Write as _;
use std::sync::mpsc;

use axum::http::Version;
use fluxfleet_proto::failure::FailureKind;
use http::HeaderMap;
use url::Url;

use super::rig::{LIMIT, OK, on_a_load_thread, server};
use crate::drive::{
    Client, ClientOptions, DriverChoice, Endpoint, HeaderSet, HttpVersion, Progress, TlsOptions,
};

fn endpoint(url: &str) -> Endpoint {
    Endpoint::post(Url::parse(url).unwrap(), &HeaderSet::new(&HeaderMap::new())).unwrap()
}

fn options() -> ClientOptions {
    let tls = TlsOptions { insecure: true, ..TlsOptions::default() };
    ClientOptions { limit: LIMIT, tls, ..ClientOptions::default() }
}

#[test]
fn http_2_is_spoken_when_it_is_asked_for() {
    on_a_load_thread(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let version = |version: Version| async move { format!("{version:?}") };
        let service = axum::Router::new().fallback(version);
        tokio::spawn(async move { axum::serve(listener, service).await });
        for (http, spoken) in [(HttpVersion::One, "HTTP/1.1"), (HttpVersion::Two, "HTTP/2.0")] {
            let client = Client::new(ClientOptions { http, ..options() });
            let endpoint = endpoint(&format!("http://{address}/x"));
            client.warm_up(&endpoint.origin).unwrap();
            let calls = (0..10).map(async |_| {
                let answer = client.call(&endpoint, b"{}", &Progress::default()).await.unwrap();
                assert_eq!(&answer.body[..], spoken.as_bytes());
            });
            futures_util::future::join_all(calls).await;
        }
    });
}

#[test]
fn only_a_target_that_speaks_tls_needs_somebody_to_trust() {
    on_a_load_thread(async {
        let address = server(false, |_, mut wire| {
            wire.read_request();
            wire.write_all(OK).unwrap();
        });
        for driver in [DriverChoice::Direct, DriverChoice::General] {
            // As on a machine without a trust store.
            let tls = TlsOptions { ca_pem: Some(Vec::new()), insecure: false };
            let client = Client::new(ClientOptions { tls, driver, ..options() });
            let plain = endpoint(&format!("http://{address}/x"));
            client.warm_up(&plain.origin).unwrap();
            client.call(&plain, b"{}", &Progress::default()).await.unwrap();
            let secure = endpoint(&format!("https://{address}/x"));
            assert_eq!(client.warm_up(&secure.origin).unwrap_err().kind, FailureKind::Tls);
        }
    });
}

#[test]
fn a_service_without_http_2_is_a_protocol_failure_that_says_so() {
    on_a_load_thread(async {
        for scheme in ["http", "https"] {
            let address = server(scheme == "https", |_, mut wire| {
                // The preface of HTTP/2 begins like a head.
                wire.read_head();
                wire.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
                wire.wait_for_close();
            });
            let client = Client::new(ClientOptions { http: HttpVersion::Two, ..options() });
            let endpoint = endpoint(&format!("{scheme}://{address}/x"));
            let failure = client.call(&endpoint, b"{}", &Progress::default()).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
            assert!(failure.text.contains("speak HTTP/2"), "{}", failure.text);
        }
    });
}

#[test]
fn a_proxy_is_asked_instead_of_the_service() {
    on_a_load_thread(async {
        let (asked, requests) = mpsc::channel();
        let proxy = server(false, move |_, mut wire| {
            asked.send(wire.read_request().unwrap()).unwrap();
            wire.write_all(OK).unwrap();
        });
        let proxy = Some(Url::parse(&format!("http://{proxy}")).unwrap());
        let client = Client::new(ClientOptions { proxy, ..options() });
        let endpoint = endpoint("http://no-such-host.invalid/x");
        client.call(&endpoint, b"{}", &Progress::default()).await.unwrap();
        let request = requests.recv().unwrap();
        assert!(request.starts_with("POST http://no-such-host.invalid/x HTTP/1.1\r\n"), "{request}");
    });
}

#[test]
fn what_a_driver_cannot_do_is_refused_before_the_load() {
    on_a_load_thread(async {
        let origin = endpoint("http://gpu/x").origin;
        let refused = |options: ClientOptions| Client::new(options).warm_up(&origin).unwrap_err().text;
        let direct = ClientOptions { driver: DriverChoice::Direct, ..options() };
        assert!(refused(ClientOptions { http: HttpVersion::Two, ..direct.clone() }).contains("general"));
        let proxy = Some(Url::parse("ftp://proxy").unwrap());
        assert!(refused(ClientOptions { proxy: proxy.clone(), ..direct.clone() }).contains("general"));
        Client::new(direct).warm_up(&origin).unwrap();
        let general = ClientOptions { driver: DriverChoice::General, ..options() };
        Client::new(general).warm_up(&origin).unwrap();
    });
}
