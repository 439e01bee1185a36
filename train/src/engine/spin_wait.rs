//! Threads that wait for their next task awake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::Yield;
use rung_autograd::Device;

/// Pauses between two looks for a task: about half a microsecond.
const PAUSES: usize = 20;
/// Looks in vain after which a thread offers its core to other programs each time: some tens of
/// microseconds.
const LOOKS_BEFORE_YIELDING: usize = 100;

/// While it lives, the other threads of the current pool don't sleep between two tasks.
///
/// A training step has hundreds of pieces of work for all threads, and between them short ones for
/// one. A thread of rayon's sleeps after some tens of microseconds without a task, and the system
/// takes long to wake it, on a virtual CPU whose host is busy longer than the work takes:
/// with two threads a fifth of a step. So they look for tasks until this is dropped, and leave
/// their core to any other program that wants it.
#[must_use = "threads go back to sleep when it is dropped"]
pub struct SpinWait(Arc<AtomicBool>);

impl SpinWait {
    /// Keeps the threads awake if the work is done by the CPU.
    ///
    /// May be nested. Two threads of a pool may not call it at once: each would wait for the other.
    pub fn on(device: &Device) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        // Outside of a pool there is no thread to share the work with.
        let caller = rayon::current_thread_index().filter(|_| device.name() == "cpu");
        let threads = rayon::current_num_threads();
        if let Some(caller) = caller.filter(|_| threads > 1) {
            let started = Arc::new(AtomicUsize::new(0));
            let (over, begun) = (Arc::clone(&is_over), Arc::clone(&started));
            rayon::spawn_broadcast(move |thread| {
                begun.fetch_add(1, Ordering::Release);
                if thread.index() != caller {
                    look_for_tasks(&over);
                }
            });
            // A thread that took a task of the caller's first would start to look inside of it, and
            // never finish it.
            while started.load(Ordering::Acquire) < threads - 1 {
                std::thread::yield_now();
            }
            // The caller's own share of the broadcast would wait until the caller is idle, after
            // all of the training, and one of every evaluation with it.
            while started.load(Ordering::Acquire) < threads {
                rayon::yield_now();
            }
        }
        Self(is_over)
    }
}

impl Drop for SpinWait {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look_for_tasks(is_over: &AtomicBool) {
    let mut looks_in_vain = 0;
    while !is_over.load(Ordering::Relaxed) {
        if rayon::yield_now() == Some(Yield::Executed) {
            looks_in_vain = 0;
            continue;
        }
        (0..PAUSES).for_each(|_| std::hint::spin_loop());
        looks_in_vain += 1;
        if looks_in_vain > LOOKS_BEFORE_YIELDING {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_that_are_kept_awake_take_tasks_and_are_free_afterwards() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            let outer = SpinWait::on(&Device::cpu());
            let inner = SpinWait::on(&Device::cpu());
            // Ends only if every thread takes its task while it is kept awake.
            assert_eq!(rayon::broadcast(|thread| thread.index()), [0, 1, 2]);
            drop(inner);
            drop(outer);
        });
        assert_eq!(pool.broadcast(|thread| thread.index()), [0, 1, 2]);
    }

    #[test]
    fn a_thread_that_works_for_the_caller_ends_its_task_before_it_is_kept_awake() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            let is_taken = AtomicBool::new(false);
            // The scope ends only if the other thread doesn't begin to look for tasks while it
            // waits for the second half of its own, which the caller takes once it is free.
            let _spin_wait = rayon::scope(|scope| {
                scope.spawn(|_| {
                    is_taken.store(true, Ordering::Release);
                    let sleep =
                        |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
                    rayon::join(|| sleep(10), || sleep(50));
                });
                while !is_taken.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                SpinWait::on(&Device::cpu())
            });
        });
    }

    /// A pool that never gets idle would gather what is left of them.
    #[test]
    fn nothing_is_left_of_it_while_its_caller_goes_on() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let outer = SpinWait::on(&Device::cpu());
                let inner = SpinWait::on(&Device::cpu());
                let left = Arc::downgrade(&inner.0);
                drop(inner);
                let deadline = std::time::Instant::now() + Duration::from_secs(60);
                while left.strong_count() > 0 {
                    assert!(std::time::Instant::now() < deadline, "of {threads} threads");
                    std::thread::yield_now();
                }
                drop(outer);
            });
        }
    }

    #[test]
    fn without_a_pool_nothing_is_kept_awake() {
        let awake = SpinWait::on(&Device::cpu());
        assert_eq!(Arc::strong_count(&awake.0), 1);
    }
}
