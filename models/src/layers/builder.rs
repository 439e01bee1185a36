//! Collects the parameters and statistics of a model under their paths.

use rung_autograd::{Initialiser, ParameterId, ParameterList, Shape};

use crate::statistics::{StatisticsId, StatisticsList};

/// A place in the tree of a model's parameters: `at("head")` steps down, `parameter("weight", …)`
/// adds a leaf.
///
/// # Example
/// ```
/// use rung_autograd::{Initialiser, ParameterList};
/// use rung_models::layers::Builder;
///
/// let (mut parameters, mut statistics) = Default::default();
/// let mut builder = Builder::new(&mut parameters, &mut statistics);
/// builder.at("head").parameter("bias", [3], Initialiser::Constant(0.0));
/// assert_eq!(parameters.parameters()[0].name, "head.bias");
/// ```
#[derive(Debug)]
pub struct Builder<'a> {
    parameters: &'a mut ParameterList,
    statistics: &'a mut StatisticsList,
    path: String,
}

impl<'a> Builder<'a> {
    /// The root of the tree.
    #[must_use]
    pub const fn new(
        parameters: &'a mut ParameterList,
        statistics: &'a mut StatisticsList,
    ) -> Self {
        Self { parameters, statistics, path: String::new() }
    }

    /// A place one step further down.
    #[must_use]
    pub fn at(&mut self, name: impl std::fmt::Display) -> Builder<'_> {
        let path = self.join(name);
        Builder { parameters: self.parameters, statistics: self.statistics, path }
    }

    /// Adds a parameter here.
    pub fn parameter(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        initialiser: Initialiser,
    ) -> ParameterId {
        let path = self.join(name);
        self.parameters.add(path, shape, initialiser)
    }

    /// Adds the statistics of a batch normalisation here.
    pub fn statistics(&mut self, units: usize) -> StatisticsId {
        self.statistics.add(self.path.clone(), units)
    }

    fn join(&self, name: impl std::fmt::Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }
}
