use std::cell::Cell;

use exercises::{Outcome, Random, cases, close};

use super::answer::{Matrix, product};

fn draw(random: &mut Random, rows: usize, columns: usize) -> Matrix {
    let values = random.many(rows * columns, -1.0, 1.0).iter().map(|&v| v as f32).collect();
    Matrix { rows, columns, values, reads: Cell::new(0) }
}

pub fn check() -> Outcome {
    cases(20, |random| {
        let (m, k, n) = (random.whole(1, 40), random.whole(1, 20), random.whole(1, 40));
        let (left, right) = (draw(random, m, k), draw(random, k, n));
        let found: Vec<f64> = product(&left, &right).into_iter().map(f64::from).collect();
        let wanted: Vec<f64> = (0..m * n)
            .map(|at| {
                let term =
                    |l| f64::from(left.values[at / n * k + l] * right.values[l * n + at % n]);
                (0..k).map(term).sum()
            })
            .collect();
        close(&format!("[{m}, {k}] · [{k}, {n}]"), &found, &wanted, 1e-4)?;
        let passes = m.div_ceil(4) + n.div_ceil(8);
        for (name, matrix) in [("left", &left), ("right", &right)] {
            let (reads, most) = (matrix.reads.get(), passes * matrix.values.len());
            if reads > most {
                return Err(format!("{name} is read {reads} times; {most} are allowed"));
            }
        }
        Ok(())
    })?;
    // The definition itself must not pass.
    let (left, right) = (40, 64);
    cases(1, |random| {
        let (a, b) = (draw(random, left, 8), draw(random, 8, right));
        product(&a, &b);
        let most = (left.div_ceil(4) + right.div_ceil(8)) * a.values.len();
        if a.reads.get() > most {
            return Err(format!("left is read {} times; {most} are allowed", a.reads.get()));
        }
        Ok(())
    })
}
