//! Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
//! 2011).

use std::convert::Infallible;

use rand::rand_core::{SeedableRng, TryRng};

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
/// Golden ratio and √3 − 1, as 32-bit fractions: the key is bumped by them each round.
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;

/// The four random words at `counter` under `key`: ten rounds of multiply and exchange.
#[inline(always)]
#[must_use]
pub fn philox4x32(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    for _ in 0..ROUNDS {
        let product_0 = u64::from(MULTIPLIER_0) * u64::from(c0);
        let product_1 = u64::from(MULTIPLIER_1) * u64::from(c2);
        let (high_0, low_0) = ((product_0 >> 32) as u32, product_0 as u32);
        let (high_1, low_1) = ((product_1 >> 32) as u32, product_1 as u32);
        (c0, c1, c2, c3) = (high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0);
        k0 = k0.wrapping_add(WEYL_0);
        k1 = k1.wrapping_add(WEYL_1);
    }
    [c0, c1, c2, c3]
}

/// Where a block of random numbers lives: the seed of the run, the stream within it, the step of
/// training.
///
/// Element `e` of the block takes word `e mod 4` of the counter
/// `[e div 4, stream, step low, step high]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The seed of the run: the 64-bit key.
    pub seed: u64,
    /// What the numbers are for: one stream for each purpose and layer.
    pub stream: u32,
    /// The step of training (or the epoch, or the chunk) the numbers belong to.
    pub step: u64,
}

impl Address {
    /// The address of `stream` at `step` in the run with this `seed`.
    #[must_use]
    pub const fn new(seed: u64, stream: u32, step: u64) -> Self {
        Self { seed, stream, step }
    }

    /// The two words of the key.
    #[inline(always)]
    #[must_use]
    pub const fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    /// The counter of the four words that hold the elements `4·block .. 4·block + 4`.
    #[inline(always)]
    #[must_use]
    pub const fn counter(&self, block: u32) -> [u32; 4] {
        [block, self.stream, self.step as u32, (self.step >> 32) as u32]
    }

    /// The four random words of the elements `4·block .. 4·block + 4`.
    #[inline(always)]
    #[must_use]
    pub fn words(&self, block: u32) -> [u32; 4] {
        philox4x32(self.key(), self.counter(block))
    }

    /// The random word of one element.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, element: usize) -> u32 {
        self.words((element / 4) as u32)[element % 4]
    }
}

/// The words of one [`Address`] in order, as a generator for `rand` and `rand_distr`.
///
/// # Example
/// ```
/// use rand::RngExt;
/// use rung_kernels::rng::{Address, Philox};
///
/// let mut rng = Philox::new(Address::new(1, 0, 0));
/// let die: u32 = rng.random_range(1..=6);
/// assert!((1..=6).contains(&die));
/// ```
#[derive(Clone, Debug)]
pub struct Philox {
    address: Address,
    words: [u32; 4],
    next_element: usize,
}

impl Philox {
    /// A generator that starts at element 0 of `address`.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, words: [0; 4], next_element: 0 }
    }
}

impl TryRng for Philox {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let lane = self.next_element % 4;
        if lane == 0 {
            self.words = self.address.words((self.next_element / 4) as u32);
        }
        self.next_element += 1;
        Ok(self.words[lane])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand::rand_core::utils::next_u64_via_u32(self)
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Infallible> {
        rand::rand_core::utils::fill_bytes_via_next_word(destination, || self.try_next_u32())
    }
}

impl SeedableRng for Philox {
    type Seed = [u8; 8];

    fn from_seed(seed: Self::Seed) -> Self {
        Self::new(Address::new(u64::from_le_bytes(seed), 0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt};

    /// Known answers published with the authors' Random123 library (kat_vectors, philox4x32 with 10
    /// rounds).
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(
            philox4x32([0; 2], [0; 4]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn the_generator_walks_the_elements_of_its_address() {
        let address = Address::new(0x0123_4567_89ab_cdef, 7, 1 << 40);
        let mut rng = Philox::new(address);
        for element in 0..11 {
            assert_eq!(rng.next_u32(), address.word(element));
        }
    }

    #[test]
    fn streams_steps_and_seeds_differ() {
        let words = |seed, stream, step| Address::new(seed, stream, step).words(0);
        let base = words(1, 0, 0);
        for other in [
            words(2, 0, 0),
            words(1 << 32, 0, 0),
            words(1, 1, 0),
            words(1, 0, 1),
            words(1, 0, 1 << 32),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn rand_distr_works_on_it() {
        let mut rng = Philox::seed_from_u64(3);
        let mean = (0..4000).map(|_| rng.sample::<f64, _>(rand_distr::StandardNormal)).sum::<f64>()
            / 4000.0;
        assert!(mean.abs() < 5.0 / 4000f64.sqrt());
    }
}
