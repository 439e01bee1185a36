//! Which run is next: several are worked on at once, each after the one that it starts from.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// How far a run is, for whoever looks for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waiting,
    AtWork,
    Done,
}

/// Runs to be worked on, by their numbers.
#[derive(Debug)]
pub struct Queue {
    /// For each run, the one that must be done before it.
    after: Vec<Option<usize>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    turns: Vec<Turn>,
    /// Why no further run is begun.
    failure: Option<Error>,
}

impl Queue {
    /// So many runs, each after the one that `after` names, if it names one.
    pub fn new(after: Vec<Option<usize>>) -> Self {
        let state = State { turns: vec![Turn::Waiting; after.len()], failure: None };
        Self { after, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Works on all runs, `jobs` at once, each on a thread of its own; `work` is told the number of
    /// the run. After a failure no further run is begun.
    ///
    /// # Errors
    /// The first failure, once the other threads are done.
    pub fn work(&self, jobs: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(run) = self.next() {
                        let outcome = work(run);
                        self.done(run, outcome);
                    }
                });
            }
        });
        self.state().failure.take().map_or(Ok(()), Err)
    }

    /// The first run that can be begun, once there is one; none if nothing is left to begin.
    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.failure.is_some() || !state.turns.contains(&Turn::Waiting) {
                return None;
            }
            let is_ready = |&run: &usize| {
                let before = self.after[run].map(|before| state.turns[before]);
                state.turns[run] == Turn::Waiting && before.is_none_or(|turn| turn == Turn::Done)
            };
            if let Some(run) = (0..state.turns.len()).find(is_ready) {
                state.turns[run] = Turn::AtWork;
                return Some(run);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, run: usize, outcome: Result<()>) {
        let mut state = self.state();
        state.turns[run] = Turn::Done;
        if let Err(error) = outcome {
            state.failure.get_or_insert(error);
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_run_is_worked_on_once_and_after_the_one_it_starts_from() {
        for jobs in 1..=3 {
            let queue = Queue::new(vec![None, Some(0), Some(1), None, Some(3)]);
            let order = Mutex::new(Vec::new());
            let work = |run| {
                order.lock().unwrap().push(run);
                Ok(())
            };
            queue.work(jobs, work).unwrap();
            let order = order.into_inner().unwrap();
            let place = |run: usize| order.iter().position(|&other| other == run).unwrap();
            assert_eq!(order.len(), 5);
            assert!(place(0) < place(1) && place(1) < place(2) && place(3) < place(4), "{order:?}");
        }
    }

    #[test]
    fn two_jobs_work_at_the_same_time() {
        // Each waits for the other, so one alone would never end.
        let (both, met) = (Barrier::new(2), AtomicUsize::new(0));
        let work = |_| {
            both.wait();
            met.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        Queue::new(vec![None, None]).work(2, work).unwrap();
        assert_eq!(met.into_inner(), 2);
    }

    #[test]
    fn after_a_failure_no_run_is_begun() {
        let begun = AtomicUsize::new(0);
        let work = |run| {
            begun.fetch_add(1, Ordering::Relaxed);
            if run == 1 { Err(Error::new("it broke")) } else { Ok(()) }
        };
        let error = Queue::new(vec![None, None, Some(1), None]).work(1, work).unwrap_err();
        assert_eq!((error.cause(), begun.into_inner()), ("it broke", 2));
    }
}
