//! An OS thread that owns something blocking and answers questions about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

type Question<S> = Box<dyn FnOnce(&mut S) + Send>;

/// An OS thread that owns an `S` and answers one question at a time.
///
/// Whoever asks waits no longer than it wants to; an answer that comes later is thrown away, and while the
/// thread is still at it there are no new questions. Dropping the reader lets the thread end after the question
/// it is at, and never waits for it.
pub(crate) struct Reader<S> {
    questions: SyncSender<Question<S>>,
    busy: Arc<AtomicBool>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It did not come in time.
    Late,
    /// The thread is still at an earlier question.
    Busy,
    /// The thread is no more: it panicked.
    Gone,
}

impl<S: 'static> Reader<S> {
    /// Starts the thread; `build` runs on it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(name: &str, build: impl FnOnce() -> S + Send + 'static) -> std::io::Result<Self> {
        // One question waits at most, the one asked before `build` is through.
        let (questions, asked) = sync_channel::<Question<S>>(1);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut state = build();
            while let Ok(question) = asked.recv() {
                question(&mut state);
            }
        })?;
        Ok(Self { questions, busy: Arc::default() })
    }

    /// Asks, and waits for the answer no longer than `within`.
    pub(crate) async fn ask<A: Send + 'static>(
        &self,
        within: Duration,
        question: impl FnOnce(&mut S) -> A + Send + 'static,
    ) -> Result<A, Silence> {
        let (reply, mut answer) = oneshot::channel();
        let done = self.begin(move |state| {
            // Nobody waits for it any more when it is late.
            let _ = reply.send(question(state));
        })?;
        match tokio::time::timeout(within, done).await {
            Ok(Ok(())) => answer.try_recv().map_err(|_| Silence::Gone),
            Ok(Err(_)) => Err(Silence::Gone),
            Err(_) => Err(Silence::Late),
        }
    }

    /// Asks something that answers for itself. What is returned tells when the thread is free again.
    pub(crate) fn begin(
        &self,
        question: impl FnOnce(&mut S) + Send + 'static,
    ) -> Result<oneshot::Receiver<()>, Silence> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(Silence::Busy);
        }
        let (tell, done) = oneshot::channel();
        let free = Free(Arc::clone(&self.busy));
        let question = move |state: &mut S| {
            question(state);
            drop(free);
            let _ = tell.send(());
        };
        self.questions.try_send(Box::new(question)).map_err(|_| Silence::Gone)?;
        Ok(done)
    }
}

/// Marks the reader as free when the question is done with, also when it panics or is never asked.
struct Free(Arc<AtomicBool>);

impl Drop for Free {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<S> fmt::Debug for Reader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("busy", &self.busy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn answers_come_from_the_state_that_the_thread_built() {
        let reader = Reader::start("test", || 40).unwrap();
        assert_eq!(
            reader
                .ask(LONG, |n| {
                    *n += 1;
                    *n
                })
                .await,
            Ok(41)
        );
        assert_eq!(
            reader
                .ask(LONG, |n| {
                    *n += 1;
                    *n
                })
                .await,
            Ok(42)
        );
    }

    #[tokio::test]
    async fn a_hung_thread_is_late_once_then_busy_and_its_late_answer_is_thrown_away() {
        let reader = Reader::start("test", || 0).unwrap();
        let (let_go, gate) = mpsc::channel::<()>();
        let (passed, has_passed) = oneshot::channel();
        let hung = reader.ask(Duration::from_millis(1), move |_| {
            let _ = gate.recv();
            let _ = passed.send(());
            "late"
        });
        assert_eq!(hung.await, Err(Silence::Late));
        assert_eq!(reader.ask(LONG, |_| "next").await, Err(Silence::Busy));
        drop(let_go);
        has_passed.await.unwrap();
        // The thread has left the gate; it is free as soon as it has given its answer to nobody.
        let next = loop {
            match reader.ask(LONG, |_| "next").await {
                Err(Silence::Busy) => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert_eq!(next, Ok("next"));
    }

    #[tokio::test]
    async fn dropping_a_reader_does_not_wait_for_a_hung_thread() {
        let reader = Reader::start("test", || ()).unwrap();
        let (let_go, gate) = mpsc::channel::<()>();
        let hung = reader.ask(Duration::from_millis(1), move |()| gate.recv().is_ok());
        assert_eq!(hung.await, Err(Silence::Late));
        drop(reader);
        drop(let_go);
    }

    #[tokio::test]
    async fn a_panicking_collector_is_gone_for_good() {
        let reader = Reader::start("test", || ()).unwrap();
        assert_eq!(reader.ask(LONG, |()| panic!("as scripted")).await, Err::<(), _>(Silence::Gone));
        assert_eq!(reader.ask(LONG, |()| ()).await, Err(Silence::Gone));
    }

    #[tokio::test]
    async fn a_state_that_cannot_be_built_is_gone_too() {
        let reader = Reader::<()>::start("test", || panic!("as scripted")).unwrap();
        assert_eq!(reader.ask(LONG, |()| ()).await, Err(Silence::Gone));
    }
}
