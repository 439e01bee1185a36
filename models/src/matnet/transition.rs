//! The step from one state to the next, that of all three chains: of the bottom-up states, which
//! read nothing beside themselves; of the top-down states, which read a sample; and of the merge
//! states, which read the other two.
//!
//! With φ the nonlinearity, ∗ a convolution of 3 × 3 that keeps the size of the map, and [a; b]
//! maps side by side, a state h and what it reads, r, give
//!
//! | module | next state |
//! |---|---|
//! | `residual` | φ(h + W₂ ∗ φ(W₁ ∗ [r; h] + b₁) + b₂) |
//! | `additive` | the same without r, of φ(h + W₀ ∗ r + b₀) in place of h |
//! | `gru` | u·h + (1 − u)·s, s = tanh(W_s ∗ [r; g·h] + b_s), [u; g] = σ(W_g ∗ [r; h] + b_g + 1) |
//!
//! The published code has the identity in place of φ in most layers, which makes them linear, and
//! computes s with the weights of g; both are taken for slips here. A gate's offset of 1 favours
//! keeping the state: u starts at σ(1) = 0.73.

use rung_autograd::ops::{Activation, concat};
use rung_autograd::{Error, Result, Tensor};

use super::config::{MatNetConfig, Module};
use crate::layers::{Builder, Linear};
use crate::pass::Pass;
use crate::steps::{StepRecorder, Value};

/// Added to what a gate is the sigmoid of.
const GATE_OFFSET: f64 = 1.0;
/// The axis of a map's channels.
pub(super) const CHANNELS: usize = 3;

/// A step from a state to the next.
#[derive(Clone, Debug)]
pub(super) enum Transition {
    /// `residual`.
    Residual(ResidualStep),
    /// `additive`: the projection of what is read, then the step.
    Additive(Linear, ResidualStep),
    /// `gru`: both gates, the update's channels first; and the candidate.
    Gru { gates: Linear, candidate: Linear, channels: usize },
}

/// Two convolutions and, if the state is read, a sum with it.
#[derive(Clone, Debug)]
pub(super) struct ResidualStep {
    first: Linear,
    second: Linear,
    activation: Activation,
    reads_state: bool,
}

impl Transition {
    /// A step between states of `channels` channels, beside which maps of `read` channels in all
    /// are read; none without a path for the state is a function of what is read alone.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        config: &MatNetConfig,
        module: Module,
        read: usize,
        channels: usize,
        reads_state: bool,
    ) -> Self {
        let mut layer = |name: &str, inputs, outputs| {
            Linear::new(&mut builder.at(name), config.plain(), inputs, outputs, config.weight())
        };
        let state = if reads_state { channels } else { 0 };
        let step = |layer: &mut dyn FnMut(&str, usize, usize) -> Linear, read| ResidualStep {
            first: layer("first", read + state, channels),
            second: layer("second", channels, channels),
            activation: config.activation(),
            reads_state,
        };
        match module {
            Module::Gru => Self::Gru {
                gates: layer("gates", read + channels, 2 * channels),
                candidate: layer("candidate", read + channels, channels),
                channels,
            },
            Module::Additive if reads_state && read > 0 => {
                Self::Additive(layer("sample", read, channels), step(&mut layer, 0))
            }
            Module::Residual | Module::Additive => Self::Residual(step(&mut layer, read)),
        }
    }

    /// The next state: a block that activation checkpointing recomputes.
    ///
    /// # Errors
    /// `Shape` if a map does not fit.
    pub(super) fn forward(
        &self,
        pass: &Pass<'_>,
        read: &[&Tensor],
        state: &Tensor,
    ) -> Result<Tensor> {
        if !pass.recomputes() {
            return self.compute(pass, read, state);
        }
        let step = self.clone();
        let inputs: Vec<&Tensor> = [state].into_iter().chain(read.iter().copied()).collect();
        pass.recomputed(&inputs, move |pass, inputs| {
            step.compute(pass, &inputs[1..].iter().collect::<Vec<_>>(), &inputs[0])
        })
    }

    /// The next state as steps.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        read: &[Value],
        state: Value,
    ) -> Result<Value> {
        match self {
            Self::Residual(step) => step.record(recorder, read, state),
            Self::Additive(sample, step) => {
                let read = recorder.beside(read);
                let read = sample.record(recorder, read)?;
                let added = recorder.add(state, read);
                let added = recorder.activate(added, step.activation);
                step.record(recorder, &[], added)
            }
            Self::Gru { gates, candidate, channels } => {
                let with = |recorder: &mut StepRecorder<'_>, state| {
                    let all: Vec<Value> = read.iter().copied().chain([state]).collect();
                    recorder.beside(&all)
                };
                let seen = with(recorder, state);
                let gates = gates.record(recorder, seen)?;
                let gates = recorder.affine(gates, 1.0, GATE_OFFSET);
                let gates = recorder.activate(gates, Activation::Sigmoid);
                let update = recorder.channels(gates, 0, *channels);
                let reset = recorder.channels(gates, *channels, *channels);
                let kept = recorder.multiply(reset, state);
                let seen = with(recorder, kept);
                let candidate = candidate.record(recorder, seen)?;
                let candidate = recorder.activate(candidate, Activation::Tanh);
                let difference = recorder.subtract(state, candidate);
                let kept = recorder.multiply(update, difference);
                Ok(recorder.add(candidate, kept))
            }
        }
    }

    fn compute(&self, pass: &Pass<'_>, read: &[&Tensor], state: &Tensor) -> Result<Tensor> {
        match self {
            Self::Residual(step) => step.forward(pass, read, state),
            Self::Additive(sample, step) => {
                let added = state.add(&sample.forward(pass, &beside(read)?)?)?;
                step.forward(pass, &[], &added.activate(step.activation)?)
            }
            Self::Gru { gates, candidate, channels } => {
                let with = |state: &Tensor| {
                    beside(&read.iter().copied().chain([state]).collect::<Vec<_>>())
                };
                let gates = gates.forward(pass, &with(state)?)?.shift(GATE_OFFSET)?.sigmoid()?;
                let update = gates.slice(CHANNELS, 0, *channels)?;
                let reset = gates.slice(CHANNELS, *channels, *channels)?;
                let candidate = candidate.forward(pass, &with(&reset.mul(state)?)?)?.tanh()?;
                // u·h + (1 − u)·s = s + u·(h − s).
                candidate.add(&update.mul(&state.sub(&candidate)?)?)
            }
        }
    }
}

impl ResidualStep {
    fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        read: &[Value],
        state: Value,
    ) -> Result<Value> {
        let own = self.reads_state.then_some(state);
        let inputs: Vec<Value> = read.iter().copied().chain(own).collect();
        let inputs = recorder.beside(&inputs);
        let inner = self.first.record(recorder, inputs)?;
        let inner = recorder.activate(inner, self.activation);
        let step = self.second.record(recorder, inner)?;
        let sum = if self.reads_state { recorder.add(state, step) } else { step };
        Ok(recorder.activate(sum, self.activation))
    }

    fn forward(&self, pass: &Pass<'_>, read: &[&Tensor], state: &Tensor) -> Result<Tensor> {
        let own = self.reads_state.then_some(state);
        let inputs: Vec<&Tensor> = read.iter().copied().chain(own).collect();
        let inner = self.first.forward(pass, &beside(&inputs)?)?.activate(self.activation)?;
        let step = self.second.forward(pass, &inner)?;
        let sum = if self.reads_state { state.add(&step)? } else { step };
        sum.activate(self.activation)
    }
}

/// Maps side by side.
pub(super) fn beside(maps: &[&Tensor]) -> Result<Tensor> {
    match maps {
        [] => Err(Error::argument("matnet", "bug: a step that reads nothing; please report it")),
        [only] => Ok((*only).clone()),
        maps => concat(maps, CHANNELS),
    }
}
