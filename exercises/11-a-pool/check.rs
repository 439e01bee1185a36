use exercises::{Outcome, Part, cases, same};

use super::answer::Pool;

pub const PARTS: &[Part] = &[("buffers are used again", reuse), ("the limit", limit)];

/// A steady loop allocates in its first round only.
fn reuse() -> Outcome {
    cases(30, |random| {
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
        same("numbers obtained", &pool.obtained(), &total)
    })
}

/// What is free must go before a request is refused, and what does not fit is refused.
fn limit() -> Outcome {
    cases(30, |random| {
        let sizes: Vec<usize> = (0..random.whole(1, 5)).map(|_| random.whole(1, 50)).collect();
        let total: usize = sizes.iter().sum();
        let mut pool = Pool::new(total);
        let held: Vec<_> = sizes.iter().filter_map(|&len| pool.take(len)).collect();
        held.into_iter().for_each(|buffer| pool.give(buffer));
        let Some(large) = pool.take(total) else {
            return Err(format!("{total} numbers are free, in pieces, and {total} are refused"));
        };
        same("numbers obtained after a request of all", &pool.obtained(), &total)?;
        same("a request while all is in use", &pool.take(1), &None)?;
        pool.give(large);
        same("a request beyond the limit", &pool.take(total + 1), &None)
    })
}
