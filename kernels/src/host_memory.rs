//! Memory of the CPU for buffers.

use bytemuck::Pod;

use crate::attempt;

/// Bytes of a cache line, as it is on all but a few CPUs.
pub(crate) const CACHE_LINE_BYTES: usize = 64;

/// What memory is asked for in. Allocators align to its 16 bytes without being told, so that zeros
/// may come as fresh pages of the system, which nobody has written yet.
type Word = u128;

const LINE_WORDS: usize = CACHE_LINE_BYTES / size_of::<Word>();

/// Whole cache lines, so that no two buffers share one and vector loads are aligned.
///
/// A page of it is first touched by whoever writes to it: the threads of a primitive side by side
/// instead of the one that asked.
pub(crate) struct HostMemory {
    words: Vec<Word>,
    /// The first word that begins a cache line.
    first: usize,
    /// How many words there are from there on.
    len: usize,
}

impl HostMemory {
    /// At least `bytes` zero bytes, or `None` if the system has none.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let len = bytes.div_ceil(CACHE_LINE_BYTES) * LINE_WORDS;
        let all = len.checked_add(LINE_WORDS - 1)?;
        let words: Vec<Word> = attempt(|| bytemuck::allocation::try_zeroed_vec(all)).ok()?;
        let first = words.as_ptr().align_offset(CACHE_LINE_BYTES);
        Some(Self { words, first, len })
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<Word>()
    }

    /// All of it as numbers.
    pub(crate) fn as_slice<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.words[self.first..][..self.len])
    }

    /// All of it as numbers, to be written.
    pub(crate) fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.words[self.first..][..self.len])
    }
}

impl std::fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostMemory({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zero_and_consists_of_whole_lines() {
        for bytes in [0, 1, 64, 65, 1000, 1 << 20] {
            let mut memory = HostMemory::zeroed(bytes).unwrap();
            assert_eq!(memory.bytes(), bytes.next_multiple_of(CACHE_LINE_BYTES));
            assert!(memory.as_slice::<f64>().as_ptr().addr().is_multiple_of(CACHE_LINE_BYTES));
            assert!(memory.as_slice::<u8>().iter().all(|&byte| byte == 0));
            memory.as_mut_slice::<f32>().fill(1.0);
            assert!(memory.as_slice::<f32>().iter().all(|&number| number == 1.0));
        }
    }

    #[test]
    fn what_the_system_does_not_have_is_refused() {
        assert!(HostMemory::zeroed(usize::MAX / 2).is_none());
    }
}
