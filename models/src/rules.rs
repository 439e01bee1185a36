//! The rules of a description: what makes a model, and the words for what does not.

use std::fmt::Display;

use rung_autograd::Error;

/// More units than any layer can sensibly have; a slip of the keys is caught before memory is.
pub(crate) const LARGEST_LAYER: usize = 65_536;

/// A larger kernel or stride than any image needs.
pub(crate) const LARGEST_KERNEL: usize = 64;

/// A rule that a description breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    /// The key of the description, such as `hidden_sizes`.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What it must be.
    pub rule: String,
}

impl Display for BrokenRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.rule)
    }
}

impl std::error::Error for BrokenRule {}

impl From<BrokenRule> for Error {
    fn from(broken: BrokenRule) -> Self {
        Self::argument("model", broken.to_string())
    }
}

/// Refuses a value that does not keep the rule.
///
/// # Errors
/// [`BrokenRule`] unless `holds`.
pub fn rule(
    holds: bool,
    key: impl Into<String>,
    value: impl Display,
    rule: impl Into<String>,
) -> Result<(), BrokenRule> {
    if holds {
        return Ok(());
    }
    Err(BrokenRule { key: key.into(), value: value.to_string(), rule: rule.into() })
}

/// Refuses what is no finite number above 0.
///
/// # Errors
/// [`BrokenRule`].
pub fn positive(key: &str, value: f64) -> Result<(), BrokenRule> {
    rule(value > 0.0 && value.is_finite(), key, value, "must be a number above 0")
}

/// Refuses a list that is empty or has a layer of no sensible size.
///
/// # Errors
/// [`BrokenRule`].
pub(crate) fn layer_sizes(key: &str, sizes: &[usize]) -> Result<(), BrokenRule> {
    let valid = !sizes.is_empty() && sizes.iter().all(|size| (1..=LARGEST_LAYER).contains(size));
    rule(valid, key, format!("{sizes:?}"), "needs at least one layer, each with 1 to 65536 units")
}

/// Refuses a rate that drops nothing sensible.
///
/// # Errors
/// [`BrokenRule`].
pub(crate) fn dropout_rate(key: &str, rate: f64) -> Result<(), BrokenRule> {
    rule((0.0..1.0).contains(&rate), key, rate, "must be at least 0 and below 1")
}
