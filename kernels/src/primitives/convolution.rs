//! Parity cases of the convolutions. The references walk over all pairs of positions, without
//! patches, phases or windows.

use super::case::{Case, Draw, Expected};
use crate::backend::{Convolution, Padding};

/// [batch, height, width, in channels, out channels, kernel height, kernel width, stride].
const SIZES: [[usize; 8]; 24] = [
    // Plain products: a kernel of one number, a map of one position.
    [3, 5, 4, 7, 9, 1, 1, 1],
    [5, 1, 1, 6, 3, 3, 3, 1],
    [5, 1, 1, 6, 3, 5, 4, 2],
    // The sizes of models: kernels 3 and 5 with strides 1 and 2, kernels as large as the map.
    [2, 28, 28, 1, 16, 5, 5, 1],
    [2, 28, 28, 3, 5, 5, 5, 2],
    [2, 14, 14, 17, 33, 3, 3, 1],
    [3, 14, 14, 16, 20, 3, 3, 2],
    [2, 7, 7, 12, 40, 5, 5, 1],
    [7, 7, 7, 5, 8, 3, 3, 2],
    [2, 16, 16, 4, 10, 16, 16, 1],
    [2, 8, 8, 10, 6, 8, 8, 1],
    [3, 4, 4, 31, 38, 4, 4, 1],
    // Blocks of the sum within a row of the kernel; several blocks of the weight; several bands of
    // a map.
    [1, 6, 5, 110, 18, 3, 5, 1],
    [2, 2, 2, 40, 1100, 3, 3, 1],
    [1, 40, 33, 40, 8, 3, 3, 1],
    [1, 31, 70, 33, 7, 5, 3, 2],
    // Other sizes: oblong maps and kernels, kernels larger than the map, strides larger than the
    // kernel.
    [1, 3, 11, 2, 3, 7, 2, 1],
    [2, 11, 3, 3, 2, 2, 7, 3],
    [2, 9, 10, 3, 4, 1, 1, 2],
    [2, 7, 8, 3, 4, 2, 2, 3],
    [1, 13, 17, 5, 17, 4, 5, 4],
    // Nothing to compute with, or nothing to compute.
    [0, 4, 4, 2, 3, 3, 3, 1],
    [2, 4, 4, 0, 3, 3, 3, 1],
    [2, 0, 4, 2, 3, 3, 3, 2],
];

fn padded() -> impl Iterator<Item = Convolution> {
    SIZES.into_iter().map(
        |[batch, height, width, in_channels, out_channels, kernel_height, kernel_width, stride]| {
            let (input, kernel) = ([height, width], [kernel_height, kernel_width]);
            let padding = Padding::Same;
            Convolution { batch, input, in_channels, out_channels, kernel, stride, padding }
        },
    )
}

/// Those sizes with SAME padding and with none.
fn convolutions() -> impl Iterator<Item = Convolution> {
    padded().chain(padded().map(|sizes| Convolution { padding: Padding::Valid, ..sizes }))
}

fn input_len(sizes: &Convolution) -> usize {
    sizes.input_matrix().element_count()
}

fn output_len(sizes: &Convolution) -> usize {
    sizes.output_matrix().element_count()
}

fn weight_len(sizes: &Convolution) -> usize {
    sizes.weight_matrix().element_count()
}

/// Results along an axis, and zeros before its first position, by the definition of the padding.
fn results_and_zeros(size: usize, kernel: usize, stride: usize, padding: Padding) -> [usize; 2] {
    if padding == Padding::Valid {
        // Where a whole kernel fits.
        return [(0..size).step_by(stride).filter(|start| start + kernel <= size).count(), 0];
    }
    let out = size.div_ceil(stride) as isize;
    let all = ((out - 1) * stride as isize + kernel as isize - size as isize).max(0);
    [out as usize, all as usize / 2]
}

/// Calls `visit` with the first channel's place in the input, in the weight and in the output, for
/// all that meet.
fn for_each_meeting(sizes: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let (&Convolution { in_channels, out_channels, kernel, stride, .. }, input) =
        (sizes, sizes.input);
    let axes =
        [0, 1].map(|axis| results_and_zeros(input[axis], kernel[axis], stride, sizes.padding));
    let (output, before) = (axes.map(|[out, _]| out), axes.map(|[_, before]| before));
    for image in 0..sizes.batch {
        for (p, q) in (0..output[0]).flat_map(|p| (0..output[1]).map(move |q| (p, q))) {
            for (a, b) in (0..kernel[0]).flat_map(|a| (0..kernel[1]).map(move |b| (a, b))) {
                let (h, w) = (
                    (p * stride + a).wrapping_sub(before[0]),
                    (q * stride + b).wrapping_sub(before[1]),
                );
                if h < input[0] && w < input[1] {
                    let from = ((image * input[0] + h) * input[1] + w) * in_channels;
                    let to = ((image * output[0] + p) * output[1] + q) * out_channels;
                    visit(from, (a * kernel[1] + b) * in_channels * out_channels, to);
                }
            }
        }
    }
}

/// Sums in the making: Σ terms, Σ |terms| and their count.
struct Sums(Vec<(f64, f64, usize)>);

impl Sums {
    fn new(len: usize) -> Self {
        Self(vec![(0.0, 0.0, 0); len])
    }

    fn add(&mut self, at: usize, term: f64) {
        let (sum, magnitude, count) = &mut self.0[at];
        (*sum, *magnitude, *count) = (*sum + term, *magnitude + term.abs(), *count + 1);
    }

    fn finish(self) -> Vec<Expected> {
        let expected = |(value, magnitude, count)| Expected {
            value,
            scale: super::case::sum_factor(count) * magnitude,
        };
        self.0.into_iter().map(expected).collect()
    }
}

pub(super) fn conv2d(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, sizes) in convolutions().enumerate() {
        let case = Case::new(format!("{sizes:?}")).float(draw.normal(input_len(&sizes)));
        let case = case.float(draw.normal(weight_len(&sizes)));
        let case = if number % 3 == 0 { case } else { case.float(draw.normal(sizes.out_channels)) };
        cases.push(
            case.output(output_len(&sizes))
                .call(move |device, x, out| {
                    device.conv2d(sizes, x[0], x[1], x.get(2).copied(), out[0].reborrow())
                })
                .expect(move |x, _| {
                    let mut sums = Sums::new(output_len(&sizes));
                    let outs = sizes.out_channels;
                    for_each_meeting(&sizes, |from, weight, to| {
                        for (c, o) in
                            (0..sizes.in_channels).flat_map(|c| (0..outs).map(move |o| (c, o)))
                        {
                            sums.add(to + o, x[0][from + c] * x[1][weight + c * outs + o]);
                        }
                    });
                    if let Some(bias) = x.get(2) {
                        (0..output_len(&sizes)).for_each(|i| sums.add(i, bias[i % outs]));
                    }
                    vec![sums.finish()]
                }),
        );
    }
    cases
}

pub(super) fn conv2d_transpose(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, sizes) in convolutions().enumerate() {
        let case = Case::new(format!("{sizes:?}")).float(draw.normal(output_len(&sizes)));
        let case = case.float(draw.normal(weight_len(&sizes)));
        let case = if number % 3 == 1 { case } else { case.float(draw.normal(sizes.in_channels)) };
        cases.push(
            case.output(input_len(&sizes))
                .call(move |device, x, out| {
                    device.conv2d_transpose(sizes, x[0], x[1], x.get(2).copied(), out[0].reborrow())
                })
                .expect(move |x, _| {
                    let mut sums = Sums::new(input_len(&sizes));
                    let outs = sizes.out_channels;
                    for_each_meeting(&sizes, |to, weight, from| {
                        for (c, o) in
                            (0..sizes.in_channels).flat_map(|c| (0..outs).map(move |o| (c, o)))
                        {
                            sums.add(to + c, x[0][from + o] * x[1][weight + c * outs + o]);
                        }
                    });
                    if let Some(bias) = x.get(2) {
                        (0..input_len(&sizes))
                            .for_each(|i| sums.add(i, bias[i % sizes.in_channels]));
                    }
                    vec![sums.finish()]
                }),
        );
    }
    cases
}

pub(super) fn conv2d_weight_gradient(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for sizes in convolutions() {
        cases.push(
            Case::new(format!("{sizes:?}"))
                .float(draw.normal(input_len(&sizes)))
                .float(draw.normal(output_len(&sizes)))
                .output(weight_len(&sizes))
                .call(move |device, x, out| {
                    device.conv2d_weight_gradient(sizes, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let mut sums = Sums::new(weight_len(&sizes));
                    let outs = sizes.out_channels;
                    for_each_meeting(&sizes, |from, weight, to| {
                        for (c, o) in
                            (0..sizes.in_channels).flat_map(|c| (0..outs).map(move |o| (c, o)))
                        {
                            sums.add(weight + c * outs + o, x[0][from + c] * x[1][to + o]);
                        }
                    });
                    vec![sums.finish()]
                }),
        );
    }
    cases
}
