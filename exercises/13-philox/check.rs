use exercises::{Outcome, Part, cases, same};
use rung_autograd::rng::philox4x32;

use super::answer::{order, philox};

pub const PARTS: &[Part] = &[("the generator", generator), ("the orders", orders)];

fn generator() -> Outcome {
    // Published with the authors' Random123 library (kat_vectors).
    let zero = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    same("the words of key 0 and counter 0", &philox([0; 2], [0; 4]), &zero)?;
    cases(50, |random| {
        let mut word = || random.between(0.0, 4_294_967_296.0) as u32;
        let (key, counter) = ([word(), word()], [word(), word(), word(), word()]);
        let what = format!("the words of key {key:?}, counter {counter:?}");
        same(&what, &philox(key, counter), &philox4x32(key, counter))
    })
}

fn orders() -> Outcome {
    cases(50, |random| {
        let mut word = || random.between(0.0, 4_294_967_296.0) as u32;
        let (seed, epoch, count) = (word(), word(), random.whole(1, 40));
        let drawn = order(seed, epoch, count);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        same("the elements of an order", &sorted, &(0..count).collect::<Vec<_>>())?;
        same("the same epoch again", &order(seed, epoch, count), &drawn)
    })?;
    same("whether epochs differ", &(order(1, 0, 40) != order(1, 1, 40)), &true)?;
    same("whether seeds differ", &(order(1, 0, 40) != order(2, 0, 40)), &true)?;
    // Where does element 0 of four go? Over 4,000 epochs each place gets about 1,000; seven
    // standard deviations of that count, √(4000 · ¼ · ¾) = 27, are 192.
    let mut places = [0; 4];
    for epoch in 0..4000 {
        let order = order(7, epoch, 4);
        places[order.iter().position(|&n| n == 0).unwrap_or(0)] += 1;
    }
    if places.iter().any(|count| (800..=1200).contains(count) == false) {
        return Err(format!("element 0 of 4 is at the places {places:?} times in 4000 epochs"));
    }
    Ok(())
}
