//! Memory for packed panels and partial sums, kept from one call to the next.

use std::sync::{Mutex, PoisonError};

/// One cache line: panels start on one, so that no vector load crosses two.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

/// Buffers that nobody is using now. One lock per call of more than a few microseconds; a buffer
/// lies in no thread's own storage, so which worker happens to call doesn't decide whether memory
/// is asked for.
static FREE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// A buffer that goes back to the others when it is dropped.
pub(super) struct Scratch(Vec<Line>);

impl Scratch {
    /// A buffer of at least `length` numbers of type `T`, of any value: the smallest that is long
    /// enough, or the longest, made longer.
    pub(super) fn take<T: Copy>(length: usize) -> Scratch {
        let lines = lines_of::<T>(length);
        let mut buffer = {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            best(&free, lines).map(|at| free.swap_remove(at)).unwrap_or_default()
        };
        lengthen(&mut buffer, lines);
        Scratch(buffer)
    }

    /// Sees to it that `count` tasks at once find such buffers. Which tasks overlap is chance;
    /// without this, memory would be asked for whenever more of them do than ever before.
    pub(super) fn reserve<T: Copy>(count: usize, length: usize) {
        let lines = lines_of::<T>(length);
        if lines == 0 {
            return;
        }
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.sort_unstable_by_key(|buffer| std::cmp::Reverse(buffer.len()));
        let missing = count.saturating_sub(free.len());
        free.extend(std::iter::repeat_with(Vec::new).take(missing));
        free.iter_mut().take(count).for_each(|buffer| lengthen(buffer, lines));
    }

    /// Its memory, for numbers of the type it was taken for.
    pub(super) fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }

    /// Its first `length` numbers, for a type of which any bits are a value.
    pub(super) fn as_mut_slice<T: bytemuck::Pod>(&mut self, length: usize) -> &mut [T] {
        assert!(
            length * size_of::<T>() <= self.0.len() * size_of::<Line>(),
            "bug: a scratch buffer is too short"
        );
        // SAFETY: the lines are initialised, as long as that and aligned for any float, and
        // borrowed as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), length) }
    }
}

fn lines_of<T>(length: usize) -> usize {
    (length * size_of::<T>()).div_ceil(size_of::<Line>())
}

/// The buffer that a request of so many lines gets.
fn best(free: &[Vec<Line>], lines: usize) -> Option<usize> {
    let fits =
        |(at, buffer): (usize, &Vec<Line>)| (buffer.len() >= lines).then_some((buffer.len(), at));
    let smallest = free.iter().enumerate().filter_map(fits).min();
    let longest = || free.iter().enumerate().map(|(at, buffer)| (buffer.len(), at)).max();
    smallest.or_else(longest).map(|(_, at)| at)
}

fn lengthen(buffer: &mut Vec<Line>, lines: usize) {
    if buffer.len() < lines {
        buffer.clear();
        buffer.resize(lines, Line([0.0; 16]));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
