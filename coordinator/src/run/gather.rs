//! The end of a run: samples that agents still hold.

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::id::PeerId;

use super::RunError;
use super::conductor::{Conductor, Happening};
use super::trial::GRACE;
use crate::fleet::{Notice, Presence};

/// How long the end of a run waits for agents that are away or behind with their samples.
const PATIENCE: Duration = Duration::from_secs(10);

impl Conductor<'_> {
    /// Waits, not for long, until every agent has handed in what it took up to the end of the last trial. One that has
    /// not by then is lost. Nobody who is up to date is waited for.
    pub(super) async fn gather(&mut self) -> Result<(), RunError> {
        let Some(ended) = self.trial_ended else { return Ok(()) };
        let since = Clock::now();
        let mut told = false;
        loop {
            let owing = self.owing(ended);
            let patience = if self.stopped() { GRACE } else { PATIENCE };
            if owing.is_empty() || Clock::now().since(since) >= patience {
                break;
            }
            if !told {
                told = true;
                let agents = owing.iter().map(|&(peer, _)| self.fleet.who(peer)).collect();
                self.note(&Notice::AwaitingSamples(agents, patience));
            }
            if matches!(self.next(false).await?, Happening::Abandoned) {
                break;
            }
        }
        let back: Vec<PeerId> = self.fleet.agents().map(|a| a.peer).collect();
        for peer in back {
            if let Some(back) = self.fleet.arrive(peer) {
                self.note_return(peer, back);
            }
        }
        for (peer, why) in self.owing(ended) {
            self.lose(peer, &why);
        }
        Ok(())
    }

    /// Agents that have not handed in everything up to `ended`, and why.
    fn owing(&self, ended: Mono) -> Vec<(PeerId, String)> {
        let (_, agents) = self.fleet.everyone();
        let owes = |newest: Option<Mono>| newest.is_none_or(|at| at + self.plan.sample_period < ended);
        let owing = agents.iter().filter(|a| a.lost.is_none()).filter_map(|a| {
            let newest = self.samples.newest(a.peer);
            let why = match &a.presence {
                Presence::Away { why, .. } => format!("it was away at the run's end: {why}"),
                // Before the clock is settled nothing is asked of it.
                Presence::Here if newest.is_none() && !a.watching => return None,
                Presence::Here | Presence::Back { .. } if owes(newest) => {
                    "at the run's end it was behind with its samples".to_owned()
                }
                Presence::Here | Presence::Back { .. } => return None,
            };
            Some((a.peer, why))
        });
        owing.collect()
    }
}
