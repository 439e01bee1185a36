//! The random streams of this crate: one number for each purpose, far above the layers of a model.
//!
//! Every random choice here is a function of a seed and one of these, through
//! [`Address`](rung_kernels::rng::Address): no two purposes share a number.

/// The Bernoulli draws of training images.
pub const BINARISE_TRAIN: u32 = 0xDA7A_0001;
/// The Bernoulli draws of validation images.
pub const BINARISE_VALIDATION: u32 = 0xDA7A_0002;
/// The Bernoulli draws of test images.
pub const BINARISE_TEST: u32 = 0xDA7A_0003;
/// The uniform noise added to training bytes.
pub const DEQUANTISE_TRAIN: u32 = 0xDA7A_0011;
/// The uniform noise added to validation bytes.
pub const DEQUANTISE_VALIDATION: u32 = 0xDA7A_0012;
/// The uniform noise added to test bytes.
pub const DEQUANTISE_TEST: u32 = 0xDA7A_0013;
/// The order of the training images in an epoch.
pub const SHUFFLE: u32 = 0xDA7A_0021;
/// Which images of a folder are for testing.
pub const SPLIT: u32 = 0xDA7A_0022;
/// The order of the labelled images in a pass over them.
pub const SHUFFLE_LABELLED: u32 = 0xDA7A_0023;
/// The hand that draws the glyphs.
pub const GLYPHS: u32 = 0xDA7A_0031;
