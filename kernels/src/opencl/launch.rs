//! A launch: a kernel, its arguments in order, and a grid of work-items.

use smallvec::SmallVec;

use super::context::{Context, Work};
use super::joined::{Argument, Touched};
use super::memory::Memory;
use super::program::File;
use crate::{DType, DeviceSlice, Error, Result, View, ViewMut};

/// A number or an array, kept until the launch.
#[derive(Clone, Copy)]
enum Given<'a> {
    Count(u32),
    Single(f32),
    Double(f64),
    Eight([u32; 8]),
    Null,
    Array { slice: DeviceSlice<'a>, is_written: bool },
}

/// A kernel on its way to the queue. A wrong argument is remembered and reported by
/// [`Launch::run`], so that calls chain.
pub(super) struct Launch<'a> {
    context: &'a Context,
    operation: &'static str,
    file: File,
    kernel: &'static str,
    dtype: DType,
    is_joinable: bool,
    given: SmallVec<[Given<'a>; 20]>,
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
            is_joinable: false,
            given: SmallVec::new(),
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
        let Work { programs, .. } = &mut *self.work();
        let number = programs.kernel(self, file, dtype, kernel)?;
        Ok(programs.ready(number).group_limit)
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
            Ok(count) => self.given.push(Given::Count(count)),
            Err(_) => {
                let what = format!("{count} elements are more than a kernel counts");
                self.problem.get_or_insert(Error::argument(self.operation, what));
            }
        }
        self
    }

    /// Bits of 32.
    pub(super) fn word(mut self, word: u32) -> Self {
        self.given.push(Given::Count(word));
        self
    }

    /// A number of the kernel's float type.
    pub(super) fn real(mut self, value: f64) -> Self {
        self.given.push(match self.dtype {
            DType::F64 => Given::Double(value),
            _ => Given::Single(value as f32),
        });
        self
    }

    /// A number of the widest float type the device has.
    pub(super) fn wide(mut self, value: f64) -> Self {
        let wide =
            if self.context.has_f64 { Given::Double(value) } else { Given::Single(value as f32) };
        self.given.push(wide);
        self
    }

    /// Up to eight integers.
    pub(super) fn eight(mut self, words: [u32; 8]) -> Self {
        self.given.push(Given::Eight(words));
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
        self.array(x, false)
    }

    /// An array that may be absent.
    pub(super) fn input_or_null(self, x: Option<View<'a>>) -> Self {
        match x {
            Some(x) => self.array(x, false),
            None => self.null(),
        }
    }

    /// An array that is written. The borrow for writing lasts as long as the launch is being made.
    pub(super) fn output<'b: 'a>(self, out: &'b mut ViewMut<'_>) -> Self {
        self.array(out.as_view(), true)
    }

    /// An array that is written if it is there.
    pub(super) fn output_or_null<'b: 'a>(self, out: &'b mut Option<ViewMut<'_>>) -> Self {
        match out {
            Some(out) => self.array(out.as_view(), true),
            None => self.null(),
        }
    }

    fn array(mut self, view: View<'a>, is_written: bool) -> Self {
        match self.context.slice(self.operation, view) {
            Ok(slice) => self.given.push(Given::Array { slice, is_written }),
            Err(error) => {
                self.problem.get_or_insert(error);
            }
        }
        self
    }

    /// An array that is absent.
    pub(super) fn null(mut self) -> Self {
        self.given.push(Given::Null);
        self
    }

    /// Says that the kernel has a form for several problems, called `…_joined`, in which this
    /// launch may take part; see `waiting.rs`.
    pub(super) fn joinable(self) -> Self {
        Self { is_joinable: true, ..self }
    }

    /// Launches the kernel: `groups` work-groups of `group` work-items along each dimension. Does
    /// not wait for it, nor for its place in the queue: of what the driver says then, a later
    /// launch tells.
    ///
    /// # Errors
    /// `Device` if an array lies elsewhere; `Argument` if a size is too large; `Failed` if the
    /// compiler fails, if the device has no room for such a group, or if the driver refuses a
    /// launch that waited.
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
        let Work { programs, waiting } = &mut *context.work();
        let number = programs.kernel(context, self.file, self.dtype, self.kernel)?;
        let limit = programs.ready(number).group_limit;
        let (groups, group) = grid(limit).ok_or_else(|| Error::Failed {
            device: context.name.clone(),
            what: format!(
                "{}: the device takes work-groups of {limit} for the kernel {}, which is too few",
                self.operation, self.kernel
            ),
        })?;
        let is_joinable = self.is_joinable
            && programs.joined_limit(context, number)? >= group.iter().product::<usize>();
        let mut problem = waiting.fresh();
        problem.groups = groups;
        for given in self.given {
            match given {
                Given::Count(value) => problem.arguments.push(Argument::Count(value)),
                Given::Single(value) => problem.arguments.push(Argument::Single(value)),
                Given::Double(value) => problem.arguments.push(Argument::Double(value)),
                Given::Eight(words) => problem.arguments.push(Argument::Eight(words)),
                Given::Null => problem.arguments.extend([Argument::Null, Argument::First(0)]),
                Given::Array { slice, is_written } => {
                    let (handle, bytes) = (Memory::of(slice).handle(), slice.dtype.size_bytes());
                    problem.arguments.extend([
                        Argument::Memory(handle.clone()),
                        Argument::First(slice.offset as u64),
                    ]);
                    problem.touched.push(Touched {
                        memory: handle.as_ptr() as usize,
                        begin: slice.offset * bytes,
                        end: (slice.offset + slice.len) * bytes,
                        is_written,
                    });
                }
            }
        }
        waiting.take(context, programs, (number, is_joinable), group, problem)
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
        let vectors = columns.div_ceil(self.context.cut.width(self.dtype));
        self.sharing_vectors(vectors, outer)
    }

    /// The same for the columns of a Gaussian head, so that those of a vector are all in one half.
    pub(super) fn sharing_columns_of_head(self, units: usize) -> Result<()> {
        let vectors = units.div_ceil(self.context.cut.width(self.dtype));
        self.sharing_vectors(2 * vectors, 1)
    }

    fn sharing_vectors(self, vectors: usize, outer: usize) -> Result<()> {
        let cut = self.context.cut;
        self.run([vectors.div_ceil(cut.columns), 1, outer], [cut.columns, cut.row_lanes, 1])
    }
}
