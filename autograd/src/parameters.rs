//! The parameters of a model: named ranges of one flat buffer, with one flat gradient beside it.
//!
//! One pass over one buffer then serves the optimiser, the global norm, clipping, averaging and the
//! checkpoint.

use std::ops::Range;

use rung_kernels::rng::Address;
use rung_kernels::{
    DType, Device, Error, Result, Shape, SharedBuffer, UnaryFunction, View, ViewMut,
};

use crate::orthogonal::orthonormalise;
use crate::tape::Tape;
use crate::tensor::{Tensor, sole};

/// A parameter of a [`ParameterStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParameterId(usize);

impl ParameterId {
    /// Its position in the list.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initialiser {
    /// Every element the same.
    Constant(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal {
        /// Standard deviation.
        sigma: f64,
    },
    /// Uniform on (−limit, limit).
    Uniform {
        /// Half the width.
        limit: f64,
    },
    /// The first half of the elements one constant, the second another: the joined bias of two
    /// heads.
    Halves {
        /// Value of the first half.
        first: f64,
        /// Value of the second half.
        second: f64,
    },
    /// Orthonormal times a gain (Saxe, McClelland and Ganguli 2014): the columns, or, of a matrix
    /// wider than high, the rows. The last axis is the columns, all others are the rows.
    Orthogonal {
        /// The norm of each column or row.
        gain: f64,
    },
}

impl Initialiser {
    /// Glorot and Bengio (2010), normal: σ = gain · √(2/(inputs + outputs)).
    #[must_use]
    pub fn glorot_normal(inputs: usize, outputs: usize, gain: f64) -> Self {
        Self::Normal { sigma: gain * (2.0 / (inputs + outputs) as f64).sqrt() }
    }

    /// Glorot and Bengio (2010), uniform: limit = gain · √(6/(inputs + outputs)).
    #[must_use]
    pub fn glorot_uniform(inputs: usize, outputs: usize, gain: f64) -> Self {
        Self::Uniform { limit: gain * (6.0 / (inputs + outputs) as f64).sqrt() }
    }
}

/// One parameter's entry.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its path in the model, which is its key in a checkpoint: `inference.1.hidden.0.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it starts.
    pub initialiser: Initialiser,
    /// Its first element in the flat buffer.
    pub offset: usize,
}

impl Parameter {
    /// Its elements in the flat buffer.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape.element_count()
    }
}

/// Collects the parameters of a model before their memory exists.
#[derive(Clone, Debug, Default)]
pub struct ParameterList {
    parameters: Vec<Parameter>,
    len: usize,
}

impl ParameterList {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter. Names must differ, which [`ParameterList::build`] checks.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        shape: impl Into<Shape>,
        initialiser: Initialiser,
    ) -> ParameterId {
        let shape = shape.into();
        self.parameters.push(Parameter { name: name.into(), shape, initialiser, offset: self.len });
        self.len += shape.element_count();
        ParameterId(self.parameters.len() - 1)
    }

    /// The parameters added so far.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Numbers in all parameters together.
    #[must_use]
    pub const fn element_count(&self) -> usize {
        self.len
    }

    /// Allocates and initialises the parameters: parameter i draws from stream
    /// `address.stream + i`.
    ///
    /// # Errors
    /// `Argument` if two parameters have one name; if the device has no memory.
    pub fn build(self, device: &Device, dtype: DType, address: Address) -> Result<ParameterStore> {
        let mut names: Vec<&str> =
            self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::argument(
                "parameters",
                format!("two parameters are named {}", pair[0]),
            ));
        }
        let mut store = ParameterStore {
            networks: networks(&self.parameters),
            values: device.allocate(dtype, self.len)?,
            gradients: device.allocate(dtype, self.len)?,
            has_gradient: vec![false; self.parameters.len()],
            parameters: self.parameters,
            device: device.clone(),
        };
        for index in 0..store.parameters.len() {
            store
                .initialise(index, Address { stream: address.stream + index as u32, ..address })?;
        }
        Ok(store)
    }
}

/// See [`ParameterStore::networks`].
fn networks(parameters: &[Parameter]) -> Vec<Range<usize>> {
    let network =
        |parameter: &Parameter| parameter.name.split('.').next().unwrap_or_default().to_string();
    let neighbours = parameters.chunk_by(|left, right| network(left) == network(right));
    let range = |chunk: &[Parameter]| {
        let (first, last) = (chunk.first()?, chunk.last()?);
        Some(first.range().start..last.range().end)
    };
    neighbours.filter_map(range).collect()
}

/// All parameters of a model and their gradients, on one device.
#[derive(Debug)]
pub struct ParameterStore {
    device: Device,
    parameters: Vec<Parameter>,
    networks: Vec<Range<usize>>,
    values: SharedBuffer,
    gradients: SharedBuffer,
    /// Whether a parameter's range of `gradients` has been written since
    /// [`ParameterStore::clear_gradients`].
    has_gradient: Vec<bool>,
}

impl ParameterStore {
    /// Where the parameters lie.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Their float type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }

    /// The parameters in order.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The handles of all parameters in order.
    pub fn ids(&self) -> impl Iterator<Item = ParameterId> + use<> {
        (0..self.parameters.len()).map(ParameterId)
    }

    /// Numbers in all parameters together.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.values.len()
    }

    /// A parameter's entry.
    #[must_use]
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.0]
    }

    /// The elements of each network in the flat buffers: neighbouring parameters whose paths begin
    /// with the same name, such as `generative`, are one network's.
    #[must_use]
    pub fn networks(&self) -> &[Range<usize>] {
        &self.networks
    }

    /// The parameter called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ParameterId> {
        self.parameters.iter().position(|parameter| parameter.name == name).map(ParameterId)
    }

    /// A parameter's value, sharing the store's memory; tracked if there is a tape.
    #[must_use]
    pub fn tensor(&self, id: ParameterId, tape: Option<&Tape>) -> Tensor {
        let Parameter { shape, offset, .. } = self.parameters[id.0];
        let value = Tensor {
            shape,
            device: self.device.clone(),
            buffer: self.values.clone(),
            offset,
            tracked: None,
        };
        match tape {
            Some(tape) => tape.parameter(id, value),
            None => value,
        }
    }

    /// A copy of a parameter's gradient; zeros if nothing has been added since the gradients were
    /// cleared.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn gradient(&self, id: ParameterId) -> Result<Tensor> {
        let Parameter { shape, .. } = self.parameters[id.0];
        if !self.has_gradient(id) {
            return Tensor::zeros(&self.device, self.dtype(), shape);
        }
        let range = self.parameters[id.0].range();
        Tensor::build(&self.device, self.dtype(), shape, |out| {
            self.device.convert(self.gradients.view().range(range), out)
        })
    }

    /// Replaces a parameter's value.
    ///
    /// # Errors
    /// `Shape` if the number of values is not the parameter's; `Shared` while a tensor or a tape
    /// holds the parameters.
    pub fn set(&mut self, id: ParameterId, values: &[f64]) -> Result<()> {
        let Parameter { shape, .. } = self.parameters[id.0];
        let staged = Tensor::from_values(&self.device, self.dtype(), values, shape)?;
        let (range, device) = (self.parameters[id.0].range(), self.device.clone());
        device.convert(staged.view(), self.values_mut("set")?.range(range))
    }

    /// Declares all gradients zero. Nothing is written: the next contribution to each overwrites.
    pub fn clear_gradients(&mut self) {
        self.has_gradient.fill(false);
    }

    /// All gradients and all values, for an optimiser: parameters without a gradient read as zero.
    ///
    /// # Errors
    /// `Shared` while a tensor or a tape holds the parameters.
    pub fn gradients_and_values(&mut self) -> Result<(ViewMut<'_>, ViewMut<'_>)> {
        for index in 0..self.parameters.len() {
            if !std::mem::replace(&mut self.has_gradient[index], true) {
                let range = self.parameters[index].range();
                self.device.fill(0.0, sole(&mut self.gradients).range(range))?;
            }
        }
        let values =
            self.values.get_mut().ok_or(Error::Shared { operation: "optimiser" })?.view_mut();
        Ok((sole(&mut self.gradients), values))
    }

    /// All values in order, flat.
    #[must_use]
    pub fn values(&self) -> View<'_> {
        self.values.view()
    }

    /// All values in order, flat, for writing.
    ///
    /// # Errors
    /// `Shared` while a tensor or a tape holds the parameters.
    pub fn values_mut(&mut self, operation: &'static str) -> Result<ViewMut<'_>> {
        Ok(self.values.get_mut().ok_or(Error::Shared { operation })?.view_mut())
    }

    /// Exchanges the memory of all values with a buffer of the same length and dtype.
    pub(crate) fn swap_values(&mut self, other: &mut SharedBuffer) {
        std::mem::swap(&mut self.values, other);
    }

    pub(crate) fn has_gradient(&self, id: ParameterId) -> bool {
        self.has_gradient[id.0]
    }

    pub(crate) fn mark_gradient(&mut self, id: ParameterId) {
        self.has_gradient[id.0] = true;
    }

    /// The ranges of several gradients at once, for writing.
    pub(crate) fn gradient_views<const N: usize>(
        &mut self,
        ids: [Option<ParameterId>; N],
    ) -> [Option<ViewMut<'_>>; N] {
        let ranges = ids.map(|id| id.map_or(0..0, |id| self.parameters[id.0].range()));
        let views = sole(&mut self.gradients).disjoint_ranges(ranges);
        let views = views.expect("bug: two parameters share a range; please report it");
        let mut wanted = ids.iter().map(Option::is_some);
        views.map(|view| wanted.next().unwrap_or(false).then_some(view))
    }

    pub(crate) fn add_gradient(&mut self, id: ParameterId, gradient: &Tensor) -> Result<()> {
        let out = sole(&mut self.gradients).range(self.parameters[id.0].range());
        if std::mem::replace(&mut self.has_gradient[id.0], true) {
            self.device.scale_and_add(1.0, gradient.view(), 1.0, out)
        } else {
            self.device.convert(gradient.view(), out)
        }
    }

    fn initialise(&mut self, index: usize, address: Address) -> Result<()> {
        let (range, device) = (self.parameters[index].range(), self.device.clone());
        let (shape, dtype) = (self.parameters[index].shape, self.dtype());
        let (drawn, factor, offset) = match self.parameters[index].initialiser {
            Initialiser::Constant(value) => {
                return device.fill(value, sole(&mut self.values).range(range));
            }
            Initialiser::Halves { first, second } => {
                let middle = range.start + range.len() / 2;
                device.fill(first, sole(&mut self.values).range(range.start..middle))?;
                return device.fill(second, sole(&mut self.values).range(middle..range.end));
            }
            Initialiser::Orthogonal { gain } => {
                let mut matrix = Tensor::normal(&device, dtype, address, shape)?.to_f64()?;
                let (rows, columns) = shape.as_matrix();
                orthonormalise(&mut matrix, rows, columns);
                (Tensor::from_values(&device, dtype, &matrix, shape)?, gain, 0.0)
            }
            Initialiser::Normal { sigma } => {
                (Tensor::normal(&device, dtype, address, shape)?, sigma, 0.0)
            }
            Initialiser::Uniform { limit } => {
                (Tensor::uniform(&device, dtype, address, shape)?, 2.0 * limit, -limit)
            }
        };
        device.unary(
            UnaryFunction::Affine(factor, offset),
            drawn.view(),
            sole(&mut self.values).range(range),
        )
    }
}
