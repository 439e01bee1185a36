use exercises::{Outcome, cases, close, cpu, said};
use rung_autograd::{Outside, Tape, Tensor};

use super::answer::glimpse;

pub fn check() -> Outcome {
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
        let [value, by_position, by_pixel] = library().map_err(said)?;
        let found = glimpse(&row, x);
        let what = format!("at {x:.3} in {row:.2?}");
        close(&format!("the value {what}"), &[found.0], &value, 1e-9)?;
        close(&format!("its derivative by the position {what}"), &[found.1], &by_position, 1e-9)?;
        close(&format!("its derivative by the pixels {what}"), &found.2, &by_pixel, 1e-9)
    })
}
