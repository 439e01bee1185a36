use exercises::{Outcome, Part, cases, close, cpu, said};
use rung_autograd::{Outside, Tape, Tensor};

use super::answer::glimpse;

pub const PARTS: &[Part] = &[
    ("the value", value),
    ("the derivative by the position", by_position),
    ("the derivative by the pixels", by_pixels),
];

fn value() -> Outcome {
    compare("the value", |(value, ..)| vec![value], 0)
}

fn by_position() -> Outcome {
    compare("its derivative by the position", |(_, by_position, _)| vec![by_position], 1)
}

fn by_pixels() -> Outcome {
    compare("its derivative by the pixels", |(.., by_pixel)| by_pixel, 2)
}

/// Compares a part of what is found with that of the library.
fn compare(what: &str, part: fn((f64, f64, Vec<f64>)) -> Vec<f64>, place: usize) -> Outcome {
    cases(100, |random| {
        let len = random.whole(1, 6);
        let row = random.many(len, -2.0, 2.0);
        // Away from whole numbers, where there is a kink; from two pixels before to two behind.
        let x = random.whole(0, len + 3) as f64 - 2.0 + random.between(0.05, 0.95);
        let library = || -> rung_autograd::Result<[Vec<f64>; 3]> {
            let tape = Tape::new();
            let image = tape.variable(&Tensor::from_f64(&cpu(), &row, [1, 1, len, 1])?)?;
            let grid = tape.variable(&Tensor::from_f64(&cpu(), &[x, 0.0], [1, 1, 1, 2])?)?;
            let value = image.sample_bilinear(&grid, Outside::Zeros)?;
            let gradients = tape.backward(&value.sum_all()?)?;
            let by_position = gradients.of(&grid)?.to_f64()?[..1].to_vec();
            Ok([value.to_f64()?, by_position, gradients.of(&image)?.to_f64()?])
        };
        let wanted = library().map_err(said)?;
        let what = format!("{what} at {x:.3} in {row:.2?}");
        close(&what, &part(glimpse(&row, x)), &wanted[place], 1e-9)
    })
}
