//! Running numbered tasks on the current rayon pool, and the pointer that lets them share one output.

/// Runs `task(0)` to `task(count - 1)`, each once, on the threads of the current pool.
///
/// Halving by `join` allocates nothing inside a worker, unlike `spawn`, and idle workers steal the larger halves.
pub(super) fn run_tasks(count: usize, task: &(impl Fn(usize) + Sync)) {
    fn halve(first: usize, end: usize, task: &(impl Fn(usize) + Sync)) {
        match end - first {
            0 => {}
            1 => task(first),
            length => {
                let middle = first + length.div_ceil(2);
                rayon::join(|| halve(first, middle, task), || halve(middle, end, task));
            }
        }
    }
    halve(0, count, task);
}

/// The `index`-th of `parts` nearly equal pieces of `0..length`, as (start, size): sizes differ by one at most.
pub(super) fn piece(length: usize, parts: usize, index: usize) -> (usize, usize) {
    let (size, longer) = (length / parts, length % parts);
    (index * size + index.min(longer), size + usize::from(index < longer))
}

/// A pointer that tasks may share; each task has to write to a part of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(*mut T);

// SAFETY: the pointer is plain data; whoever dereferences it promises that tasks touch disjoint elements.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn new(pointer: *mut T) -> Self {
        Shared(pointer)
    }

    /// The pointer itself (a method, so that a closure captures the wrapper and not the field).
    pub(super) fn get(self) -> *mut T {
        self.0
    }
}
