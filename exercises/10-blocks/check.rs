use std::cell::Cell;

use exercises::{Outcome, Part, Random, cases, close};

use super::answer::{Matrix, product};

fn draw(random: &mut Random, rows: usize, columns: usize) -> Matrix {
    let values = random.many(rows * columns, -1.0, 1.0).iter().map(|&v| v as f32).collect();
    Matrix { rows, columns, values, reads: Cell::new(0) }
}

pub const PARTS: &[Part] = &[
    ("a product that seldom reads left", few_reads_of_left),
    ("a product that seldom reads right", few_reads_of_right),
];

fn few_reads_of_left() -> Outcome {
    few_reads("left", |left, _| left)
}

fn few_reads_of_right() -> Outcome {
    few_reads("right", |_, right| right)
}

fn few_reads(name: &str, counted: fn(Matrix, Matrix) -> Matrix) -> Outcome {
    cases(20, |random| {
        let (m, k, n) = (random.whole(1, 40), random.whole(1, 20), random.whole(1, 40));
        try_product(random, [m, k, n], name, counted)
    })?;
    // Sizes at which the definition itself reads both too often.
    cases(1, |random| try_product(random, [40, 8, 64], name, counted))
}

fn try_product(
    random: &mut Random,
    [m, k, n]: [usize; 3],
    name: &str,
    counted: fn(Matrix, Matrix) -> Matrix,
) -> Outcome {
    let (left, right) = (draw(random, m, k), draw(random, k, n));
    let found: Vec<f64> = product(&left, &right).into_iter().map(f64::from).collect();
    let wanted: Vec<f64> = (0..m * n)
        .map(|at| {
            let term = |l| f64::from(left.values[at / n * k + l] * right.values[l * n + at % n]);
            (0..k).map(term).sum()
        })
        .collect();
    close(&format!("[{m}, {k}] · [{k}, {n}]"), &found, &wanted, 1e-4)?;
    let matrix = counted(left, right);
    let (reads, most) = (matrix.reads.get(), (m.div_ceil(4) + n.div_ceil(8)) * matrix.values.len());
    if reads > most {
        return Err(format!("{name} is read {reads} times; {most} are allowed"));
    }
    Ok(())
}
