//! Anomaly scores of images: how well a model explains them from its upper layers alone (Maaløe
//! 2019; Havtorn 2021).
//!
//! L^{>k} is the bound with the k lowest layers drawn from the prior instead of the posterior: what
//! the layers above k know of an image. The plain bound, k = 0, often favours out-of-distribution
//! images that are simple; that of the upper layers less so. The likelihood ratio L − L^{>k} asks
//! how much the lower layers had to add. `score.rs` computes both, `auroc.rs` says how well a score
//! separates two sets, `outcome.rs` keeps what was found in the run.

mod auroc;
mod outcome;
mod score;

pub use auroc::auroc;
pub use outcome::{Histogram, Outcome, Separation};
pub use score::{ImageBounds, Request, bounds};
