//! Who generates the load and who watches the host.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use super::MAX_PAUSE;
use super::problems::Problems;
use crate::plan::{FleetPlan, RawPlan, defaults, text};

/// Embedded or remote, and how many.
pub(super) fn fleet(raw: &RawPlan, p: &mut Problems) -> FleetPlan {
    let Some(listen) = raw.listen.as_deref() else {
        for (place, given) in [("--workers", &raw.workers), ("--agents", &raw.agents), ("--wait", &raw.wait)]
        {
            if let Some(given) = given {
                let hint = if place == "--workers" {
                    "; for workers inside this process use --local-workers"
                } else {
                    ""
                };
                p.add(place, given, format!("is about remote peers and needs --listen ADDR:PORT{hint}"));
            }
        }
        return FleetPlan::Embedded {
            workers: p.count("--local-workers", raw.local_workers.as_deref(), 1, 64),
        };
    };
    if let Some(given) = &raw.local_workers {
        p.add("--local-workers", given, "cannot go with --listen; workers dial in then");
    }
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    FleetPlan::Remote {
        listen: p.read("--listen", Some(listen), unspecified, listen_addr),
        workers: p.count("--workers", raw.workers.as_deref(), 1, 10_000),
        agents: {
            let n = p.read("--agents", raw.agents.as_deref(), 0, |t| text::number(t, 0, 10_000));
            u32::try_from(n).unwrap_or_default()
        },
        wait: p.duration("--wait", raw.wait.as_deref(), defaults::WAIT, Duration::from_secs(1), MAX_PAUSE),
    }
}

fn listen_addr(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    // `:7000` and `7000` mean every interface, as people write it.
    let full = match text.strip_prefix(':').unwrap_or(text) {
        port if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => format!("0.0.0.0:{port}"),
        _ => text.to_owned(),
    };
    full.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| "is not an address to listen on; write it as 0.0.0.0:7000".to_owned())
}
