//! The listings of the reader's book, `docs/book/`.
//!
//! # The problem
//! Code in a book rots: the library moves on, and nobody compiles the page. A number typed into a
//! text is worse, for nobody can say where it came from.
//!
//! # The idea
//! A listing is a region of a file here, between `// ANCHOR: name` and `// ANCHOR_END: name`. A
//! chapter names it in a comment, and the code follows:
//!
//! ```text
//! <!-- listing tape -->        the region `tape` of this chapter's file
//! <!-- output adjoints -->     what the function of that name prints, to the letter
//! <!-- measured speed -->      the same where the numbers are those of one machine
//! <!-- quote FILE NEEDLE -->   the item of a real source whose first line has NEEDLE in it
//! ```
//!
//! So the pages read well as plain Markdown. `cargo run -p rung-book -- weave` writes what follows
//! each comment; a test compares it. There is one program for all chapters, not one for each
//! listing, because linking costs more than all of the listings: the tests take seconds.
//!
//! # The map
//! | file | what |
//! |---|---|
//! | `chapter_NN.rs` | the listings of a chapter |
//! | `outputs.rs` | what can be run: the list of all outputs |
//! | `weave.rs` | code and outputs into the pages |
//! | `pages.rs` | what every page must hold, and what other documents may not name |
//! | `svg.rs`, `figures.rs`, `figures/` | the pictures |

pub mod chapter_01;
pub mod chapter_02;
pub mod chapter_03;
pub mod chapter_04;
pub mod chapter_05;
pub mod chapter_06;
pub mod chapter_07;
pub mod chapter_08;
pub mod chapter_09;
pub mod chapter_10;
pub mod chapter_11;
pub mod chapter_12;
pub mod chapter_13;
pub mod chapter_14;
pub mod chapter_15;
pub mod figures;
pub mod outputs;
pub mod pages;
mod svg;
pub mod weave;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

use rung_autograd::Device;

/// What a listing returns: tensors fail with an error of the library, files with one of the system.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The CPU that the listings share: two tensors meet only on one device, and each call of
/// `Device::cpu` makes another, with a pool of memory of its own.
#[must_use]
pub fn cpu() -> Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu).clone()
}

/// The seed of random tests: `RUNG_TEST_SEED`, or the clock.
///
/// # Errors
/// If `RUNG_TEST_SEED` is no whole number.
pub fn seed() -> Result<u64, String> {
    static SEED: OnceLock<Result<u64, String>> = OnceLock::new();
    let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_nanos() as u64);
    let drawn = || match std::env::var("RUNG_TEST_SEED") {
        Ok(text) => text.parse().map_err(|_| format!("RUNG_TEST_SEED={text} is no whole number")),
        Err(_) => Ok(clock()),
    };
    SEED.get_or_init(drawn).clone()
}

/// The folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..")
}
