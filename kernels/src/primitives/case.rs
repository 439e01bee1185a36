//! One case of a primitive: its inputs, how to call it, and what it must give.

use crate::rng::{Address, Philox, normal_at, uniform_at};
use crate::{Backend, DType, Result, View, ViewMut};

/// The numbers of a host array, and the type it has on the device.
#[derive(Clone, Debug)]
pub struct Array {
    /// The numbers; those of integer arrays are integers.
    pub values: Vec<f64>,
    /// The type on the device; `None` is the float type under test.
    pub dtype: Option<DType>,
}

/// What one element must be: within `scale` units of the output's epsilon of `value`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The number by the formula, in f64.
    pub value: f64,
    /// The error that is allowed, divided by the epsilon of the output's type. 0 asks for the
    /// number itself.
    pub scale: f64,
}

impl Expected {
    /// The number itself.
    #[must_use]
    pub const fn exact(value: f64) -> Self {
        Self { value, scale: 0.0 }
    }

    /// Within `count` times epsilon, relative to the number.
    #[must_use]
    pub fn ulps(value: f64, count: f64) -> Self {
        Self { value, scale: count * value.abs() }
    }

    /// A sum in any order: within (4·√n + 4)·ε·Σ|terms|; each term may itself be wrong by 4 ε.
    #[must_use]
    pub fn sum(terms: impl IntoIterator<Item = f64>) -> Self {
        let (mut value, mut magnitude, mut count) = (0.0, 0.0, 0);
        for term in terms {
            value += term;
            magnitude += f64::abs(term);
            count += 1;
        }
        Self { value, scale: sum_factor(count) * magnitude }
    }

    /// The number times a constant.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, scale: self.scale * factor.abs() }
    }
}

/// 4·√n + 4: the error of a sum of n terms in units of ε·Σ|terms|.
#[must_use]
pub(super) fn sum_factor(count: usize) -> f64 {
    4.0 * (count as f64).sqrt() + 4.0
}

type Call = dyn Fn(&dyn Backend, &[View<'_>], &mut [ViewMut<'_>]) -> Result<()> + Send + Sync;
type Reference = dyn Fn(&[Vec<f64>], &[Vec<f64>]) -> Vec<Vec<Expected>> + Send + Sync;

/// One call of a primitive.
pub struct Case {
    /// Sizes and parameters, for people.
    pub sizes: String,
    pub(super) inputs: Vec<Array>,
    /// The initial contents; NaN (or 0 for integers) where the primitive must write all elements.
    pub(super) outputs: Vec<Array>,
    pub(super) call: Box<Call>,
    pub(super) reference: Box<Reference>,
}

impl Case {
    /// A case without arrays, to be completed by the methods below.
    #[must_use]
    pub(super) fn new(sizes: impl Into<String>) -> Self {
        let unset = |_: &dyn Backend, _: &[View<'_>], _: &mut [ViewMut<'_>]| Ok(());
        Self {
            sizes: sizes.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            call: Box::new(unset),
            reference: Box::new(|_, _| Vec::new()),
        }
    }

    /// The given types of its arrays.
    pub(super) fn dtypes(&self) -> impl Iterator<Item = DType> {
        self.inputs.iter().chain(&self.outputs).filter_map(|array| array.dtype)
    }

    /// Elements of its largest array.
    pub(super) fn largest(&self) -> usize {
        self.inputs.iter().chain(&self.outputs).map(|array| array.values.len()).max().unwrap_or(0)
    }

    /// One more input, of the float type under test.
    pub(super) fn float(mut self, values: Vec<f64>) -> Self {
        self.inputs.push(Array { values, dtype: None });
        self
    }

    /// One more input, of a given type.
    pub(super) fn typed(mut self, dtype: DType, values: Vec<f64>) -> Self {
        self.inputs.push(Array { values, dtype: Some(dtype) });
        self
    }

    /// One more output, written whole.
    pub(super) fn output(mut self, len: usize) -> Self {
        self.outputs.push(Array { values: vec![f64::NAN; len], dtype: None });
        self
    }

    /// One more output of a given type, written whole.
    pub(super) fn typed_output(mut self, dtype: DType, len: usize) -> Self {
        self.outputs.push(Array {
            values: vec![if dtype.is_float() { f64::NAN } else { 0.0 }; len],
            dtype: Some(dtype),
        });
        self
    }

    /// One more output, updated in place.
    pub(super) fn in_place(mut self, values: Vec<f64>) -> Self {
        self.outputs.push(Array { values, dtype: None });
        self
    }

    /// How the primitive is called, with the inputs and outputs in the order they were added.
    pub(super) fn call(
        mut self,
        call: impl Fn(&dyn Backend, &[View<'_>], &mut [ViewMut<'_>]) -> Result<()>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.call = Box::new(call);
        self
    }

    /// What it must give, from the inputs and the initial contents of the outputs.
    pub(super) fn expect(
        mut self,
        reference: impl Fn(&[Vec<f64>], &[Vec<f64>]) -> Vec<Vec<Expected>> + Send + Sync + 'static,
    ) -> Self {
        self.reference = Box::new(reference);
        self
    }
}

/// Draws the numbers of cases.
#[derive(Debug)]
pub struct Draw {
    seed: u64,
    stream: u32,
    rng: Philox,
}

impl Draw {
    /// The draws of one primitive: its `stream` of the run with this `seed`.
    #[must_use]
    pub(super) fn new(seed: u64, stream: u32) -> Self {
        Self { seed, stream, rng: Philox::new(Address::new(seed, stream, 0)) }
    }

    /// A fresh address to draw an array from, or to give to a primitive.
    pub(super) fn address(&mut self) -> Address {
        use rand::Rng;
        Address::new(self.seed, self.stream, u64::from(self.rng.next_u32()) + 1)
    }

    /// Standard normal numbers.
    pub(super) fn normal(&mut self, len: usize) -> Vec<f64> {
        let address = self.address();
        (0..len).map(|i| normal_at(&address, i)).collect()
    }

    /// Uniform numbers between two others.
    pub(super) fn uniform(&mut self, low: f64, high: f64, len: usize) -> Vec<f64> {
        let address = self.address();
        (0..len).map(|i| low + (high - low) * uniform_at(&address, i)).collect()
    }

    /// Variances: log-uniform on [0.05, 20].
    pub(super) fn variance(&mut self, len: usize) -> Vec<f64> {
        self.uniform(0.05f64.ln(), 20f64.ln(), len).into_iter().map(f64::exp).collect()
    }

    /// Integers below `end`, as numbers.
    pub(super) fn integers(&mut self, end: usize, len: usize) -> Vec<f64> {
        self.uniform(0.0, end as f64, len).into_iter().map(f64::floor).collect()
    }
}

/// Lengths of flat arrays: none, one, primes, around a work-group of 256, and enough for several
/// threads.
pub(super) const LENGTHS: [usize; 8] = [0, 1, 7, 64, 257, 1031, 4096, 70_001];

/// Rows and columns: none, one, primes, around blocks of 64 columns, several hundred columns, and
/// enough for several threads.
pub(super) const MATRICES: [(usize, usize); 9] =
    [(0, 5), (1, 1), (3, 7), (5, 64), (2, 257), (67, 131), (1031, 3), (13, 784), (260, 300)];
