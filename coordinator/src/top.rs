//! Live readings of several hosts, as their agents serve them to Prometheus.

mod page;
mod scrape;
mod view;

use std::io;
use std::time::Duration;

use fluxfleet_top::{HostView, Screen, frame};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use scrape::Scraper;

/// Between two frames, and between two looks at an agent.
const PERIOD: Duration = Duration::from_secs(1);

/// Draws what the agents at these addresses tell, each second until `over`. Each is asked by a task of its own, so one that
/// hangs holds up nobody.
///
/// # Errors
/// When the screen takes no more frames.
pub async fn watch_agents(
    addresses: &[String],
    mut screen: Screen,
    over: CancellationToken,
) -> io::Result<()> {
    let scraper = Scraper::new().map_err(io::Error::other)?;
    let title = format!("fluxfleet top   {}", screen.hint());
    let mut hosts = Vec::new();
    let mut asking = tokio::task::JoinSet::new();
    for address in addresses {
        let asked = HostView { name: address.clone(), state: Err("asking ..".to_owned()) };
        let (tell, told) = watch::channel(asked);
        asking.spawn(ask(scraper.clone(), address.clone(), tell));
        hosts.push(told);
    }
    // The first frame waits for the first answer, not longer than for the next one.
    if let Some(first) = hosts.first() {
        let mut first = first.clone();
        let _ = tokio::time::timeout(PERIOD, first.changed()).await;
    }
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let views: Vec<HostView> = hosts.iter().map(|host| host.borrow().clone()).collect();
        screen.draw(&frame(&title, &views))?;
    }
}

async fn ask(scraper: Scraper, address: String, tell: watch::Sender<HostView>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let view = match scraper.scrape(&address).await {
            Ok(page) => view::host(&address, &page),
            Err(why) => HostView { name: address.clone(), state: Err(why) },
        };
        tell.send_replace(view);
    }
}
