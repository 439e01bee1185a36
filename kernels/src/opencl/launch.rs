//! A launch: a kernel, its arguments in order, and a grid of work-items.

use ocl::core::{self, ArgVal, Mem};
use smallvec::SmallVec;

use super::context::Context;
use super::memory::Memory;
use super::program::File;
use crate::{DType, DeviceSlice, Error, Result, View, ViewMut};

/// Eight 32-bit integers as one argument, aligned as OpenCL's `uint8`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
struct Eight([u32; 8]);

/// An argument, kept until the launch.
#[derive(Clone, Copy)]
enum Argument<'a> {
    Memory(&'a Mem),
    Null,
    Count(u32),
    First(u64),
    Single(f32),
    Double(f64),
    Eight(Eight),
}

/// A kernel on its way to the queue. A wrong argument is remembered and reported by
/// [`Launch::run`], so that calls chain.
pub(super) struct Launch<'a> {
    context: &'a Context,
    operation: &'static str,
    file: File,
    kernel: &'static str,
    dtype: DType,
    arguments: SmallVec<[Argument<'a>; 32]>,
    problem: Option<Error>,
}

impl Context {
    /// A launch of a kernel, compiled for a float type, in the service of `operation`.
    pub(super) fn launch(
        &self,
        operation: &'static str,
        dtype: DType,
        file: File,
        kernel: &'static str,
    ) -> Launch<'_> {
        let problem = self.refuse(operation, dtype).err();
        Launch {
            context: self,
            operation,
            file,
            kernel,
            dtype,
            arguments: SmallVec::new(),
            problem,
        }
    }

    /// Refuses a float type that the device does not have, before anything is compiled for it.
    fn refuse(&self, operation: &'static str, dtype: DType) -> Result<()> {
        if dtype == DType::F64 && !self.has_f64 {
            return Err(Error::Failed {
                device: self.name.clone(),
                what: format!("{operation}: the device has no f64; use f32"),
            });
        }
        Ok(())
    }

    /// The most work-items of a group of a kernel, which is compiled if it was not yet.
    ///
    /// # Errors
    /// `Failed` if the device has no such float type or the compiler fails.
    pub(super) fn group_limit_of(
        &self,
        operation: &'static str,
        file: File,
        dtype: DType,
        kernel: &'static str,
    ) -> Result<usize> {
        self.refuse(operation, dtype)?;
        Ok(self.programs().kernel(self, file, dtype, kernel)?.group_limit)
    }

    /// The place of a view's first element in its memory; 0 for what lies elsewhere, which a launch
    /// refuses.
    pub(super) fn first_of(&self, view: View<'_>) -> usize {
        match view {
            View::Device(slice) => slice.offset,
            _ => 0,
        }
    }

    /// The part of this device's memory that a view shows.
    pub(super) fn slice<'a>(
        &self,
        operation: &'static str,
        view: View<'a>,
    ) -> Result<DeviceSlice<'a>> {
        let right = match view {
            View::Device(slice) if slice.memory.device_name() == self.name => return Ok(slice),
            View::Device(slice) => slice.memory.device_name().to_owned(),
            _ => "cpu".to_owned(),
        };
        Err(Error::Device { operation, left: self.name.clone(), right })
    }
}

impl<'a> Launch<'a> {
    /// A size or a stride.
    pub(super) fn count(mut self, count: usize) -> Self {
        match u32::try_from(count) {
            Ok(count) => self.arguments.push(Argument::Count(count)),
            Err(_) => {
                let what = format!("{count} elements are more than a kernel counts");
                self.problem.get_or_insert(Error::argument(self.operation, what));
            }
        }
        self
    }

    /// Bits of 32.
    pub(super) fn word(mut self, word: u32) -> Self {
        self.arguments.push(Argument::Count(word));
        self
    }

    /// A number of the kernel's float type.
    pub(super) fn real(mut self, value: f64) -> Self {
        self.arguments.push(match self.dtype {
            DType::F64 => Argument::Double(value),
            _ => Argument::Single(value as f32),
        });
        self
    }

    /// A number of the widest float type the device has.
    pub(super) fn wide(mut self, value: f64) -> Self {
        let wide = if self.context.has_f64 {
            Argument::Double(value)
        } else {
            Argument::Single(value as f32)
        };
        self.arguments.push(wide);
        self
    }

    /// Up to eight integers.
    pub(super) fn eight(mut self, words: [u32; 8]) -> Self {
        self.arguments.push(Argument::Eight(Eight(words)));
        self
    }

    /// Eight sizes.
    pub(super) fn counts(mut self, counts: [usize; 8]) -> Self {
        let words = counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        if let Some(at) = words.iter().position(|&word| word == u32::MAX) {
            let what = format!("{} elements are more than a kernel counts", counts[at]);
            self.problem.get_or_insert(Error::argument(self.operation, what));
        }
        self.eight(words)
    }

    /// An array that is read.
    pub(super) fn input(self, x: View<'a>) -> Self {
        self.array(x)
    }

    /// An array that may be absent.
    pub(super) fn input_or_null(self, x: Option<View<'a>>) -> Self {
        match x {
            Some(x) => self.array(x),
            None => self.null(),
        }
    }

    /// An array that is written. The borrow for writing lasts as long as the launch is being made.
    pub(super) fn output<'b: 'a>(self, out: &'b mut ViewMut<'_>) -> Self {
        self.array(out.as_view())
    }

    /// An array that is written if it is there.
    pub(super) fn output_or_null<'b: 'a>(self, out: &'b mut Option<ViewMut<'_>>) -> Self {
        match out {
            Some(out) => self.array(out.as_view()),
            None => self.null(),
        }
    }

    fn array(mut self, view: View<'a>) -> Self {
        match self.context.slice(self.operation, view) {
            Ok(slice) => {
                self.arguments.push(Argument::Memory(Memory::of(slice).handle()));
                self.arguments.push(Argument::First(slice.offset as u64));
            }
            Err(error) => {
                self.problem.get_or_insert(error);
            }
        }
        self
    }

    /// An array that is absent.
    pub(super) fn null(mut self) -> Self {
        self.arguments.extend([Argument::Null, Argument::First(0)]);
        self
    }

    /// Puts the kernel into the queue: `groups` work-groups of `group` work-items along each
    /// dimension. Does not wait.
    ///
    /// # Errors
    /// `Device` if an array lies elsewhere; `Argument` if a size is too large; `Failed` if the
    /// compiler or the driver fails, or if the device has no room for such a group.
    pub(super) fn run(self, groups: [usize; 3], group: [usize; 3]) -> Result<()> {
        if groups.contains(&0) {
            return self.nothing();
        }
        self.enqueue(|limit| (group.iter().product::<usize>() <= limit).then_some((groups, group)))
    }

    /// As [`Launch::run`] for a kernel to which groups mean nothing: `items` along each dimension,
    /// in groups of `group` along the first, or of fewer if the device has no room for so many.
    fn run_items(self, items: [usize; 3], group: usize) -> Result<()> {
        if items.contains(&0) {
            return self.nothing();
        }
        self.enqueue(|limit| {
            let group = group.min(limit);
            Some(([items[0].div_ceil(group), items[1], items[2]], [group, 1, 1]))
        })
    }

    /// An empty grid has nothing to do: nothing is compiled for it, and no group is too large.
    fn nothing(self) -> Result<()> {
        self.problem.map_or(Ok(()), Err)
    }

    /// Launches a grid that depends on the most work-items of this kernel's groups; `grid` says
    /// `None` if they are too few.
    fn enqueue(self, grid: impl FnOnce(usize) -> Option<([usize; 3], [usize; 3])>) -> Result<()> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let context = self.context;
        let failed = |error: ocl::OclCoreError| context.failed(&error);
        let mut programs = context.programs();
        let ready = programs.kernel(context, self.file, self.dtype, self.kernel)?;
        let (kernel, limit) = (&ready.kernel, ready.group_limit);
        let (groups, group) = grid(limit).ok_or_else(|| Error::Failed {
            device: context.name.clone(),
            what: format!(
                "{}: the device takes work-groups of {limit} for the kernel {}, which is too few",
                self.operation, self.kernel
            ),
        })?;
        for (index, argument) in self.arguments.iter().enumerate() {
            core::set_kernel_arg(kernel, index as u32, argument.value()).map_err(failed)?;
        }
        let items = std::array::from_fn(|d| groups[d] * group[d]);
        // SAFETY: arguments match the kernel's declaration in order and type, which the parity
        // tests show for every kernel; each array was checked to hold what the sizes among the
        // arguments reach, and stays alive: the driver keeps memory that a queued kernel uses.
        unsafe {
            core::enqueue_kernel(
                &context.queue,
                kernel,
                3,
                None,
                &items,
                Some(group),
                None::<core::Event>,
                None::<&mut core::Event>,
            )
        }
        .map_err(failed)?;
        drop(programs);
        context.count_launch();
        Ok(())
    }

    /// A work-item for each vector of `len` elements in a row.
    pub(super) fn over(self, len: usize) -> Result<()> {
        let width = self.context.cut.width(self.dtype);
        self.over_items(len.div_ceil(width))
    }

    /// A work-item for each of `count` things.
    pub(super) fn over_items(self, count: usize) -> Result<()> {
        let group = self.context.cut.group;
        self.run_items([count, 1, 1], group)
    }

    /// A work-item for each vector of a row, by rows.
    pub(super) fn over_rows(self, columns: usize, rows: usize) -> Result<()> {
        let vectors = columns.div_ceil(self.context.cut.width(self.dtype));
        let group = self.context.cut.row_group;
        self.run_items([vectors, rows, 1], group)
    }

    /// A group of work-items that share a row, for each row and part of it.
    pub(super) fn sharing_rows(self, rows: usize, parts: usize) -> Result<()> {
        let lanes = self.context.cut.lanes;
        self.run([1, rows, parts], [lanes, 1, 1])
    }

    /// Groups of work-items that share columns and walk down the rows, for each of `outer`
    /// matrices.
    pub(super) fn sharing_columns(self, columns: usize, outer: usize) -> Result<()> {
        let cut = self.context.cut;
        let vectors = columns.div_ceil(cut.width(self.dtype));
        self.run([vectors.div_ceil(cut.columns), 1, outer], [cut.columns, cut.row_lanes, 1])
    }
}

impl Argument<'_> {
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
                ArgVal::from_raw(size_of::<Eight>(), (&raw const *value).cast(), false)
            },
        }
    }
}
