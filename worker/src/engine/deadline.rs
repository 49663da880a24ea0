//! A time limit for one request after the other, without a timer for each.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep};

/// The time limits of one task's requests.
///
/// One timer serves them all: deadlines mostly move on, so it is left as it is until it rings, and then set to the
/// deadline of the time. Setting it for each request, or as much as asking it in each turn, would cost as much as a
/// histogram entry or two.
pub(super) struct Deadline {
    timer: Pin<Box<Sleep>>,
    /// When it rings. The timer knows too, on the runtime's clock: then each deadline would have to be put in its terms.
    set_to: Mono,
    /// It knows whom to wake. That is always the same: a task does not change its waker.
    armed: bool,
}

impl Deadline {
    /// For requests that may take `timeout`. To be used by one task alone.
    pub(super) fn new(timeout: Duration) -> Self {
        let set_to = Clock::now() + timeout;
        Self { timer: Box::pin(tokio::time::sleep_until(instant(set_to))), set_to, armed: false }
    }

    fn set(&mut self, to: Mono) {
        self.timer.as_mut().reset(instant(to));
        self.set_to = to;
        self.armed = false;
    }

    /// Waits for `future` until `at`; `None`: it had not ended by then.
    ///
    /// The future is pinned by the caller, where it was made: moving it here would copy all the room that it has for
    /// later.
    pub(super) async fn within<T>(
        &mut self,
        at: Mono,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        if self.set_to > at {
            self.set(at);
        }
        std::future::poll_fn(|cx| {
            if let Poll::Ready(ended) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            while !self.armed || self.timer.is_elapsed() {
                // Whatever is left of the task's budget: turned away for want of it, the timer would wake nobody.
                let timer = pin!(unconstrained(self.timer.as_mut()));
                self.armed = timer.poll(cx).is_pending();
                if self.armed {
                    break;
                }
                if self.set_to >= at {
                    return Poll::Ready(None);
                }
                self.set(at);
            }
            Poll::Pending
        })
        .await
    }
}

fn instant(at: Mono) -> Instant {
    Instant::from_std(Clock::instant(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Mono {
        Clock::now()
    }

    #[tokio::test]
    async fn the_first_deadline_and_those_after_it_hold() {
        let mut limit = Deadline::new(Duration::from_secs(1000));
        for _ in 0..3 {
            let deadline = now() + Duration::from_millis(5);
            assert_eq!(limit.within(deadline, pin!(std::future::pending::<()>())).await, None);
            assert!(now() >= deadline);
            let later = now() + Duration::from_secs(1000);
            assert_eq!(limit.within(later, pin!(std::future::ready(7))).await, Some(7));
        }
    }

    #[tokio::test]
    async fn a_timer_that_rings_for_an_earlier_request_does_not_cut_off_a_later_one() {
        let mut limit = Deadline::new(Duration::from_millis(5));
        let slow = tokio::time::sleep(Duration::from_millis(30));
        let deadline = now() + Duration::from_secs(1000);
        assert_eq!(limit.within(deadline, pin!(slow)).await, Some(()));
        // And what it was set to then holds as well.
        let soon = now() + Duration::from_millis(5);
        assert_eq!(limit.within(soon, pin!(std::future::pending::<()>())).await, None);
    }

    #[tokio::test]
    async fn a_deadline_holds_for_a_request_that_uses_up_its_tasks_budget() {
        let greedy = pin!(async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        });
        let mut limit = Deadline::new(Duration::from_millis(5));
        let limited = limit.within(now() + Duration::from_millis(5), greedy);
        let ended = tokio::time::timeout(Duration::from_secs(20), limited).await;
        assert_eq!(ended.expect("no hang"), None::<()>);
    }

    #[tokio::test]
    async fn a_deadline_holds_however_often_the_request_is_woken_before_it() {
        let mut limit = Deadline::new(Duration::from_secs(1000));
        for _ in 0..3 {
            let busy = async {
                loop {
                    tokio::task::yield_now().await;
                }
            };
            let deadline = now() + Duration::from_millis(5);
            assert_eq!(limit.within(deadline, pin!(busy)).await, None::<()>);
            assert!(now() >= deadline);
        }
    }
}
