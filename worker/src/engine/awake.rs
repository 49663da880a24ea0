//! Keeps the machine's processors from dozing off between the arrivals of a fast open load.
//!
//! An idle processor goes to sleep, and comes back late: from its deeper states after some hundred microseconds, on a
//! virtual machine when its host lets it. Linux lets a privileged process say how late is too late, for as long
//! as it holds a file open (`Documentation/power/pm_qos_interface.rst`); zero keeps idle processors polling. That takes
//! power, so it is asked for only while arrivals come so fast that it matters.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fluxfleet_proto::load::{Load, OpenLoad};

/// Where Linux takes the longest latency that is accepted: a native 32-bit number of microseconds.
const LATENCY: &str = "/dev/cpu_dma_latency";
/// A worker's arrivals a second from which on a hundred microseconds are a good part of the time between them.
const FAST: f64 = 500.0;
/// How far ahead the rate is looked at.
const AHEAD: Duration = Duration::from_secs(1);

/// Holds the request while it is wanted. Where it is refused, the load is as punctual as the machine lets it be, and the
/// lateness in the report says how much that is.
#[derive(Debug)]
pub(super) struct Awake {
    at: PathBuf,
    held: Option<File>,
}

impl Default for Awake {
    fn default() -> Self {
        Self::at(LATENCY)
    }
}

impl Awake {
    fn at(path: impl AsRef<Path>) -> Self {
        Self { at: path.as_ref().to_owned(), held: None }
    }

    /// Asks for it from now on, or no more.
    pub(super) fn keep(&mut self, wanted: bool) {
        if !wanted {
            // Closing the file takes the request back.
            self.held = None;
        } else if self.held.is_none() {
            let asked = OpenOptions::new().write(true).open(&self.at).and_then(|mut file| {
                file.write_all(&0_i32.to_ne_bytes())?;
                Ok(file)
            });
            self.held = asked.ok();
        }
    }
}

/// Whether this worker's arrivals come fast within the second after `at`, since the start.
pub(super) fn is_fast(load: &Load, at: Duration) -> bool {
    let Load::Open(OpenLoad { arrivals, lanes, .. }) = load else { return false };
    let coming = arrivals.expected(at + AHEAD) - arrivals.expected(at);
    coming * f64::from(lanes.count) / f64::from(lanes.of) >= FAST * AHEAD.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::arrival::{Arrivals, Lanes};
    use fluxfleet_proto::load::WhenFull;

    #[test]
    fn the_request_is_made_once_and_held_until_it_is_not_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("latency");
        std::fs::write(&file, b"").unwrap();
        let mut awake = Awake::at(&file);
        awake.keep(false);
        assert!(awake.held.is_none() && std::fs::read(&file).unwrap().is_empty());
        awake.keep(true);
        awake.keep(true);
        assert_eq!(std::fs::read(&file).unwrap(), [0; 4], "once, in one piece");
        awake.keep(false);
        assert!(awake.held.is_none());
    }

    #[test]
    fn where_it_is_refused_nothing_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let mut awake = Awake::at(dir.path().join("missing"));
        awake.keep(true);
        assert!(awake.held.is_none());
    }

    #[test]
    fn only_a_fast_open_load_wants_it() {
        let open = |rate, count| {
            let arrivals = Arrivals::constant(rate).unwrap();
            let lanes = Lanes { first: 0, count, of: 4 };
            Load::Open(OpenLoad { arrivals, lanes, items: None, when_full: WhenFull::Wait })
        };
        let at = Duration::from_secs(3);
        assert!(!is_fast(&Load::Closed, at));
        assert!(!is_fast(&open(100.0, 4), at));
        assert!(is_fast(&open(1000.0, 4), at));
        assert!(!is_fast(&open(1000.0, 1), at), "a quarter of the fleet's rate");
    }

    #[test]
    fn a_replay_is_fast_where_its_times_are_close() {
        let ms = |ms| Duration::from_millis(ms);
        let times = (0..10).map(|n| ms(n * 1000)).chain((0..600).map(|n| ms(10_000 + n))).collect();
        let (arrivals, lanes) = (Arrivals::Replay(times), Lanes::all(1));
        let load = Load::Open(OpenLoad { arrivals, lanes, items: None, when_full: WhenFull::Wait });
        assert!(!is_fast(&load, ms(5000)));
        assert!(is_fast(&load, ms(9500)), "it is asked for ahead of them");
        assert!(!is_fast(&load, ms(11_000)));
    }
}
