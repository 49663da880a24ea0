//! The tasks of a load thread that send requests, as one.
//!
//! The crowd is one task of the runtime and gives turns to its members itself, since it matters whose turn it is:
//!
//! ```text
//!   runtime: what came from the network and the timers calls members
//!      |
//!      v
//!   crowd:   1. who was called, and whom those call, up to a limit       answers are read, judged and recorded
//!            2. who waits for the next turn                              the next requests go out together
//!      ^                                                                           |
//!      +---------------------------------------------------------------------------+
//! ```
//!
//! Requests that go out together find a service that is awake. Sent one by one between the answers, many a one would
//! have to wake it up, and on a virtual machine that takes the sender longer than all else that it does for a request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks of one thread, which may still grow in number. Runs them, knows when all have ended, and can end them.
#[derive(Default)]
pub(super) struct Crowd {
    members: RefCell<Vec<Member>>,
    /// Who came since the members were last looked at.
    new: RefCell<Vec<Task>>,
    /// Who waits for the next turn.
    waiting: RefCell<Vec<u32>>,
    /// Whose turn it is.
    current: Cell<u32>,
    /// Members that have not ended, the new ones included.
    live: Cell<usize>,
    calls: Arc<Calls>,
}

struct Member {
    /// `None`: it has ended.
    task: Option<Task>,
    call: Arc<Call>,
    waker: Waker,
}

/// What is left when the crowd gives way.
#[derive(PartialEq, Eq)]
enum Left {
    /// No task: all have ended.
    None,
    /// Tasks that are to go on as soon as the runtime has looked at the network.
    Some,
}

/// Who has something to do. Members may be called from other threads: some resolve host names.
#[derive(Default)]
struct Calls(Mutex<Called>);

#[derive(Default)]
struct Called {
    members: Vec<u32>,
    /// Whom to tell of the next call; `None` while the crowd knows that there are calls.
    crowd: Option<Waker>,
}

impl Calls {
    fn locked(&self) -> MutexGuard<'_, Called> {
        // A list of numbers is whole at any time, whoever has panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets the crowd its turn.
    fn tell(&self, member: Option<u32>) {
        let mut called = self.locked();
        called.members.extend(member);
        let crowd = called.crowd.take();
        drop(called);
        if let Some(crowd) = crowd {
            crowd.wake();
        }
    }
}

/// Calls one member.
struct Call {
    member: u32,
    /// It is on the list.
    called: AtomicBool,
    calls: Arc<Calls>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.called.swap(true, Ordering::AcqRel) {
            self.calls.tell(Some(self.member));
        }
    }
}

impl Crowd {
    /// One more task on this thread.
    ///
    /// # Panics
    /// Beyond four billion tasks.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.live.set(self.live.get() + 1);
        self.new.borrow_mut().push(Box::pin(task));
        self.calls.tell(None);
    }

    /// Runs the tasks until none is left, and at most about `most` turns before the runtime looks at the network again.
    /// For one at a time. A task that panics panics here.
    pub(super) async fn run(&self, most: usize) {
        let (mut queue, mut waiting) = (VecDeque::new(), Vec::new());
        while std::future::poll_fn(|cx| self.poll(cx, &mut queue, &mut waiting, most)).await == Left::Some {
            // Unlike a task that calls itself, this comes back when the runtime has looked at the network.
            tokio::task::yield_now().await;
        }
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<u32>,
        waiting: &mut Vec<u32>,
        most: usize,
    ) -> Poll<Left> {
        let mut members = self.members.borrow_mut();
        let mut turns = 0..most;
        loop {
            self.welcome(&mut members, queue);
            queue.extend(self.calls.locked().members.drain(..));
            if queue.is_empty() {
                break;
            }
            turns
                .by_ref()
                .map_while(|_| queue.pop_front())
                .for_each(|member| self.turn(&mut members, member));
            if turns.is_empty() {
                break;
            }
        }
        std::mem::swap(&mut *self.waiting.borrow_mut(), waiting);
        waiting.drain(..).for_each(|member| self.turn(&mut members, member));
        if self.live.get() == 0 {
            return Poll::Ready(Left::None);
        }
        let mut called = self.calls.locked();
        let idle = queue.is_empty() && called.members.is_empty();
        if idle && self.waiting.borrow().is_empty() && self.new.borrow().is_empty() {
            called.crowd = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Left::Some)
    }

    /// Makes members of the new tasks; each has its first turn.
    fn welcome(&self, members: &mut Vec<Member>, queue: &mut VecDeque<u32>) {
        for task in self.new.borrow_mut().drain(..) {
            let member = u32::try_from(members.len()).expect("fewer tasks than that fit into a memory");
            let call = Call { member, called: AtomicBool::new(true), calls: Arc::clone(&self.calls) };
            let call = Arc::new(call);
            let waker = Waker::from(Arc::clone(&call));
            members.push(Member { task: Some(task), call, waker });
            queue.push_back(member);
        }
    }

    fn turn(&self, members: &mut [Member], number: u32) {
        // One that was ended may have been called before.
        let Some(member) = members.get_mut(number as usize) else { return };
        // Before its turn: who calls it during that means another one.
        member.call.called.store(false, Ordering::Release);
        let Some(task) = &mut member.task else { return };
        self.current.set(number);
        if task.as_mut().poll(&mut Context::from_waker(&member.waker)).is_ready() {
            member.task = None;
            self.live.set(self.live.get() - 1);
        }
    }

    /// Waits, in a task of this crowd, until others that were called have had their turn.
    pub(super) async fn next_turn(&self) {
        let mut waited = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(self.current.get());
            Poll::Pending
        })
        .await;
    }

    /// Ends all tasks where they stand, and [`run`](Self::run) with them. Not for tasks of this crowd.
    pub(super) fn end(&self) {
        self.new.borrow_mut().clear();
        self.members.borrow_mut().clear();
        self.live.set(0);
        self.calls.tell(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::time::Duration;
    use tokio::sync::{mpsc, oneshot};

    /// What happened, in order.
    type Log = Rc<RefCell<Vec<&'static str>>>;

    async fn ended(crowd: &Crowd, most: usize) {
        tokio::time::timeout(Duration::from_secs(20), crowd.run(most)).await.expect("no hang");
    }

    #[tokio::test]
    async fn who_waits_for_the_next_turn_has_it_after_all_who_were_called() {
        let (crowd, log) = (Rc::new(Crowd::default()), Log::default());
        for (read, sent) in [("reads 1", "sends 1"), ("reads 2", "sends 2"), ("reads 3", "sends 3")] {
            let (own, log) = (Rc::clone(&crowd), Rc::clone(&log));
            crowd.spawn(async move {
                log.borrow_mut().push(read);
                own.next_turn().await;
                log.borrow_mut().push(sent);
            });
        }
        ended(&crowd, 100).await;
        assert_eq!(*log.borrow(), ["reads 1", "reads 2", "reads 3", "sends 1", "sends 2", "sends 3"]);
    }

    #[tokio::test]
    async fn nobody_waits_behind_more_than_a_few_of_the_others() {
        let (crowd, log) = (Rc::new(Crowd::default()), Log::default());
        for _ in 0..6 {
            let (own, log) = (Rc::clone(&crowd), Rc::clone(&log));
            crowd.spawn(async move {
                log.borrow_mut().push("reads");
                own.next_turn().await;
                log.borrow_mut().push("sends");
            });
        }
        ended(&crowd, 2).await;
        let pairs = ["reads", "reads", "sends", "sends"];
        assert_eq!(*log.borrow(), [pairs, pairs, pairs].concat());
    }

    #[test]
    fn tasks_that_never_wait_leave_the_runtime_its_turn_and_can_be_ended() {
        let crowd = Rc::new(Crowd::default());
        for _ in 0..3 {
            let own = Rc::clone(&crowd);
            crowd.spawn(async move {
                for _ in 0..1_000_000 {
                    own.next_turn().await;
                }
                panic!("the runtime never looked at its timers");
            });
        }
        // However seldom it looks by itself while a task has something to do.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(u32::MAX)
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let own = Rc::clone(&crowd);
            let running = tokio::task::spawn_local(async move { own.run(100).await });
            tokio::time::sleep(Duration::from_millis(5)).await;
            crowd.end();
            running.await.unwrap();
        });
    }

    #[tokio::test]
    async fn a_call_from_another_thread_or_another_member_gets_a_task_its_turn() {
        let crowd = Rc::new(Crowd::default());
        let (far, from_far) = oneshot::channel();
        let (near, mut from_near) = mpsc::channel(1);
        let seen = Rc::new(Cell::new(0));
        let mine = Rc::clone(&seen);
        crowd.spawn(async move { mine.set(mine.get() + from_near.recv().await.unwrap()) });
        let own = Rc::clone(&crowd);
        crowd.spawn(async move {
            let number = from_far.await.unwrap();
            // A new member, while members have their turns.
            own.spawn(async move { near.send(number).await.unwrap() });
        });
        let thread = std::thread::spawn(move || far.send(7).unwrap());
        ended(&crowd, 1).await;
        assert_eq!(seen.get(), 7);
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn who_calls_itself_during_its_turn_has_another_one() {
        let crowd = Crowd::default();
        crowd.spawn(async {
            for _ in 0..1000 {
                let mut called = false;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::replace(&mut called, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        });
        ended(&crowd, 3).await;
    }

    #[tokio::test]
    async fn a_task_that_is_ended_is_dropped_where_it_stands_and_may_be_called_all_the_same() {
        let crowd = Crowd::default();
        let (sender, receiver) = oneshot::channel::<()>();
        let waker = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&waker);
        crowd.spawn(async move {
            std::future::poll_fn(|cx| {
                kept.replace(Some(cx.waker().clone()));
                Poll::Ready(())
            })
            .await;
            let _sender = sender;
            std::future::pending::<()>().await;
        });
        let other = async {
            tokio::task::yield_now().await;
            waker.take().expect("it has had a turn").wake();
            crowd.end();
            assert!(receiver.await.is_err(), "what it held is gone");
        };
        tokio::join!(ended(&crowd, 1), other);
    }

    #[tokio::test]
    #[should_panic(expected = "as a bug would")]
    async fn a_panic_of_a_task_is_one_of_the_crowd() {
        let crowd = Crowd::default();
        crowd.spawn(async { panic!("as a bug would") });
        crowd.run(1).await;
    }
}
