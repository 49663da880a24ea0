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
    ///
    /// `then`, not before `at`, is what it will be set to after that, as far as is known. Nobody is told of it: it makes
    /// that setting cheap.
    pub(crate) fn set(&self, at: Mono, then: Option<Mono>) {
        let known = self.set_to.replace(Some(at)) == Some(at);
        if known && self.timer.is_set_to(at) {
            return;
        }
        let now = Clock::now();
        if !known {
            self.due.set(at.max(now));
        }
        self.timer.set(at, then, now);
    }

    /// Waits for it to ring. `None`: early, since it was set anew meanwhile.
    pub(crate) async fn rung(&self) -> Option<Rung> {
        self.timer.rung().await;
        let now = Clock::now();
        self.set_to.get().filter(|at| *at <= now)?;
        self.set_to.set(None);
        Some(Rung { at: now, late: now.since(self.due.get()) })
    }
}

#[cfg(target_os = "linux")]
use linux::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use fluxfleet_proto::clock::Mono;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// Two timers that take turns, so that one is set already when the other expires.
    ///
    /// A processor has one clock that interrupts it. The system sets that to the earliest of all timers, anew whenever one
    /// expires, and once more when one is then set that comes earlier than all others. Under a hypervisor each of these
    /// leaves the virtual machine and takes 10 us and more, longer than all else about a request. A timer that was set
    /// before the last one expired spares the second.
    pub(super) struct Timer([Half; 2]);

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self([Half::new()?, Half::new()?]))
        }

        pub(super) fn is_set_to(&self, at: Mono) -> bool {
            self.0.iter().any(|half| half.is_set_to(at))
        }

        pub(super) fn set(&self, at: Mono, then: Option<Mono>, now: Mono) {
            let [first, second] = &self.0;
            // The one that is set to either of the two keeps it.
            let taken = second.is_set_to(at) || then.is_some_and(|then| first.is_set_to(then));
            let (next, later) = if taken { (second, first) } else { (first, second) };
            next.set(at, now);
            if let Some(then) = then {
                later.set(then, now);
            }
        }

        #[cfg(test)]
        pub(super) fn set_to(&self) -> [Option<Mono>; 2] {
            self.0.each_ref().map(|half| half.set_to.get())
        }

        /// Waits until one of the two expires.
        pub(super) async fn rung(&self) {
            let [first, second] = &self.0;
            poll_fn(|cx| if first.poll(cx).is_ready() { Poll::Ready(()) } else { second.poll(cx) }).await;
        }
    }

    /// A timerfd. Nothing is read from it: each expiry is an edge of its own, and setting it anew forgets the last.
    struct Half {
        timer: AsyncFd<OwnedFd>,
        /// `None`: it has expired, or was never set.
        set_to: Cell<Option<Mono>>,
    }

    impl Half {
        #[expect(
            deprecated,
            reason = "deprecated for descriptors that may change or be closed by others; this one is owned, and \
                      nobody else ever sees it"
        )]
        fn new() -> io::Result<Self> {
            let fd =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            let timer = AsyncFd::with_interest(fd, Interest::READABLE)?;
            Ok(Self { timer, set_to: Cell::new(None) })
        }

        fn is_set_to(&self, at: Mono) -> bool {
            self.set_to.get() == Some(at)
        }

        fn set(&self, at: Mono, now: Mono) {
            if self.set_to.replace(Some(at)) == Some(at) {
                return;
            }
            // Zero would switch it off.
            let left = at.since(now).max(Duration::from_nanos(1));
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let spec = Itimerspec { it_interval: zero, it_value };
            // Fails only for a descriptor that is no timer or a value that is no time.
            let set = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec);
            debug_assert!(set.is_ok(), "{set:?}");
        }

        fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
            // Fails only when the runtime is going away; it drops this task next.
            let Ok(mut ready) = ready!(self.timer.poll_read_ready(cx)) else { return Poll::Pending };
            ready.clear_ready();
            self.set_to.set(None);
            Poll::Ready(())
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

        pub(super) fn is_set_to(&self, at: Mono) -> bool {
            self.at.get() == Some(at)
        }

        pub(super) fn set(&self, at: Mono, _then: Option<Mono>, _now: Mono) {
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
                alarm.set(at, None);
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
                alarm.set(past, None);
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
            alarm.set(Clock::now() + Duration::from_secs(1000), None);
            alarm.set(at, None);
            while alarm.rung().await.is_none() {}
            assert!(Clock::now() >= at);
        });
    }

    #[test]
    fn what_was_announced_rings_only_once_it_is_set_to_that() {
        on_a_load_thread(async {
            let alarm = Alarm::new().unwrap();
            let start = Clock::now();
            let at = |ms| start + Duration::from_millis(ms);
            // Some as announced and some not, some announced for the time they are set to.
            for (ms, then) in [(2, 4), (6, 7), (7, 8), (8, 8), (8, 12), (9, 10), (10, 11), (11, 12)] {
                alarm.set(at(ms), Some(at(then)));
                let rung = loop {
                    if let Some(rung) = alarm.rung().await {
                        break rung;
                    }
                };
                assert!(rung.at >= at(ms), "{ms}");
            }
            let announced = tokio::time::timeout(Duration::from_millis(20), alarm.rung()).await;
            assert!(!matches!(announced, Ok(Some(_))), "nobody has set it to that: {announced:?}");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_timer_for_what_was_announced_is_not_set_again() {
        on_a_load_thread(async {
            let timer = linux::Timer::new().unwrap();
            let now = Clock::now();
            let at = |hours| now + Duration::from_hours(hours);
            timer.set(now, Some(at(1)), now);
            assert_eq!(timer.set_to(), [Some(now), Some(at(1))]);
            timer.rung().await;
            timer.set(at(1), Some(at(2)), now);
            assert_eq!(timer.set_to(), [Some(at(2)), Some(at(1))]);
            timer.set(at(2), Some(at(3)), now);
            assert_eq!(timer.set_to(), [Some(at(2)), Some(at(3))], "what it was set to is forgotten");
        });
    }
}
