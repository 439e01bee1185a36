//! Exercise 13, chapter 7: Addressed noise
//!
//! Write Philox 4x32 with ten rounds, and a permutation of a data set that belongs to a seed and
//! an epoch, so that any epoch's order can be made without those before it.

pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds. A round multiplies counter[0] by MULTIPLIERS[0] and counter[2] by MULTIPLIERS[1]
/// to 64 bits, high and low halves h0, l0 and h1, l1; the new counter is
/// [h1 ^ counter[1] ^ key[0], l1, h0 ^ counter[3] ^ key[1], l0]. After each round the key grows by
/// KEY_STEPS, modulo 2³².
pub fn philox(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    counter
}

/// A random order of 0..count that depends on seed and epoch alone (Fisher and Yates): for each
/// place from the last to the second, the element there changes places with one at or before it.
pub fn order(seed: u32, epoch: u32, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order
}
