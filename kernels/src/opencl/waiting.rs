//! Launches that wait a moment, so that those which do not depend on each other become one.
//!
//! A step of a deep model is hundreds of small launches. Each costs the host time and leaves most
//! of a GPU idle, yet many of them are independent: the networks of prior and posterior between two
//! layers, the two products that a layer's backward consists of, the noise of all layers. So the
//! last few launches wait here. A new one joins an earlier one of the same kernel (products also
//! one whose operands lie otherwise in memory), as one more *problem* of that launch, if nothing
//! from there on touches memory that the other writes: it may as well have been launched then. Each
//! problem is computed as in a launch of its own, so that no bit depends on what was joined.
//!
//! Whatever else uses the queue (a copy, a fill, a wait) lets all that waits go first.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::command_buffer::Functions;
use super::context::Context;
use super::joined::{Joined, MOST_PROBLEMS, Problem};
use super::program::Programs;
use super::replay::Replay;
use crate::Result;

/// Launches that wait, at most. What a launch could join is seldom further back, and a device must
/// not stand still for want of them.
const MOST_WAITING: usize = 16;

/// The launches that wait, the oldest first.
#[derive(Debug)]
pub(super) struct Waiting {
    launches: VecDeque<Joined>,
    /// Problems that are done with, for their memory.
    spare: Vec<Problem>,
    replay: Replay,
}

impl Waiting {
    /// `functions` record launches, where the driver has them.
    pub(super) const fn new(functions: Option<Functions>) -> Self {
        let replay = Replay::new(functions);
        Self { launches: VecDeque::new(), spare: Vec::new(), replay }
    }

    /// An empty problem.
    pub(super) fn fresh(&mut self) -> Problem {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a launch in: as a problem of an earlier one if `is_joinable` and there is one that it
    /// can join, else as the last. Lets the oldest go if too many wait.
    ///
    /// # Errors
    /// The driver's, of the launch that goes.
    pub(super) fn take(
        &mut self,
        context: &Context,
        programs: &Programs,
        (kernel, is_joinable): (usize, bool),
        group: [usize; 3],
        problem: Problem,
    ) -> Result<()> {
        let fits =
            |launch: &Joined| launch.group == group && programs.can_join(launch.kernel, kernel);
        let mut earliest = None;
        if is_joinable && self.launches.iter().any(fits) {
            for (at, launch) in self.launches.iter().enumerate().rev() {
                if launch.concerns(&problem) {
                    break;
                }
                if fits(launch) && launch.problems.len() < MOST_PROBLEMS {
                    earliest = Some(at);
                }
            }
        }
        if let Some(at) = earliest {
            self.launches[at].problems.push(problem);
            return Ok(());
        }
        let mut problems = SmallVec::new();
        problems.push(problem);
        self.launches.push_back(Joined { kernel, group, problems });
        if self.launches.len() > MOST_WAITING { self.let_go(context, programs) } else { Ok(()) }
    }

    /// Puts all that waits into the queue, for whatever else uses it.
    ///
    /// # Errors
    /// The driver's, of the first launch that fails; those after it still wait.
    pub(super) fn let_all_go(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        while !self.launches.is_empty() {
            self.let_go(context, programs)?;
        }
        self.replay.break_off(context, programs)
    }

    /// Ends a step of training, for [`Replay::end_step`]; whether steps may be replayed at all.
    ///
    /// # Errors
    /// As [`Waiting::let_all_go`].
    pub(super) fn end_step(&mut self, context: &Context, programs: &Programs) -> Result<bool> {
        if !self.replay.is_possible() {
            return Ok(false);
        }
        while !self.launches.is_empty() {
            self.let_go(context, programs)?;
        }
        self.replay.end_step(context, programs)?;
        Ok(true)
    }

    /// Lets go of all memory that recordings hold.
    pub(super) fn forget_steps(&mut self) {
        self.replay.forget();
    }

    /// Puts the oldest launch into the queue.
    fn let_go(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        let Some(launch) = self.launches.pop_front() else { return Ok(()) };
        let Some(launch) = self.replay.take(context, programs, launch)? else { return Ok(()) };
        for mut problem in launch.problems {
            problem.arguments.clear();
            problem.touched.clear();
            self.spare.push(problem);
        }
        Ok(())
    }
}
