//! The order in which an epoch visits the images.

use rung_kernels::rng::{Address, Stream};

/// The permutation of `0..count` that epoch `epoch` of the run with `seed` visits.
///
/// Fisher and Yates from the back: for `k = 0, 1, …` and `last = count − 1 − k`, entry `last` is
/// exchanged with entry `⌊w[k] · (last + 1) / 2³²⌋`, where `w[k]` is word `k` of the address
/// (`seed`, [`Stream::Shuffle`], `epoch`). Integers only, so the order is the same on every
/// machine. (A place is favoured by at most `count / 2³²`: nothing a run could notice.)
///
/// # Example
/// ```
/// use rung_datasets::batch::shuffled;
///
/// let mut order = shuffled(1, 0, 5);
/// assert_ne!(order, shuffled(1, 1, 5));
/// order.sort_unstable();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
#[must_use]
pub fn shuffled(seed: u64, epoch: u64, count: u32) -> Vec<u32> {
    shuffled_at(&Address::new(seed, Stream::Shuffle.first(), epoch), count)
}

/// The permutation of `0..count` made of the words of `address`; see [`shuffled`].
#[must_use]
pub fn shuffled_at(address: &Address, count: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    let mut words = [0; 4];
    for k in 0..count.saturating_sub(1) {
        if k % 4 == 0 {
            words = address.words(k / 4);
        }
        let last = count - 1 - k;
        let other = (u64::from(words[(k % 4) as usize]) * (u64::from(last) + 1)) >> 32;
        order.swap(last as usize, other as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shuffled_is_a_permutation(seed: u64, epoch: u64, count in 0u32..2000) {
            let mut order = shuffled(seed, epoch, count);
            prop_assert_eq!(&order, &shuffled(seed, epoch, count));
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..count));
        }
    }

    /// Any change of these numbers changes every run ever made: the rule is part of the format of a
    /// run.
    #[test]
    fn the_rule_is_the_documented_one() {
        let address = Address::new(7, Stream::Shuffle.first(), 2);
        let mut by_hand: Vec<u32> = (0..6).collect();
        for (k, last) in (1..6).rev().enumerate() {
            by_hand
                .swap(last, (u64::from(address.word(k)) * (last as u64 + 1) / (1 << 32)) as usize);
        }
        assert_eq!(shuffled(7, 2, 6), by_hand);
    }

    /// Each of 5 images comes first in a fifth of the epochs, within five standard errors.
    #[test]
    fn every_image_is_equally_likely_to_come_first() {
        const EPOCHS: u64 = 20_000;
        let mut first = [0u32; 5];
        for epoch in 0..EPOCHS {
            first[shuffled(11, epoch, 5)[0] as usize] += 1;
        }
        let standard_error = (EPOCHS as f64 * 0.2 * 0.8).sqrt();
        for count in first {
            assert!(
                (f64::from(count) - EPOCHS as f64 / 5.0).abs() < 5.0 * standard_error,
                "{first:?}"
            );
        }
    }
}
