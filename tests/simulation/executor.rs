//! Runs tasks one after the other on one thread, in an order that depends on nothing but what they do. Knows no time.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};

/// Whose task it is: one life of one process.
pub(crate) type Owner = u32;

/// All tasks of all processes.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: BTreeMap<u64, Task>,
    ready: Arc<Ready>,
    next: u64,
}

struct Task {
    owner: Owner,
    work: Pin<Box<dyn Future<Output = ()>>>,
    wakes: Arc<Wakes>,
}

/// By number: those who wait for the same news are woken in an order that tokio draws by lot.
#[derive(Default)]
struct Ready(Mutex<BTreeSet<u64>>);

struct Wakes {
    id: u64,
    ready: Arc<Ready>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.ready.0.lock().unwrap().insert(self.id);
    }
}

impl Executor {
    /// Begins a task.
    pub(crate) fn spawn(&mut self, owner: Owner, work: impl Future<Output = ()> + 'static) {
        self.next += 1;
        let id = self.next;
        let wakes = Arc::new(Wakes { id, ready: Arc::clone(&self.ready) });
        Arc::clone(&wakes).wake();
        self.tasks.insert(id, Task { owner, work: Box::pin(work), wakes });
    }

    /// The process is gone, wherever its tasks were.
    pub(crate) fn kill(&mut self, owner: Owner) {
        self.tasks.retain(|_, task| task.owner != owner);
    }

    /// Polls whatever was woken until nobody of those that run has anything to do.
    pub(crate) fn run(&mut self, stopped: impl Fn(Owner) -> bool) {
        let (mut held, mut polls) = (Vec::new(), 0_u32);
        loop {
            let next = self.ready.0.lock().unwrap().pop_first();
            let Some(id) = next else { break };
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if stopped(task.owner) {
                held.push(id);
                continue;
            }
            polls += 1;
            assert!(polls < 1_000_000, "tasks that never come to rest");
            let waker = Waker::from(Arc::clone(&task.wakes));
            if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.tasks.remove(&id);
            }
        }
        self.ready.0.lock().unwrap().extend(held);
    }
}
