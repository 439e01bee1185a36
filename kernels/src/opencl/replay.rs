//! Steps that repeat: where the driver can record launches, a step's are compared with those of the
//! step before, and what is the same is recorded once and from then on replayed.
//!
//! Two steps of training differ in few launches: those that are told which noise to draw, which
//! rows to gather, or the optimiser's rate. All others have the same kernels, grids and arguments,
//! if the pool hands out the same memory, for which it begins each step in the same order. Runs of
//! such launches become recordings; what lies between is launched as ever. A launch is held back
//! while those of a run still match; with the last of them the recording goes into the queue. The
//! first that does not match lets those that were held back go as launches of their own, and the
//! rest of the step too: what is computed is the same, bit for bit, recorded or not. The end of an
//! epoch is such a step; after two in a row the recordings are made anew.

use std::mem;
use std::ops::Range;

use super::command_buffer::{Functions, Recording};
use super::context::Context;
use super::joined::Joined;
use super::program::Programs;
use crate::Result;

/// Launches of a recording, at least: fewer are not worth one.
const FEWEST: usize = 4;

/// Launches of a recording, at most: the device must not stand still while they are held back.
const MOST: usize = 64;

/// Launches of a step that are compared, at most.
const LONGEST_STEP: usize = 4096;

/// Steps in a row that are not as expected, after which a plan is dropped.
const MOST_DEVIATIONS: usize = 2;

/// Attempts in a row to find steps that repeat, before it is taken that none do.
const MOST_ATTEMPTS: usize = 16;

/// Steps in a row that a plan holds for, after which the attempts before it were worth it.
const WORTHY: usize = 16;

/// A launch of a step.
#[derive(Debug)]
struct Seen {
    launch: Joined,
    /// Whether something else used the queue before it, so that no recording goes on across.
    is_after_other: bool,
}

/// Launches of a plan that are recorded.
#[derive(Debug)]
struct Run {
    range: Range<usize>,
    recording: Recording,
}

/// What a step is expected to be.
#[derive(Debug)]
struct Plan {
    launches: Vec<Seen>,
    /// In their order.
    runs: Vec<Run>,
    /// Launches of this step so far.
    position: usize,
    /// The first run that is not replayed yet in this step.
    next: usize,
    /// Whether this step is not as expected: all launches are launched.
    is_lost: bool,
    /// Steps in a row that were not as expected.
    deviations: usize,
    /// Steps that were.
    steps: usize,
}

/// What is known of the steps.
#[derive(Debug, Default)]
enum State {
    /// Nothing: launches are launched.
    #[default]
    Idle,
    /// The launches of the step before, and of this one so far.
    Watching { before: Vec<Seen>, now: Vec<Seen> },
    /// What this step is expected to be.
    Replaying(Plan),
}

/// The last stop of a launch before the queue.
#[derive(Debug)]
pub(super) struct Replay {
    /// How launches are recorded, if they are at all.
    functions: Option<Functions>,
    state: State,
    /// Whether something else used the queue since the last launch.
    is_after_other: bool,
    attempts: usize,
    /// Launches that were held back, and go before any other.
    overdue: Vec<Joined>,
}

/// What a plan says of a launch.
enum Verdict {
    /// It is in no run.
    Alone,
    /// It is the next of a run, and not the last.
    Held,
    /// It is the last of a run: which.
    Whole(usize),
    /// It is not what was expected.
    Other,
}

impl Replay {
    /// Without functions, every launch goes on its own.
    pub(super) const fn new(functions: Option<Functions>) -> Self {
        Self {
            functions,
            state: State::Idle,
            is_after_other: false,
            attempts: 0,
            overdue: Vec::new(),
        }
    }

    /// Whether launches may be recorded.
    pub(super) const fn is_possible(&self) -> bool {
        self.functions.is_some()
    }

    /// Puts a launch into the queue, or holds it back; gives it back if it is done with.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn take(
        &mut self,
        context: &Context,
        programs: &Programs,
        launch: Joined,
    ) -> Result<Option<Joined>> {
        self.let_overdue_go(context, programs)?;
        let is_after_other = mem::take(&mut self.is_after_other);
        if let State::Replaying(plan) = &mut self.state {
            match plan.judge(&launch) {
                Verdict::Alone => {}
                Verdict::Held => return Ok(Some(launch)),
                Verdict::Whole(run) => {
                    plan.runs[run].replay(context)?;
                    return Ok(Some(launch));
                }
                Verdict::Other => plan.lose(context, programs)?,
            }
        }
        launch.enqueue(context, programs)?;
        if let State::Watching { now, .. } = &mut self.state {
            if now.len() < LONGEST_STEP {
                now.push(Seen { launch, is_after_other });
                return Ok(None);
            }
            self.state = State::Idle;
        }
        Ok(Some(launch))
    }

    /// Lets launches that are held back go, since something else is to use the queue.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn break_off(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        self.is_after_other = true;
        self.let_overdue_go(context, programs)?;
        match &mut self.state {
            State::Replaying(plan) if !plan.held().is_empty() => plan.lose(context, programs),
            _ => Ok(()),
        }
    }

    /// Ends a step: what it was, if it was as the one before, is recorded.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn end_step(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        self.let_overdue_go(context, programs)?;
        if let State::Replaying(plan) = &mut self.state {
            if plan.position < plan.launches.len() && !plan.is_lost {
                plan.lose(context, programs)?;
            }
            if plan.begin_again() {
                if plan.steps == WORTHY {
                    self.attempts = 0;
                }
                return Ok(());
            }
        }
        let state = mem::take(&mut self.state);
        let Some(functions) = self.functions.filter(|_| self.attempts < MOST_ATTEMPTS) else {
            return Ok(());
        };
        let State::Watching { before, now } = state else {
            self.state = State::Watching { before: Vec::new(), now: Vec::new() };
            return Ok(());
        };
        self.attempts += 1;
        let ranges = repeated(&before, &now);
        if ranges.is_empty() {
            self.state = State::Watching { before: now, now: Vec::new() };
            return Ok(());
        }
        let record = |range| Run::new(context, programs, functions, &now, range);
        match ranges.into_iter().map(record).collect() {
            Ok(runs) => {
                self.state = State::Replaying(Plan::new(now, runs));
            }
            Err(error) => {
                self.functions = None;
                eprintln!("opencl: launches are not recorded: {error}");
            }
        }
        Ok(())
    }

    /// Lets go of all recordings and of the memory that they hold.
    pub(super) fn forget(&mut self) {
        self.attempts = 0;
        if let State::Replaying(mut plan) = mem::take(&mut self.state) {
            let held = plan.held();
            self.overdue.extend(plan.launches.drain(held).map(|seen| seen.launch));
        }
    }

    fn let_overdue_go(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        for launch in mem::take(&mut self.overdue) {
            launch.enqueue(context, programs)?;
        }
        Ok(())
    }
}

impl Plan {
    /// The plan of steps with these launches.
    const fn new(launches: Vec<Seen>, runs: Vec<Run>) -> Self {
        Self { launches, runs, position: 0, next: 0, is_lost: false, deviations: 0, steps: 0 }
    }

    /// What is to be done with the next launch.
    fn judge(&mut self, launch: &Joined) -> Verdict {
        let at = self.position;
        let Some(expected) = self.launches.get(at).filter(|_| !self.is_lost) else {
            self.is_lost = true;
            return Verdict::Alone;
        };
        let run = self.runs.get(self.next).map_or(at + 1..at + 1, |run| run.range.clone());
        if run.contains(&at) && *launch != expected.launch {
            return Verdict::Other;
        }
        self.position += 1;
        if at < run.start {
            Verdict::Alone
        } else if self.position < run.end {
            Verdict::Held
        } else {
            self.next += 1;
            Verdict::Whole(self.next - 1)
        }
    }

    /// The launches that are held back.
    fn held(&self) -> Range<usize> {
        match self.runs.get(self.next) {
            Some(run) if !self.is_lost && run.range.start < self.position => {
                run.range.start..self.position
            }
            _ => 0..0,
        }
    }

    /// Lets the launches that are held back go, and expects nothing more of this step.
    fn lose(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        let held = self.held();
        self.is_lost = true;
        self.launches[held].iter().try_for_each(|seen| seen.launch.enqueue(context, programs))
    }

    /// Begins the next step; `false` if too many were not as expected.
    fn begin_again(&mut self) -> bool {
        if self.is_lost {
            self.deviations += 1;
        } else {
            self.deviations = 0;
            self.steps += 1;
        }
        (self.position, self.next, self.is_lost) = (0, 0, false);
        self.deviations < MOST_DEVIATIONS
    }
}

impl Run {
    /// Records the launches of a range.
    fn new(
        context: &Context,
        programs: &Programs,
        functions: Functions,
        launches: &[Seen],
        range: Range<usize>,
    ) -> Result<Self> {
        let refused = |refused| context.refused(refused);
        let mut recording = Recording::new(functions, &context.queue).map_err(refused)?;
        for Seen { launch, .. } in &launches[range.clone()] {
            let kernel = programs.another(context, launch.kernel, launch.is_of_several())?;
            launch.set_arguments(&kernel).map_err(|error| context.failed(&error))?;
            recording.add(kernel, launch.items(), launch.group).map_err(refused)?;
        }
        recording.finish().map_err(refused)?;
        Ok(Self { range, recording })
    }

    /// Puts the launches into the queue.
    fn replay(&self, context: &Context) -> Result<()> {
        self.recording.replay().map_err(|refused| context.refused(refused))?;
        context.count_launches(self.range.len());
        context.count_replayed(self.range.len());
        Ok(())
    }
}

/// The launches of `now` that are to be recorded: runs of those that are as in the step before.
fn repeated(before: &[Seen], now: &[Seen]) -> Vec<Range<usize>> {
    if before.len() != now.len() {
        return Vec::new();
    }
    let is_same = |at: usize| before[at].launch == now[at].launch;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in (0..now.len()).filter(|&at| is_same(at)) {
        match runs.last_mut() {
            Some(run) if run.end == at && !now[at].is_after_other => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    // Pieces of about one length, none longer than a recording may be.
    let pieces = |run: Range<usize>| {
        let count = run.len().div_ceil(MOST);
        let bound = move |piece: usize| run.start + piece * run.len() / count;
        (0..count).map(move |piece| bound(piece)..bound(piece + 1))
    };
    runs.into_iter().filter(|run| run.len() >= FEWEST).flat_map(pieces).collect()
}
