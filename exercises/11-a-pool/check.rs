use exercises::{Outcome, cases, same};

use super::answer::Pool;

pub fn check() -> Outcome {
    cases(30, |random| {
        // A steady loop allocates in its first round only.
        let sizes: Vec<usize> = (0..random.whole(1, 5)).map(|_| random.whole(1, 50)).collect();
        let total: usize = sizes.iter().sum();
        let mut pool = Pool::new(total);
        let mut first = 0;
        for round in 0..4 {
            let held: Option<Vec<_>> = sizes.iter().map(|&len| pool.take(len)).collect();
            let held = held.ok_or_else(|| format!("{sizes:?} fit into {total} and are refused"))?;
            let lengths: Vec<usize> = held.iter().map(Vec::len).collect();
            same("the lengths handed out", &lengths, &sizes)?;
            if round == 0 {
                first = pool.allocations;
            }
            held.into_iter().for_each(|buffer| pool.give(buffer));
        }
        same("allocations after four rounds", &pool.allocations, &first)?;
        same("numbers obtained", &pool.obtained(), &total)?;

        // Another size: what is free must go first, and what does not fit is refused.
        let Some(large) = pool.take(total) else {
            return Err(format!("{total} numbers are free, in pieces, and {total} are refused"));
        };
        same("numbers obtained after a request of all", &pool.obtained(), &total)?;
        same("a request while all is in use", &pool.take(1), &None)?;
        pool.give(large);
        same("a request beyond the limit", &pool.take(total + 1), &None)
    })
}
