//! HTTP servers and proxies that nobody here wrote. Each keeps an access log.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::access::AccessLog;
use crate::process::{Process, eventually, root};
use crate::real::{debian_program, free_port};

/// A certificate for 127.0.0.1 that signed itself, and its key, as PEM files in a directory of their own.
pub struct Certificate {
    /// The certificate, which is its own authority.
    pub certificate: PathBuf,
    key: PathBuf,
    _dir: tempfile::TempDir,
}

impl Certificate {
    /// Makes one.
    pub fn make() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let file = |name: &str, pem: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, pem).expect("a file");
            path
        };
        Self {
            certificate: file("certificate.pem", made.cert.pem()),
            key: file("key.pem", made.signing_key.serialize_pem()),
            _dir: dir,
        }
    }

    /// Its path as an argument.
    pub fn as_arg(&self) -> &str {
        self.certificate.to_str().expect("UTF-8")
    }
}

/// A server as its own process, with its own state folder; told to stop when dropped.
pub struct Peer {
    /// Its base URL.
    pub url: String,
    /// What it logs.
    pub log: AccessLog,
    name: &'static str,
    port: u16,
    make: Box<dyn Fn() -> Command>,
    process: Process,
    _state: tempfile::TempDir,
}

/// What nginx does.
#[derive(Clone, Copy, Default)]
pub struct Nginx<'a> {
    /// Speak TLS, and HTTP/2 to those who ask for it.
    pub certificate: Option<&'a Certificate>,
    /// Where requests go on to.
    pub onward: Onward,
    /// Requests that a connection may carry, by default 1000.
    pub keepalive_requests: Option<u32>,
}

/// Where nginx passes requests on to.
#[derive(Clone, Copy, Default)]
pub enum Onward {
    /// Nowhere, it answers by itself.
    #[default]
    Nowhere,
    /// A service on this port, over connections that are kept.
    Service(u16),
    /// Whatever host a request names.
    Anywhere,
}

impl Peer {
    /// Starts nginx.
    pub fn nginx(how: Nginx<'_>) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let (port, inner) = (free_port(), free_port());
        let conf = state.path().join("nginx.conf");
        std::fs::write(&conf, nginx_conf(how, state.path(), port, inner)).expect("a file");
        let (program, prefix) = (nginx_program(), state.path().to_owned());
        let make = move || {
            let mut command = Command::new(&program);
            command.arg("-e").arg("stderr").arg("-p").arg(&prefix).arg("-c").arg(&conf);
            command
        };
        Self::start("nginx", port, how.certificate.is_some(), state, Box::new(make))
    }

    /// Starts uvicorn, which closes a connection that is idle for a second.
    pub fn uvicorn(misbehaves: bool) -> Self {
        let args = |port: u16| ["--port".to_owned(), port.to_string(), "--timeout-keep-alive=1".to_owned()];
        Self::asgi("uvicorn", None, misbehaves, |port| args(port).to_vec())
    }

    /// Starts hypercorn, which closes a connection that is idle for a second. With a certificate it speaks TLS, and
    /// HTTP/2 to those who ask for it.
    pub fn hypercorn(certificate: Option<&Certificate>, misbehaves: bool) -> Self {
        Self::asgi("hypercorn", certificate, misbehaves, |port| {
            let mut args = vec![format!("--bind=127.0.0.1:{port}"), "--keep-alive=1".to_owned()];
            if let Some(Certificate { certificate, key, _dir }) = certificate {
                args.push(format!("--certfile={}", certificate.display()));
                args.push(format!("--keyfile={}", key.display()));
            }
            args
        })
    }

    fn asgi(
        name: &'static str,
        certificate: Option<&Certificate>,
        misbehaves: bool,
        args: impl Fn(u16) -> Vec<String>,
    ) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let (args, log) = (args(port), state.path().join("access.log"));
        let make = move || {
            let mut command = Command::new(root().join("target/real-venv/bin/python"));
            command.args(["-m", name]).args(&args).arg("asgi_app:app");
            command.current_dir(root().join("tests/real")).env("PYTHONDONTWRITEBYTECODE", "1");
            command.env("REQUEST_LOG", &log).env("MISBEHAVES", if misbehaves { "1" } else { "0" });
            command
        };
        Self::start(name, port, certificate.is_some(), state, Box::new(make))
    }

    /// Starts Node, which closes a connection that is idle for a second, and announces it.
    pub fn node() -> Self {
        let there = Command::new("node").arg("--version").output();
        assert!(there.is_ok_and(|o| o.status.success()), "there is no node; install Node 18 or newer");
        let state = tempfile::tempdir().expect("a directory");
        let (port, log) = (free_port(), state.path().join("access.log"));
        let make = move || {
            let mut command = Command::new("node");
            command.arg(root().join("tests/real/node_app.js")).arg(port.to_string()).env("REQUEST_LOG", &log);
            command
        };
        Self::start("node", port, false, state, Box::new(make))
    }

    fn start(
        name: &'static str,
        port: u16,
        secure: bool,
        state: tempfile::TempDir,
        make: Box<dyn Fn() -> Command>,
    ) -> Self {
        let url = format!("http{}://127.0.0.1:{port}", if secure { "s" } else { "" });
        let log = AccessLog(state.path().join("access.log"));
        let process = Process::spawn(name, make());
        let mut peer = Self { url, log, name, port, make, process, _state: state };
        peer.wait_ready();
        peer
    }

    fn wait_ready(&mut self) {
        let Self { name, port, process, .. } = self;
        eventually(&format!("{name} listens"), || {
            assert!(!process.has_ended(), "{name} ended:\n{}", process.stderr_so_far());
            TcpStream::connect(("127.0.0.1", *port)).is_ok()
        });
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes nginx read its configuration anew: new processes take over, the old ones end when they have answered.
    pub fn reload(&self) {
        self.process.signal("HUP");
    }

    /// Ends it at once, whatever it is at, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.process.signal("TERM");
        let process = &mut self.process;
        eventually(&format!("{} ends", self.name), || process.has_ended());
        self.process = Process::spawn(self.name, (self.make)());
        self.wait_ready();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Killed outright, nginx would leave its worker processes behind.
        if !self.process.has_ended() {
            self.process.signal("TERM");
            for _ in 0..1000 {
                if self.process.has_ended() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

/// Where nginx is.
fn nginx_program() -> PathBuf {
    debian_program("nginx", "usr/sbin/nginx")
}

fn nginx_conf(how: Nginx<'_>, state: &Path, port: u16, inner: u16) -> String {
    let state = state.display();
    let (secure, tls) = how.certificate.map_or_else(Default::default, |c| {
        let (certificate, key) = (c.certificate.display(), c.key.display());
        (" ssl http2", format!("ssl_certificate {certificate}; ssl_certificate_key {key};"))
    });
    let (upstream, to) = match how.onward {
        // Connections to itself are not kept: a reload closes both ends, and nginx would answer 502 where they meet.
        Onward::Nowhere => (format!("server 127.0.0.1:{inner};"), "service"),
        Onward::Service(port) => (format!("server 127.0.0.1:{port}; keepalive 8;"), "service"),
        Onward::Anywhere => (format!("server 127.0.0.1:{inner};"), "$http_host$request_uri"),
    };
    let keepalive_requests = how.keepalive_requests.unwrap_or(1000);
    // Its own answer comes from a second server behind the first: only a request that is passed on is read to its
    // end, and only then the log can tell its id.
    format!(
        r#"daemon off;
worker_processes 2;
pid {state}/pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    map $request_body $id {{
        default -;
        "~\"request_id\":\"(?<found>[^\"]+)\"" $found;
    }}
    log_format fleet '$status $connection $id';
    access_log off;
    upstream service {{ {upstream} }}
    server {{
        listen 127.0.0.1:{port}{secure};
        {tls}
        keepalive_requests {keepalive_requests};
        access_log {state}/access.log fleet;
        location / {{
            proxy_pass http://{to};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen 127.0.0.1:{inner};
        default_type application/json;
        return 200 '{{"image_url":"/images/1.png"}}';
    }}
}}
"#
    )
}
