//! Image data sets: from a file, a folder, a mirror or the program's own pen to checked pixels in
//! memory.
//!
//! # The problem
//! Generative models are compared on a handful of old data sets. Each has a format of its own, a
//! home that may be gone, and habits that decide whether two numbers can be compared: is the data
//! binarised, how often, with which draws; is the test set fixed; are the images transposed? And
//! files lie: a download was cut, a header claims more than there is.
//!
//! # The idea
//! One door, [`open`], takes a name (`mnist`), a file (`npz:FILE`), a folder (`images:FOLDER`) or
//! what sequences are made of (`sequences:mnist`), and gives a [`Dataset`]: [`Images`] for each
//! [`Split`], upright, as bytes where the source has bytes. Readers believe nothing: a size is
//! compared with the file before memory is asked for, and an error names the file, the byte, what
//! was expected and what was found. Everything random (binarisation, order, splits, the built-in
//! glyphs) is a function of a seed through the counter-based generator of [`rung_kernels::rng`], so
//! it is the same for any number of threads, and a device can repeat it.
//!
//! ```
//! use rung_datasets::batch::shuffled;
//! use rung_datasets::{GlyphCounts, ImageShape, Options, open};
//!
//! let glyphs = GlyphCounts { train: 100, validation: 0, test: 20 };
//! let dataset = open("glyphs", ".".as_ref(), &Options { glyphs, ..Options::default() })?;
//! let (seed, epoch) = (1, 0);
//! let order = shuffled(seed, epoch, dataset.train.count() as u32);
//! assert_eq!((order.len(), dataset.train.shape()), (100, ImageShape::new(1, 28, 28)));
//! # Ok::<(), rung_datasets::Error>(())
//! ```
//!
//! # The files
//! | file | what |
//! |------|------|
//! | `images.rs`, `dataset.rs` | what is in memory: pixels, shape, labels; splits and options |
//! | `range.rs`, `record.rs` | what the values are; the facts of a data set that a model keeps |
//! | `registry/` | the known data sets, [`open`], [`locate`](registry::locate), [`status`](registry::status), [`verify`](registry::verify) |
//! | `source.rs`, `memory.rs` | bytes of a file that cannot lie, and memory bounded by them: the ground under every reader |
//! | `idx.rs`, `mat/`, `norb.rs`, `cifar.rs` | the published formats |
//! | `npy.rs`, `npz.rs`, `arrays.rs`, `folder.rs` | a user's own data: NumPy arrays, read and written, and pictures |
//! | `fetch.rs`, `checksum.rs` | mirrors, resumed downloads, checksums |
//! | `binarise.rs`, `batch.rs` | the random choices, defined to the bit |
//! | `glyphs/` | digits the program writes itself, for a first run without a download |
//! | `sequences/` | cluttered sequences of the digits of another data set, each drawn when it is asked for |
//!
//! Chapters 7, 9 and 11 of the reader's book, `docs/book/src/`, say why orders and pixels are
//! addressed, and what binarisation does to a likelihood.
//!
//! # What was left out, and why
//! - **Augmentation** (flips, crops): the experiments reproduced here use none.
//! - **Reading piece by piece:** every data set here fits in memory as bytes; the largest,
//!   CIFAR-10, takes 180 MB.
//! - **Pickles, HDF5 and MATLAB 7.3:** a pickle is a program, HDF5 a library; `npz:FILE` takes what
//!   either can be saved as.
//! - **Small NORB's poses** (`-info.mat`) and **SVHN's extra part:** no experiment here uses them.

mod arrays;
pub mod batch;
pub mod binarise;
mod cgroup;
mod checksum;
pub mod cifar;
mod dataset;
mod error;
pub mod fetch;
pub mod folder;
pub mod glyphs;
pub mod idx;
mod images;
pub mod mat;
pub mod memory;
pub mod moons;
pub mod nearest;
pub mod norb;
pub mod npy;
pub mod npz;
mod range;
mod record;
pub mod registry;
pub mod sequences;
mod source;

pub use binarise::Binarisation;
pub use checksum::Checksum;
pub use dataset::{Background, Colour, Dataset, Fit, Options, Split};
pub use error::{Error, Result};
pub use fetch::{Progress, fetch};
pub use glyphs::GlyphCounts;
pub use images::{ImageShape, Images, Labels, Pixels};
pub use range::ValueRange;
pub use record::{DataRecord, SplitChecksums, SplitSizes};
pub use registry::open;
pub use sequences::Sequences;
pub use source::other_than_file;
