//! Looks for the strategies' endpoints before any load.
//!
//! The question is put with OPTIONS, which makes no server generate anything: a route that exists answers 405,
//! 200 or 204 to it, a missing one 404. Some servers answer 404 to every method they do not know, so a 404 is
//! checked with a POST of an empty body: a route that exists refuses the body, a missing one says 404 again.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use fluxfleet_proto::trial::{HttpVersion, Target, Transport};
use reqwest::{Client, ClientBuilder, Method, StatusCode};
use thiserror::Error;

use crate::plan::PlannedStrategy;

/// Longest wait for an answer. A service busy with a generation may not answer; that is no proof of absence.
const PATIENCE: Duration = Duration::from_secs(10);

/// The run cannot begin.
#[derive(Debug, Error)]
pub enum PreflightError {
    /// No HTTP comes from there.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// The target.
        url: String,
        /// What went wrong and what to do.
        why: Unreachable,
    },
    /// Every strategy's endpoint is missing.
    #[error("{url} serves none of the strategies:\n{}", list(.skipped))]
    NothingUsable {
        /// The target.
        url: String,
        /// Strategies and what is missing.
        skipped: Vec<(String, String)>,
    },
}

fn list(skipped: &[(String, String)]) -> String {
    let lines: Vec<_> = skipped.iter().map(|(name, why)| format!("  - {name}: {why}")).collect();
    lines.join("\n")
}

/// Why a target cannot be reached.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unreachable {
    /// Nothing accepts connections.
    #[error("connection refused; is the service running, and on this port?")]
    Refused,
    /// The proxy accepts no connections.
    #[error("the proxy refused the connection; is it running, and on this port?")]
    ProxyRefused,
    /// The name leads nowhere.
    #[error("the host name does not resolve; check its spelling, or give an address")]
    Name,
    /// No connection within the time.
    #[error("no connection within {0} s; check address, port and firewall")]
    Slow(u64),
    /// The port does not speak TLS, or not as we want it.
    #[error("TLS failed ({0}); does this port speak plain HTTP? then use http://")]
    Tls(String),
    /// It shows a certificate that is not trusted.
    #[error(
        "TLS failed ({0}); does the certificate come from an authority of your own? then give it with --ca"
    )]
    Untrusted(String),
    /// Something answers, but it is not HTTP.
    #[error(
        "something answers there, but it does not speak HTTP ({0}); does this port want https://, or is it another service's?"
    )]
    NotHttp(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What was found of one strategy's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is there, or cannot be told to be missing.
    Usable,
    /// It is there for all we know, but something is worth saying.
    Doubtful(String),
    /// It is missing; why, and what to do.
    Missing(String),
}

/// Looks for each strategy's endpoint, in the plan's order.
///
/// # Errors
/// When the target cannot be reached at all, or every endpoint is missing.
pub async fn preflight(
    target: &Target,
    strategies: &[PlannedStrategy],
) -> Result<Vec<Finding>, PreflightError> {
    let url = match &target.transport.proxy {
        // What refuses or does not resolve may be the proxy.
        Some(proxy) => format!("{} through the proxy {proxy}", target.base_url),
        None => target.base_url.clone(),
    };
    let unreachable = |why| {
        let why = match why {
            // Connections go to the proxy alone; what it cannot reach itself it answers.
            Unreachable::Refused if target.transport.proxy.is_some() => Unreachable::ProxyRefused,
            why => why,
        };
        PreflightError::Unreachable { url: url.clone(), why }
    };
    let client = client(target).map_err(|e| unreachable(Unreachable::Other(e.to_string())))?;
    let mut by_path: BTreeMap<&str, Finding> = BTreeMap::new();
    for planned in strategies {
        let path = planned.strategy.path();
        if !by_path.contains_key(path) {
            by_path.insert(path, look(&client, target, path).await.map_err(unreachable)?);
        }
    }
    let findings: Vec<Finding> =
        strategies.iter().map(|planned| by_path[planned.strategy.path()].clone()).collect();
    let missing = |(planned, finding): (&PlannedStrategy, &Finding)| match finding {
        Finding::Missing(why) => Some((planned.strategy.name.clone(), why.clone())),
        Finding::Usable | Finding::Doubtful(_) => None,
    };
    let skipped: Vec<_> = strategies.iter().zip(&findings).filter_map(missing).collect();
    if skipped.len() == strategies.len() {
        return Err(PreflightError::NothingUsable { url: target.base_url.clone(), skipped });
    }
    Ok(findings)
}

fn client(target: &Target) -> reqwest::Result<Client> {
    // Fails only when a provider is there already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in &target.headers {
        // The plan has validated both; a header it let through by mistake is left out of the question only.
        if let (Ok(name), Ok(value)) =
            (reqwest::header::HeaderName::try_from(name), reqwest::header::HeaderValue::try_from(value))
        {
            headers.insert(name, value);
        }
    }
    let builder = Client::builder().no_proxy();
    travelling(builder, target)?
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .default_headers(headers)
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .pool_max_idle_per_host(0)
        .build()
}

/// The same way to the target that the load will take.
fn travelling(mut builder: ClientBuilder, target: &Target) -> reqwest::Result<ClientBuilder> {
    let Transport { driver: _, http, proxy, ca_pem, insecure } = &target.transport;
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy)?);
    }
    if let Some(pem) = ca_pem {
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?);
    }
    builder = match http {
        HttpVersion::One => builder.http1_only(),
        // Over TLS both ends choose, over plain TCP there is nothing to choose with.
        HttpVersion::Two if target.base_url.starts_with("http://") => builder.http2_prior_knowledge(),
        HttpVersion::Two => builder,
    };
    Ok(builder.tls_danger_accept_invalid_certs(*insecure))
}

async fn look(client: &Client, target: &Target, path: &str) -> Result<Finding, Unreachable> {
    let url = format!("{}{path}", target.base_url);
    match ask(client, Method::OPTIONS, &url).await? {
        None => Ok(Finding::Doubtful(format!(
            "{path} did not answer within {} s; taken as present, because a service may not answer while it generates",
            PATIENCE.as_secs()
        ))),
        Some(StatusCode::NOT_FOUND | StatusCode::GONE) => match ask(client, Method::POST, &url).await? {
            Some(status @ (StatusCode::NOT_FOUND | StatusCode::GONE)) => Ok(Finding::Missing(format!(
                "POST {url} answers {}; the service has no such endpoint: leave the strategy out, or name its \
                 route in a plan file under [strategy.NAME] path",
                status.as_u16()
            ))),
            _ => Ok(Finding::Usable),
        },
        Some(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => Ok(Finding::Doubtful(format!(
            "{path} answers {}; requests may need --header 'Authorization: ..'",
            status.as_u16()
        ))),
        Some(_) => Ok(Finding::Usable),
    }
}

/// The answer's status; `None` when connected but not answered in time.
async fn ask(client: &Client, method: Method, url: &str) -> Result<Option<StatusCode>, Unreachable> {
    let request = client.request(method, url).header("content-type", "application/json").body("");
    match request.send().await {
        Ok(response) => Ok(Some(response.status())),
        Err(error) => match diagnose(&error) {
            None => Ok(None),
            Some(why) => Err(why),
        },
    }
}

/// What an error means; `None` for an answer that did not come in time.
fn diagnose(error: &reqwest::Error) -> Option<Unreachable> {
    let mut chain = Vec::new();
    let mut io_kind = None;
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(cause.to_string());
        if let Some(tls) = cause.downcast_ref() {
            return Some(match tls {
                rustls::Error::InvalidCertificate(_) => Unreachable::Untrusted(tls.to_string()),
                _ => Unreachable::Tls(tls.to_string()),
            });
        }
        let io = cause.downcast_ref::<std::io::Error>();
        io_kind = io.map(std::io::Error::kind).or(io_kind);
        // An io::Error names as its source the source of what it wraps, and so hides the wrapped error itself.
        let wrapped =
            io.and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        source = wrapped.or_else(|| cause.source());
    }
    let deepest = chain.last().cloned().unwrap_or_else(|| error.to_string());
    if error.is_timeout() && !error.is_connect() {
        return None;
    }
    Some(match io_kind {
        Some(std::io::ErrorKind::ConnectionRefused) => Unreachable::Refused,
        _ if chain.iter().any(|c| c.contains("dns error") || c.contains("lookup address")) => {
            Unreachable::Name
        }
        _ if error.is_timeout() => Unreachable::Slow(PATIENCE.as_secs()),
        _ if error.is_connect() => Unreachable::Other(deepest),
        _ => Unreachable::NotHttp(deepest),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::num::NonZeroU32;
    use std::sync::{Arc, mpsc};

    use fluxfleet_proto::trial::{Method as Asks, Strategy};
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

    use super::*;

    const ANSWER: &[u8] =
        b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    fn target(base_url: String, transport: Transport) -> Target {
        Target {
            base_url,
            timeout: Duration::from_secs(1),
            headers: Vec::new(),
            max_body_bytes: 1,
            transport,
        }
    }

    fn baseline() -> PlannedStrategy {
        let method = Asks::Single { path: "/generate".into() };
        let strategy = Strategy { name: "baseline".into(), method };
        PlannedStrategy { strategy, in_flight: NonZeroU32::MIN }
    }

    /// A service behind TLS with a certificate of its own making, for as many connections; and that certificate.
    fn tls_service(connections: usize) -> (String, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
        std::thread::spawn(move || {
            for socket in listener.incoming().take(connections).flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).expect("a good config");
                let mut stream = rustls::StreamOwned::new(connection, socket);
                if stream.read(&mut [0; 4096]).is_ok() {
                    let _ = stream.write_all(ANSWER);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        (url, certificate.pem())
    }

    #[tokio::test]
    async fn a_certificate_of_an_unknown_authority_is_refused_unless_it_is_given_or_waived() {
        let (url, pem) = tls_service(3);
        let asked = |transport: Transport| {
            let target = target(url.clone(), transport);
            async move { preflight(&target, &[baseline()]).await }
        };
        let error = asked(Transport::default()).await.expect_err("nobody vouches for it").to_string();
        assert!(error.contains("TLS failed") && error.contains("--ca"), "{error}");
        let given = asked(Transport { ca_pem: Some(pem), ..Transport::default() }).await;
        assert_eq!(given.expect("trusted"), [Finding::Usable]);
        let waived = asked(Transport { insecure: true, ..Transport::default() }).await;
        assert_eq!(waived.expect("not looked at"), [Finding::Usable]);
    }

    #[tokio::test]
    async fn the_question_goes_through_the_proxy_and_a_dead_one_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = format!("http://{}", listener.local_addr().expect("bound"));
        let (tx, rx) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut head = [0; 4096];
            let read = socket.read(&mut head).expect("a request");
            let _ = socket.write_all(ANSWER);
            drop(listener);
            let _ = tx.send(String::from_utf8_lossy(&head[..read]).into_owned());
        });
        let through = Transport { proxy: Some(proxy.clone()), ..Transport::default() };
        let target = target("http://gpu.test:8000".into(), through);
        assert_eq!(preflight(&target, &[baseline()]).await.expect("an answer"), [Finding::Usable]);
        let head = rx.recv().expect("a request");
        assert!(head.starts_with("OPTIONS http://gpu.test:8000/generate "), "{head}");
        // The listener is gone.
        let error = preflight(&target, &[baseline()]).await.expect_err("nobody is there").to_string();
        assert!(error.contains(&format!("through the proxy {proxy}: the proxy refused")), "{error}");
    }
}
