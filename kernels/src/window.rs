//! One axis of a convolution, and one of its adjoint: which positions of a map are summed for which
//! result.

use std::ops::Range;

/// How results along one axis are made from a source: result m, tap t reads source position
/// m·step + first + t, where that exists; elsewhere the source counts as 0. The result lies at
/// position out_first + m·out_step, the tap's weight at kernel_first + t·kernel_step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Positions of the source.
    pub(crate) source: usize,
    /// Results.
    pub(crate) count: usize,
    /// Source positions from a result to the next.
    pub(crate) step: usize,
    /// Source position of result 0, tap 0; negative where it lies in the padding.
    pub(crate) first: isize,
    /// Terms of a result.
    pub(crate) taps: usize,
    /// Place of result 0.
    pub(crate) out_first: usize,
    /// Places from a result to the next.
    pub(crate) out_step: usize,
    /// Kernel position of tap 0.
    pub(crate) kernel_first: usize,
    /// Kernel positions from a tap to the next.
    pub(crate) kernel_step: isize,
}

/// What lies around a map that is convolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// Zeros, so many that an axis of n positions gives ⌈n/s⌉: P = max(0, (⌈n/s⌉ − 1)·s + k − n),
    /// of which ⌊P/2⌋ come before the first position (TensorFlow's convention).
    Same,
    /// Nothing: the kernel stays within the map, and n positions give ⌊(n − k)/s⌋ + 1, or none
    /// where the kernel is larger.
    Valid,
}

impl Padding {
    /// Results along an axis of `size` positions.
    pub(crate) fn results(self, size: usize, kernel: usize, stride: usize) -> usize {
        match self {
            Self::Same => size.div_ceil(stride),
            Self::Valid => size.checked_sub(kernel).map_or(0, |room| room / stride + 1),
        }
    }

    /// Zeros before the first position.
    pub(crate) fn before(self, size: usize, kernel: usize, stride: usize) -> usize {
        match self {
            Self::Same => {
                let reach = size.div_ceil(stride).saturating_sub(1) * stride + kernel;
                reach.saturating_sub(size) / 2
            }
            Self::Valid => 0,
        }
    }
}

impl Window {
    /// A convolution.
    pub(crate) fn convolution(size: usize, kernel: usize, stride: usize, padding: Padding) -> Self {
        Self {
            source: size,
            count: padding.results(size, kernel, stride),
            step: stride,
            first: -(padding.before(size, kernel, stride) as isize),
            taps: kernel,
            out_first: 0,
            out_step: 1,
            kernel_first: 0,
            kernel_step: 1,
        }
    }

    /// The adjoint of that convolution, for the positions h of its input with h mod stride =
    /// `phase`.
    ///
    /// Output i used input h with tap a where h = i·s + a − before. So a = r + s·j with r = (h +
    /// before) mod s, which is the same for all h of a phase, and i = (h + before − r)/s − j:
    /// with the taps in reverse, t = J − 1 − j for the J values of j, i grows with t.
    pub(crate) fn adjoint(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
        phase: usize,
    ) -> Self {
        let shifted = phase + padding.before(size, kernel, stride);
        let remainder = shifted % stride;
        let taps = kernel.saturating_sub(remainder).div_ceil(stride);
        Self {
            source: padding.results(size, kernel, stride),
            count: size.saturating_sub(phase).div_ceil(stride),
            step: 1,
            first: (shifted / stride) as isize - taps as isize + 1,
            taps,
            out_first: phase,
            out_step: stride,
            kernel_first: remainder + stride * taps.saturating_sub(1),
            kernel_step: -(stride as isize),
        }
    }

    /// The taps of a result whose source exists.
    pub(crate) fn existing_taps(&self, result: usize) -> Range<usize> {
        let start = self.source_of(result, 0);
        let low = (-start).clamp(0, self.taps as isize);
        let high = (self.source as isize - start).clamp(low, self.taps as isize);
        low as usize..high as usize
    }

    /// The results for which the source of a tap exists.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn existing_results(&self, tap: usize) -> Range<usize> {
        let at = self.first + tap as isize;
        let low = ((-at).max(0) as usize).div_ceil(self.step).min(self.count);
        let high = ((self.source as isize - at).max(0) as usize)
            .div_ceil(self.step)
            .clamp(low, self.count);
        low..high
    }

    /// The source positions that some results read, those that exist.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn sources(&self, results: Range<usize>, taps: Range<usize>) -> Range<usize> {
        if results.is_empty() || taps.is_empty() {
            return 0..0;
        }
        let clamped = |at: isize| at.clamp(0, self.source as isize) as usize;
        clamped(self.source_of(results.start, taps.start))
            ..clamped(self.source_of(results.end - 1, taps.end))
    }

    /// Where the source of a tap lies, or would lie.
    pub(crate) const fn source_of(&self, result: usize, tap: usize) -> isize {
        (result * self.step + tap) as isize + self.first
    }

    /// Where the weight of a tap lies along the kernel.
    pub(crate) const fn kernel_of(&self, tap: usize) -> usize {
        (self.kernel_first as isize + tap as isize * self.kernel_step) as usize
    }

    /// Where a result lies.
    pub(crate) const fn place_of(&self, result: usize) -> usize {
        self.out_first + result * self.out_step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 8] = [1, 2, 3, 4, 7, 14, 16, 28];
    const KERNELS: [usize; 8] = [1, 2, 3, 4, 5, 8, 16, 17];
    const STRIDES: [usize; 4] = [1, 2, 3, 5];

    fn for_each_size(test: impl Fn(usize, usize, usize, Padding)) {
        for size in SIZES {
            for kernel in KERNELS {
                for stride in STRIDES {
                    test(size, kernel, stride, Padding::Same);
                    test(size, kernel, stride, Padding::Valid);
                }
            }
        }
    }

    /// All (result place, source position, kernel position) that a window multiplies, sorted.
    fn triples(windows: impl IntoIterator<Item = Window>) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for window in windows {
            for m in 0..window.count {
                let taps = window.existing_taps(m);
                all.extend(taps.map(|t| {
                    (window.place_of(m), window.source_of(m, t) as usize, window.kernel_of(t))
                }));
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn padding_is_that_of_the_examples() {
        let same = |size, kernel, stride| {
            let padding = Padding::Same;
            (padding.before(size, kernel, stride), padding.results(size, kernel, stride))
        };
        assert_eq!([same(28, 5, 2), same(14, 3, 2), same(16, 16, 1)], [(1, 14), (0, 7), (7, 16)]);
        let valid = |size, kernel, stride| Padding::Valid.results(size, kernel, stride);
        assert_eq!(
            [valid(50, 3, 1), valid(7, 3, 2), valid(8, 3, 2), valid(2, 3, 1)],
            [48, 3, 3, 0]
        );
    }

    #[test]
    fn every_result_of_a_convolution_reads_the_input_within_its_kernel() {
        for_each_size(|size, kernel, stride, padding| {
            let before = padding.before(size, kernel, stride);
            let mut expected = Vec::new();
            for i in 0..padding.results(size, kernel, stride) {
                let inside = |a: &usize| (before..before + size).contains(&(i * stride + a));
                let found = (0..kernel).filter(inside);
                assert!(padding == Padding::Same || found.clone().count() == kernel);
                expected.extend(found.map(|a| (i, i * stride + a - before, a)));
            }
            assert_eq!(
                triples([Window::convolution(size, kernel, stride, padding)]),
                expected,
                "{size} {kernel} {stride} {padding:?}"
            );
        });
    }

    #[test]
    fn the_phases_of_the_adjoint_multiply_what_the_convolution_does() {
        for_each_size(|size, kernel, stride, padding| {
            let forward = triples([Window::convolution(size, kernel, stride, padding)]);
            let mut turned: Vec<_> =
                forward.into_iter().map(|(out, source, a)| (source, out, a)).collect();
            turned.sort_unstable();
            let phases =
                (0..stride).map(|phase| Window::adjoint(size, kernel, stride, padding, phase));
            assert_eq!(triples(phases), turned, "{size} {kernel} {stride} {padding:?}");
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_exists_is_the_same_by_results_and_by_taps() {
        for_each_size(|size, kernel, stride, padding| {
            let phases =
                (0..stride).map(|phase| Window::adjoint(size, kernel, stride, padding, phase));
            for window in phases.chain([Window::convolution(size, kernel, stride, padding)]) {
                let mut sources = Vec::new();
                for (m, t) in (0..window.count).flat_map(|m| (0..window.taps).map(move |t| (m, t)))
                {
                    let exists = window.existing_taps(m).contains(&t);
                    assert_eq!(
                        exists,
                        window.existing_results(t).contains(&m),
                        "{window:?} {m} {t}"
                    );
                    sources.extend(exists.then(|| window.source_of(m, t)));
                }
                let range = window.sources(0..window.count, 0..window.taps);
                assert!(
                    sources.iter().all(|&source| range.contains(&(source as usize))),
                    "{window:?}"
                );
            }
        });
    }
}
