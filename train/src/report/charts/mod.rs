//! The charts of a report, one file each. Each makes a [`Figure`](super::figure::Figure) from a
//! run's history or figures, or none where what it needs has not been measured.

pub mod active_units;
pub mod anomaly;
pub mod bound;
pub mod curves;
pub mod depth;
pub mod heat_map;
pub mod normal_kl;
pub mod overlay;
pub mod pca;
pub mod pictures;
pub mod swept;
pub mod terms;
