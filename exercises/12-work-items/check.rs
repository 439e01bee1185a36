use exercises::{Outcome, Part, cases, close, same};

use super::answer::{GROUP, combine, share};

pub const PARTS: &[Part] = &[("the shares", shares), ("the sum of the shares", stages)];

/// The share of a work-item, element by element.
fn wanted(item: usize, row: &[f64]) -> f64 {
    row.iter().enumerate().filter(|(at, _)| at % GROUP == item).map(|(_, v)| v).sum()
}

fn shares() -> Outcome {
    cases(50, |random| {
        let len = random.whole(0, 50);
        let row = random.many(len, -1.0, 1.0);
        for item in 0..GROUP {
            let what = format!("the share of work-item {item} of {len} elements");
            close(&what, &[share(item, &row)], &[wanted(item, &row)], 1e-12)?;
        }
        Ok(())
    })
}

fn stages() -> Outcome {
    cases(50, |random| {
        let len = random.whole(0, 50);
        let row = random.many(len, -1.0, 1.0);
        let mut local: [f64; GROUP] = std::array::from_fn(|item| wanted(item, &row));
        let whole = row.iter().sum::<f64>();
        let mut half = GROUP / 2;
        while half > 0 {
            // A device gives no order: here a random one, in which each item sees what is there.
            let mut items: Vec<usize> = (0..GROUP).collect();
            for last in (1..GROUP).rev() {
                items.swap(last, random.whole(0, last));
            }
            for item in items {
                let before = local;
                combine(item, half, &mut local);
                let foreign = (0..GROUP).find(|&at| at != item && before[at] != local[at]);
                same("elements of others that are written", &foreign, &None)?;
            }
            half /= 2;
        }
        close(&format!("the sum of {len} elements"), &[local[0]], &[whole], 1e-12)
    })
}
