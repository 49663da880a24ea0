//! The tasks of a load thread that send requests, as one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Tasks of one thread, which may still grow in number. Knows when all have ended, and can end them.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    handles: RefCell<Vec<AbortHandle>>,
    live: Cell<usize>,
    panicked: Cell<bool>,
    changed: Notify,
}

/// One of them; dropped with its task, however that ends.
struct Member(Rc<Crowd>);

impl Drop for Member {
    fn drop(&mut self) {
        let crowd = &self.0;
        crowd.live.set(crowd.live.get() - 1);
        crowd.panicked.set(crowd.panicked.get() || std::thread::panicking());
        crowd.changed.notify_one();
    }
}

impl Crowd {
    /// One more task on this thread.
    pub(super) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.live.set(self.live.get() + 1);
        let member = Member(Rc::clone(self));
        let handle = tokio::task::spawn_local(async move {
            let _member = member;
            task.await;
        });
        self.handles.borrow_mut().push(handle.abort_handle());
    }

    /// Waits until no task is left. For one waiter at a time.
    ///
    /// # Panics
    /// When one has: a bug in a task must not look like a result.
    pub(super) async fn ended(&self) {
        loop {
            assert!(!self.panicked.get(), "a task that sends requests has panicked");
            if self.live.get() == 0 {
                return;
            }
            self.changed.notified().await;
        }
    }

    /// Ends all tasks where they stand; [`ended`](Self::ended) tells when they have.
    pub(super) fn end(&self) {
        for handle in self.handles.borrow().iter() {
            handle.abort();
        }
    }
}
