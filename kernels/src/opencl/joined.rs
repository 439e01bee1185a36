//! A launch on its way into the queue: a kernel with up to four problems, none of which depends on
//! another.

use ocl::OclCoreError;
use ocl::core::{self, ArgVal, Kernel, Mem};
use smallvec::SmallVec;

use super::context::Context;
use super::program::Programs;
use crate::Result;

/// Problems of a joined launch, at most: `PROBLEMS` of `cl/common.cl`.
pub(super) const MOST_PROBLEMS: usize = 4;

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
pub(super) struct Joined {
    /// Number of the kernel among the programs'.
    pub(super) kernel: usize,
    /// Work-items of a group.
    pub(super) group: [usize; 3],
    pub(super) problems: SmallVec<[Problem; MOST_PROBLEMS]>,
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
    /// Whether `problem` reads what a problem of this launch writes, or the other way round.
    pub(super) fn concerns(&self, problem: &Problem) -> bool {
        self.problems.iter().any(|one| problem.depends_on(one))
    }

    /// Puts the launch into the queue; does not wait.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn enqueue(&self, context: &Context, programs: &Programs) -> Result<()> {
        let enqueue = || {
            let kernel = programs.ready(self.kernel).form(self.is_of_several());
            self.set_arguments(kernel)?;
            // SAFETY: arguments match the kernel's declaration in order and type, which the parity
            // tests show for every kernel, alone and joined; each array was checked to hold what
            // the sizes among the arguments reach, and stays alive: the driver keeps memory that a
            // queued kernel uses.
            unsafe {
                core::enqueue_kernel(
                    &context.queue,
                    kernel,
                    3,
                    None,
                    &self.items(),
                    Some(self.group),
                    None::<core::Event>,
                    None::<&mut core::Event>,
                )
            }
        };
        enqueue().map_err(|error| context.failed(&error))?;
        context.count_launches(1);
        Ok(())
    }

    /// Whether the kernel's form for several problems is launched.
    pub(super) fn is_of_several(&self) -> bool {
        self.problems.len() > 1
    }

    /// Sets the arguments of the kernel, in the form that is launched.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn set_arguments(&self, kernel: &Kernel) -> std::result::Result<(), OclCoreError> {
        let heads = self.is_of_several().then(|| heads(&self.problems));
        // The arguments of the problems that are not there must be set too; they are not looked at.
        let problems = self.problems.iter().chain(std::iter::repeat(&self.problems[0]));
        let count = if heads.is_some() { MOST_PROBLEMS } else { 1 };
        let arguments =
            heads.iter().flatten().chain(problems.take(count).flat_map(|p| &p.arguments));
        for (index, argument) in arguments.enumerate() {
            core::set_kernel_arg(kernel, index as u32, argument.value())?;
        }
        Ok(())
    }

    /// Work-items along each dimension.
    pub(super) fn items(&self) -> [usize; 3] {
        let groups = match &self.problems[..] {
            [problem] => problem.groups,
            problems => [problems.iter().map(Problem::group_count).sum(), 1, 1],
        };
        std::array::from_fn(|d| groups[d] * self.group[d])
    }
}

/// Two launches are equal if the driver is told the same.
impl PartialEq for Joined {
    fn eq(&self, other: &Self) -> bool {
        self.kernel == other.kernel
            && self.group == other.group
            && self.problems.len() == other.problems.len()
            && self
                .problems
                .iter()
                .zip(&other.problems)
                .all(|(mine, its)| mine.groups == its.groups && mine.arguments == its.arguments)
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

/// Floats are compared by their bits, as the kernel gets them.
impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(mine), Self::Memory(its)) => mine.as_ptr() == its.as_ptr(),
            (Self::Null, Self::Null) => true,
            (Self::Count(mine), Self::Count(its)) => mine == its,
            (Self::First(mine), Self::First(its)) => mine == its,
            (Self::Single(mine), Self::Single(its)) => mine.to_bits() == its.to_bits(),
            (Self::Double(mine), Self::Double(its)) => mine.to_bits() == its.to_bits(),
            (Self::Eight(mine), Self::Eight(its)) => mine == its,
            _ => false,
        }
    }
}
