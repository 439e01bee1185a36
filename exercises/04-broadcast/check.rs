use exercises::{Outcome, Part, Random, cases, close, cpu, said, same, shape_of};
use rung_autograd::Tensor;

use super::answer::{add, broadcast_shape};

pub const PARTS: &[Part] = &[("the shape", shapes), ("the elements", elements)];

type Array = (Vec<usize>, Vec<f64>);

/// Two arrays whose shapes fit: parts of one shape, some of whose sizes are 1.
fn draw(random: &mut Random) -> (Array, Array) {
    let whole: Vec<usize> = (0..random.whole(0, 3)).map(|_| random.whole(1, 4)).collect();
    let mut part = || {
        let from = random.whole(0, whole.len());
        let mut shape = whole[from..].to_vec();
        for size in &mut shape {
            if random.whole(0, 2) == 0 {
                *size = 1;
            }
        }
        let values = random.many(shape.iter().product(), -2.0, 2.0);
        (shape, values)
    };
    (part(), part())
}

/// The sum by the library.
fn wanted(left: &Array, right: &Array) -> Result<Tensor, String> {
    let tensor = |(shape, values): &Array| {
        shape_of(shape).and_then(|shape| Tensor::from_f64(&cpu(), values, shape)).map_err(said)
    };
    tensor(left)?.add(&tensor(right)?).map_err(said)
}

fn shapes() -> Outcome {
    same("[2, 3] and [3]", &broadcast_shape(&[2, 3], &[3]), &Some(vec![2, 3]))?;
    same("[2, 1] and [1, 3]", &broadcast_shape(&[2, 1], &[1, 3]), &Some(vec![2, 3]))?;
    same("[2, 3] and [2]", &broadcast_shape(&[2, 3], &[2]), &None)?;
    same("[] and [4]", &broadcast_shape(&[], &[4]), &Some(vec![4]))?;
    cases(100, |random| {
        let (left, right) = draw(random);
        let sum = wanted(&left, &right)?.shape().sizes().to_vec();
        let what = format!("the shape of the sum of {:?} and {:?}", left.0, right.0);
        same(&what, &broadcast_shape(&left.0, &right.0), &Some(sum))
    })
}

fn elements() -> Outcome {
    cases(100, |random| {
        let (left, right) = draw(random);
        let sum = wanted(&left, &right)?.to_f64().map_err(said)?;
        let what = format!("the sum of {:?} and {:?}", left.0, right.0);
        close(&what, &add((&left.0, &left.1), (&right.0, &right.1)), &sum, 1e-12)
    })
}
