//! A time limit for one request after the other, without a timer for each.

use std::pin::Pin;
use std::task::Poll;

use fluxfleet_proto::clock::{Clock, Mono};
use tokio::time::{Instant, Sleep};

/// Waits for `future` until `deadline`; `None`: it had not ended by then.
///
/// `sleep` is used again and again. Deadlines mostly move on, so it is left as it is until it rings, and then set to
/// the deadline of the time: setting it for each request would cost as much as a histogram entry or two.
pub(super) async fn within<T>(
    mut sleep: Pin<&mut Sleep>,
    deadline: Mono,
    future: impl Future<Output = T>,
) -> Option<T> {
    let deadline = Instant::from_std(Clock::instant(deadline));
    if sleep.deadline() > deadline {
        sleep.as_mut().reset(deadline);
    }
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(ended) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(None);
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn now() -> Mono {
        Clock::now()
    }

    #[tokio::test]
    async fn the_first_deadline_and_those_after_it_hold() {
        let mut sleep = std::pin::pin!(tokio::time::sleep(Duration::from_secs(1000)));
        for _ in 0..3 {
            let deadline = now() + Duration::from_millis(5);
            assert_eq!(within(sleep.as_mut(), deadline, std::future::pending::<()>()).await, None);
            assert!(now() >= deadline);
            let later = now() + Duration::from_secs(1000);
            assert_eq!(within(sleep.as_mut(), later, std::future::ready(7)).await, Some(7));
        }
    }

    #[tokio::test]
    async fn a_timer_that_rings_for_an_earlier_request_does_not_cut_off_a_later_one() {
        let mut sleep = std::pin::pin!(tokio::time::sleep(Duration::from_millis(5)));
        let slow = tokio::time::sleep(Duration::from_millis(30));
        let deadline = now() + Duration::from_secs(1000);
        assert_eq!(within(sleep.as_mut(), deadline, slow).await, Some(()));
    }
}
