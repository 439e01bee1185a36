//! Launches that wait a moment, so that those which do not depend on each other become one.
//!
//! A step of a deep model is hundreds of small launches. Each costs the host time and leaves most
//! of a GPU idle, yet many of them are independent: the networks of prior and posterior between two
//! layers, the two products that a layer's backward consists of, the noise of all layers. So the
//! last few launches wait here. A new one joins an earlier one of the same kernel, as one more
//! *problem* of that launch, if nothing from there on touches memory that the other writes: it may
//! as well have been launched then. Each problem is computed as in a launch of its own, so that no
//! bit depends on what was joined.
//!
//! Whatever else uses the queue (a copy, a fill, a wait) lets all that waits go first.

use std::collections::VecDeque;

use ocl::core::{self, ArgVal, Mem};
use smallvec::SmallVec;

use super::context::Context;
use super::program::Programs;
use crate::Result;

/// Problems of a joined launch, at most: `PROBLEMS` of `cl/common.cl`.
pub(super) const MOST_PROBLEMS: usize = 4;

/// Launches that wait, at most. What a launch could join is seldom further back, and a device must
/// not stand still for want of them.
const MOST_WAITING: usize = 16;

/// An argument of a kernel.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    Memory(Mem),
    Null,
    Count(u32),
    First(u64),
    Single(f32),
    Double(f64),
    Eight([u32; 8]),
}

/// Bytes of a memory that a kernel reads or writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touched {
    /// Which memory: the driver's pointer.
    pub(super) memory: usize,
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) is_written: bool,
}

/// What one launch was asked for: its arguments, the memory it touches, and its work-groups.
#[derive(Debug, Default)]
pub(super) struct Problem {
    pub(super) arguments: Vec<Argument>,
    pub(super) touched: SmallVec<[Touched; 12]>,
    pub(super) groups: [usize; 3],
}

/// Problems of one kernel, none of which depends on another.
#[derive(Debug)]
struct Joined {
    /// Number of the kernel among the programs'.
    kernel: usize,
    /// Work-items of a group.
    group: [usize; 3],
    problems: SmallVec<[Problem; MOST_PROBLEMS]>,
}

/// The launches that wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    launches: VecDeque<Joined>,
    /// Problems that are done with, for their memory.
    spare: Vec<Problem>,
}

impl Touched {
    const fn depends_on(&self, other: &Self) -> bool {
        (self.is_written || other.is_written)
            && self.memory == other.memory
            && self.begin < other.end
            && other.begin < self.end
    }
}

impl Problem {
    fn group_count(&self) -> usize {
        self.groups.iter().product()
    }

    fn depends_on(&self, other: &Self) -> bool {
        self.touched.iter().any(|mine| other.touched.iter().any(|its| mine.depends_on(its)))
    }
}

impl Joined {
    fn concerns(&self, problem: &Problem) -> bool {
        self.problems.iter().any(|one| problem.depends_on(one))
    }
}

impl Waiting {
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
        let is_same = |launch: &Joined| launch.kernel == kernel && launch.group == group;
        let mut earliest = None;
        if is_joinable && self.launches.iter().any(is_same) {
            for (at, launch) in self.launches.iter().enumerate().rev() {
                if launch.concerns(&problem) {
                    break;
                }
                if is_same(launch) && launch.problems.len() < MOST_PROBLEMS {
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

    /// Puts all that waits into the queue.
    ///
    /// # Errors
    /// The driver's, of the first launch that fails; those after it still wait.
    pub(super) fn let_all_go(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        while !self.launches.is_empty() {
            self.let_go(context, programs)?;
        }
        Ok(())
    }

    /// Puts the oldest launch into the queue.
    fn let_go(&mut self, context: &Context, programs: &Programs) -> Result<()> {
        let Some(launch) = self.launches.pop_front() else { return Ok(()) };
        let outcome = enqueue(context, programs, &launch);
        for mut problem in launch.problems {
            problem.arguments.clear();
            problem.touched.clear();
            self.spare.push(problem);
        }
        outcome.map_err(|error| context.failed(&error))?;
        context.count_launch();
        Ok(())
    }
}

/// Sets the arguments of a launch and puts it into the queue; does not wait.
fn enqueue(
    context: &Context,
    programs: &Programs,
    launch: &Joined,
) -> std::result::Result<(), ocl::OclCoreError> {
    let ready = programs.ready(launch.kernel);
    let (kernel, heads) = match (&launch.problems[..], &ready.joined) {
        ([_], _) | (_, None) => (&ready.kernel, None),
        (problems, Some((joined, _))) => (joined, Some(heads(problems))),
    };
    // The arguments of the problems that are not there must be set too; they are not looked at.
    let problems = launch.problems.iter().chain(std::iter::repeat(&launch.problems[0]));
    let count = if heads.is_some() { MOST_PROBLEMS } else { 1 };
    let arguments = heads.iter().flatten().chain(problems.take(count).flat_map(|p| &p.arguments));
    for (index, argument) in arguments.enumerate() {
        core::set_kernel_arg(kernel, index as u32, argument.value())?;
    }
    let groups = match &launch.problems[..] {
        [problem] => problem.groups,
        problems => [problems.iter().map(Problem::group_count).sum(), 1, 1],
    };
    let items = std::array::from_fn(|d| groups[d] * launch.group[d]);
    // SAFETY: arguments match the kernel's declaration in order and type, which the parity tests
    // show for every kernel, alone and joined; each array was checked to hold what the sizes among
    // the arguments reach, and stays alive: the driver keeps memory that a queued kernel uses.
    unsafe {
        core::enqueue_kernel(
            &context.queue,
            kernel,
            3,
            None,
            &items,
            Some(launch.group),
            None::<core::Event>,
            None::<&mut core::Event>,
        )
    }
}

/// What a joined kernel is told first: where each problem ends among the groups of the launch, and
/// its own groups along the first and the second dimension; see `JOINED` of `cl/common.cl`.
fn heads(problems: &[Problem]) -> [Argument; 3 * MOST_PROBLEMS] {
    let (mut numbers, mut end) = ([0; 3 * MOST_PROBLEMS], 0);
    for at in 0..MOST_PROBLEMS {
        // One that is not there has no groups, but a size to divide by.
        let [wide, high] = match problems.get(at) {
            Some(problem) => {
                end += problem.group_count();
                [problem.groups[0], problem.groups[1]]
            }
            None => [1, 1],
        };
        numbers[at] = end;
        numbers[MOST_PROBLEMS + at] = wide;
        numbers[2 * MOST_PROBLEMS + at] = high;
    }
    numbers.map(|number| Argument::Count(number as u32))
}

impl Argument {
    fn value(&self) -> ArgVal<'_> {
        match self {
            Self::Memory(memory) => ArgVal::mem(memory),
            Self::Null => ArgVal::mem_null(),
            Self::Count(value) => ArgVal::scalar(value),
            Self::First(value) => ArgVal::scalar(value),
            Self::Single(value) => ArgVal::scalar(value),
            Self::Double(value) => ArgVal::scalar(value),
            // SAFETY: the pointer and the size are those of the value, which lives as long as the
            // result.
            Self::Eight(value) => unsafe {
                ArgVal::from_raw(size_of_val(value), value.as_ptr().cast(), false)
            },
        }
    }
}
