use exercises::{Outcome, Part, cases, close, cpu, said};
use rung_autograd::{Tape, Tensor};

use super::answer::{backward, convolve};

pub const PARTS: &[Part] = &[("the adjoint of x", of_x), ("the adjoint of w", of_w)];

fn of_x() -> Outcome {
    adjoints(|what, [(found, wanted), _]| {
        close(&format!("the adjoint of x{what}"), found, wanted, 1e-9)
    })
}

fn of_w() -> Outcome {
    adjoints(|what, [_, (found, wanted)]| {
        close(&format!("the adjoint of w{what}"), found, wanted, 1e-9)
    })
}

/// Compares what is found and what is wanted for x and for w, by differences and beside the
/// library.
fn adjoints(compare: fn(&str, [(&[f64], &[f64]); 2]) -> Outcome) -> Outcome {
    cases(50, |random| {
        let stride = random.whole(1, 3);
        // Rung centres a strided kernel by the whole map: sizes that divide agree with ours.
        let len = stride * random.whole(1, 5);
        let k = 2 * random.whole(0, 2) + 1;
        let (x, w) = (random.many(len, -2.0, 2.0), random.many(k, -2.0, 2.0));
        let grad_out = random.many(len / stride, -2.0, 2.0);
        let (grad_x, grad_w) = backward(&x, &w, stride, &grad_out);
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // The convolution is linear in x and in w, so differences of any step are exact.
        let moved = |values: &[f64], at: usize| {
            let mut moved = values.to_vec();
            moved[at] += 1.0;
            moved
        };
        let base = inner(&grad_out, &convolve(&x, &w, stride));
        let by_x: Vec<f64> = (0..len)
            .map(|at| inner(&grad_out, &convolve(&moved(&x, at), &w, stride)) - base)
            .collect();
        let by_w: Vec<f64> = (0..k)
            .map(|at| inner(&grad_out, &convolve(&x, &moved(&w, at), stride)) - base)
            .collect();
        let what = format!("{len} elements, kernel of {k}, stride {stride}");
        compare(&format!(" ({what})"), [(&grad_x, &by_x), (&grad_w, &by_w)])?;
        if stride > 1 {
            return Ok(());
        }
        let library = || -> rung_autograd::Result<(Vec<f64>, Vec<f64>)> {
            let tape = Tape::new();
            let map = tape.variable(&Tensor::from_f64(&cpu(), &x, [1, 1, len, 1])?)?;
            let kernel = tape.variable(&Tensor::from_f64(&cpu(), &w, [1, k, 1, 1])?)?;
            let weights = Tensor::from_f64(&cpu(), &grad_out, [1, 1, len, 1])?;
            let loss = map.conv2d(&kernel, None, 1)?.mul(&weights)?.sum_all()?;
            let gradients = tape.backward(&loss)?;
            Ok((gradients.of(&map)?.to_f64()?, gradients.of(&kernel)?.to_f64()?))
        };
        let (wanted_x, wanted_w) = library().map_err(said)?;
        let beside = format!(" beside Rung's ({what})");
        compare(&beside, [(&grad_x, &wanted_x), (&grad_w, &wanted_w)])
    })
}
