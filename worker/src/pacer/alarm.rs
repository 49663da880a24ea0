//! Wakes a task at an instant, to some tens of microseconds.
//!
//! The kernel's high-resolution timers behind a timerfd do what the runtime's timer wheel cannot; the runtime
//! learns of their expiry as it learns of bytes on a socket. Elsewhere than on Linux the wheel has to do.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};

/// One alarm of a load thread.
pub(crate) struct Alarm {
    timer: Timer,
    set_to: Cell<Option<Mono>>,
    /// When it can ring at the earliest: not before it was set.
    due: Cell<Mono>,
}

/// An alarm has rung.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    /// When it was heard.
    pub(crate) at: Mono,
    /// How much later that was than it was due.
    pub(crate) late: Duration,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When the system gives no timer: no descriptors left, or no runtime around.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { timer: Timer::new()?, set_to: Cell::new(None), due: Cell::default() })
    }

    /// Sets it to this instant; what it was set to before is forgotten. An instant that has passed rings at once.
    pub(crate) fn set(&self, at: Mono) {
        if self.set_to.replace(Some(at)) != Some(at) {
            let now = Clock::now();
            self.due.set(at.max(now));
            self.timer.set(at, now);
        }
    }

    /// Waits for it to ring. `None`: early, since it was set anew meanwhile.
    pub(crate) async fn rung(&self) -> Option<Rung> {
        self.timer.rung().await;
        let now = Clock::now();
        self.set_to.get().filter(|at| *at <= now)?;
        // Set to the same instant again it must ring again.
        self.set_to.set(None);
        Some(Rung { at: now, late: now.since(self.due.get()) })
    }
}

#[cfg(target_os = "linux")]
use linux::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use fluxfleet_proto::clock::Mono;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timerfd. Nothing is read from it: each expiry is an edge of its own, and setting it anew forgets the last.
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        #[expect(
            deprecated,
            reason = "deprecated for descriptors that may change or be closed by others; this one is owned, and \
                      nobody else ever sees it"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let fd =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            AsyncFd::with_interest(fd, Interest::READABLE).map(Self)
        }

        pub(super) fn set(&self, at: Mono, now: Mono) {
            // Zero would switch it off.
            let left = at.since(now).max(Duration::from_nanos(1));
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let spec = Itimerspec { it_interval: zero, it_value };
            // Fails only for a descriptor that is no timer or a value that is no time.
            let set = timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec);
            debug_assert!(set.is_ok(), "{set:?}");
        }

        pub(super) async fn rung(&self) {
            match self.0.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is going away; it drops this task next.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
use other::Timer;

#[cfg(not(target_os = "linux"))]
mod other {
    use std::cell::Cell;
    use std::io;

    use fluxfleet_proto::clock::{Clock, Mono};
    use tokio::sync::Notify;

    /// The runtime's own timer, to a millisecond.
    pub(super) struct Timer {
        at: Cell<Option<Mono>>,
        changed: Notify,
    }

    impl Timer {
        #[expect(clippy::unnecessary_wraps, reason = "the same as on Linux")]
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self { at: Cell::new(None), changed: Notify::new() })
        }

        pub(super) fn set(&self, at: Mono, _now: Mono) {
            self.at.set(Some(at));
            self.changed.notify_one();
        }

        pub(super) async fn rung(&self) {
            loop {
                match self.at.get() {
                    None => self.changed.notified().await,
                    Some(at) => tokio::select! {
                        () = tokio::time::sleep_until(Clock::instant(at).into()) => {
                            self.at.set(None);
                            return;
                        }
                        () = self.changed.notified() => {}
                    },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_load_thread<T>(test: impl Future<Output = T>) -> T {
        let options = tokio::runtime::LocalOptions::default();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("no hang") })
    }

    #[test]
    fn it_rings_no_earlier_than_it_was_set_to_and_rings_each_time() {
        on_a_load_thread(async {
            let alarm = Alarm::new().unwrap();
            for _ in 0..50 {
                let at = Clock::now() + Duration::from_micros(300);
                alarm.set(at);
                let rung = alarm.rung().await.expect("it was not set anew");
                assert_eq!(rung.late, rung.at.since(at));
                assert!(rung.at >= at);
            }
        });
    }

    #[test]
    fn an_instant_that_has_passed_rings_at_once_and_again() {
        on_a_load_thread(async {
            let alarm = Alarm::new().unwrap();
            let past = Clock::now() - Duration::from_secs(1000);
            for _ in 0..3 {
                alarm.set(past);
                let rung = alarm.rung().await.expect("it was not set anew");
                assert!(rung.late < Duration::from_secs(500), "it could not ring before it was set");
            }
        });
    }

    #[test]
    fn set_anew_it_keeps_to_the_later_word() {
        on_a_load_thread(async {
            let alarm = Alarm::new().unwrap();
            let at = Clock::now() + Duration::from_millis(20);
            alarm.set(Clock::now() + Duration::from_secs(1000));
            alarm.set(at);
            while alarm.rung().await.is_none() {}
            assert!(Clock::now() >= at);
        });
    }
}
