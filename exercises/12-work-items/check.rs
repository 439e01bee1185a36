use exercises::{Outcome, cases, close, same};

use super::answer::{GROUP, combine, share};

pub fn check() -> Outcome {
    cases(50, |random| {
        let len = random.whole(0, 50);
        let row = random.many(len, -1.0, 1.0);
        let mut local: [f64; GROUP] = std::array::from_fn(|item| share(item, &row));
        let whole = row.iter().sum::<f64>();
        close("all shares together", &[local.iter().sum()], &[whole], 1e-12)?;
        for (item, share) in local.iter().enumerate() {
            let wanted: f64 =
                row.iter().enumerate().filter(|(at, _)| at % GROUP == item).map(|(_, v)| v).sum();
            close(&format!("the share of work-item {item}"), &[*share], &[wanted], 1e-12)?;
        }
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
