//! An exponential moving average of the parameters, for evaluation.

use rung_kernels::{Error, Result};

use super::OptimiserState;
use crate::parameters::ParameterStore;

/// A running mean of all parameters: smoother than the parameters themselves, and what is evaluated
/// and sampled from in their place.
///
/// average ← d · average + (1 − d) · value,  d = min(decay, (1 + t)/(10 + t)) at update t,  one
/// pass over the flat buffer
///
/// The smaller weight of the first updates lets the average follow: with a decay of 0.9995 alone it
/// would still be half its first values after 1,400 updates.
///
/// It starts as the values at hand, so it is made when they are initialised in full (after
/// data-dependent initialisation, where there is one): started from anything else, it would take
/// about 1/(1 − decay) updates, several times over, to forget that.
///
/// **State.** `average`, and the count of updates: what a checkpoint saves and restores.
///
/// # Example
/// ```
/// use rung_autograd::optim::ParameterAverage;
/// use rung_autograd::rng::Address;
/// use rung_autograd::{DType, Device, Initialiser, ParameterList};
///
/// let mut list = ParameterList::new();
/// let x = list.add("x", [1], Initialiser::Constant(1.0));
/// let mut store = list.build(&Device::cpu(), DType::F64, Address::new(0, 0, 0))?;
/// let mut average = ParameterAverage::new(&store, 0.125)?;
/// store.set(x, &[5.0])?;
/// average.update(&store)?;
///
/// average.swap(&mut store)?;
/// assert_eq!(store.tensor(x, None).to_f64()?, [4.5]);
/// average.swap(&mut store)?;
/// assert_eq!(store.tensor(x, None).to_f64()?, [5.0]);
/// # Ok::<(), rung_autograd::Error>(())
/// ```
#[derive(Debug)]
pub struct ParameterAverage {
    decay: f64,
    is_swapped_in: bool,
    state: OptimiserState,
}

const NAME: &str = "parameter average";

impl ParameterAverage {
    /// The EMA of the parameters of `store`, which starts as their present values.
    ///
    /// # Errors
    /// `Argument` unless 0 ≤ decay < 1; if the device has no memory.
    pub fn new(store: &ParameterStore, decay: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::argument(
                NAME,
                format!("the decay must be at least 0 and below 1, not {decay}"),
            ));
        }
        let mut average =
            Self { decay, is_swapped_in: false, state: OptimiserState::new(store, ["average"])? };
        store.device().convert(store.values(), average.state.moment_mut())?;
        Ok(average)
    }

    /// What the average keeps of itself at each update, once there have been enough of them.
    #[must_use]
    pub const fn decay(&self) -> f64 {
        self.decay
    }

    /// Moves the average towards the present values.
    ///
    /// # Errors
    /// `Argument` while the average is swapped in, or if the store is another.
    pub fn update(&mut self, store: &ParameterStore) -> Result<()> {
        if self.is_swapped_in {
            return Err(Error::argument(
                NAME,
                "it stands in the place of the parameters: swap them back first",
            ));
        }
        let (step, [average]) = self.state.advance(NAME, store)?;
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        store.device().scale_and_add(1.0 - decay, store.values(), decay, average)
    }

    /// Exchanges the average and the parameters, without copying: once for evaluation, and once
    /// more to go on.
    ///
    /// # Errors
    /// `Argument` if the store is another; `Shared` while a tensor or a tape holds the parameters.
    pub fn swap(&mut self, store: &mut ParameterStore) -> Result<()> {
        self.state.check_store(NAME, store)?;
        store.values_mut(NAME)?;
        store.swap_values(self.state.moment_buffer());
        self.is_swapped_in = !self.is_swapped_in;
        Ok(())
    }

    /// Whether the parameters' store has the average, and the average the parameters.
    #[must_use]
    pub const fn is_swapped_in(&self) -> bool {
        self.is_swapped_in
    }

    /// The average and the count of updates; while swapped in, the parameters in the place of the
    /// average.
    #[must_use]
    pub const fn state(&self) -> &OptimiserState {
        &self.state
    }

    /// The same for restoring a checkpoint.
    pub const fn state_mut(&mut self) -> &mut OptimiserState {
        &mut self.state
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{store, values_of};
    use super::*;
    use rung_kernels::{DType, View, ViewMut};

    fn set_all(store: &mut ParameterStore, value: f64) {
        for id in store.ids() {
            let count = store.parameter(id).shape.element_count();
            store.set(id, &vec![value; count]).unwrap();
        }
    }

    #[test]
    fn an_average_follows_its_formula_over_all_parameters() {
        let (mut store, ids) = store(DType::F64);
        let mut average = ParameterAverage::new(&store, 0.9).unwrap();
        let mut expected = ids.map(|id| values_of(&store, id));
        for step in 1..=100 {
            set_all(&mut store, f64::from(step));
            average.update(&store).unwrap();
            let decay = 0.9f64.min(f64::from(1 + step) / f64::from(10 + step));
            expected
                .iter_mut()
                .flatten()
                .for_each(|value| *value = decay * *value + (1.0 - decay) * f64::from(step));
        }
        assert_eq!(average.state().steps(), 100);
        average.swap(&mut store).unwrap();
        for (id, expected) in ids.into_iter().zip(&expected) {
            for (found, expected) in values_of(&store, id).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-11, "{found} against {expected}");
            }
        }
        average.swap(&mut store).unwrap();
        assert!(
            ids.into_iter().all(|id| values_of(&store, id).iter().all(|&value| value == 100.0))
        );
    }

    #[test]
    fn an_average_that_is_restored_goes_on_with_the_same_bits() {
        let (mut store, _) = store(DType::F32);
        let mut average = ParameterAverage::new(&store, 0.75).unwrap();
        set_all(&mut store, 2.0);
        average.update(&store).unwrap();
        let read = |average: &ParameterAverage| {
            let mut host = vec![0f32; average.state().element_count()];
            average.state().download("average", ViewMut::F32(&mut host)).unwrap();
            host
        };
        let saved = read(&average);
        let mut restored = ParameterAverage::new(&store, 0.75).unwrap();
        restored.state_mut().upload("average", View::F32(&saved)).unwrap();
        restored.state_mut().set_steps(1);
        for average in [&mut average, &mut restored] {
            average.update(&store).unwrap();
            assert_eq!(average.state().steps(), 2);
        }
        assert_eq!(read(&average), read(&restored));
    }

    #[test]
    fn an_average_refuses_what_would_spoil_it() {
        let (mut store, [first, _]) = store(DType::F64);
        for decay in [-0.1, 1.0, f64::NAN] {
            let error = ParameterAverage::new(&store, decay).unwrap_err().to_string();
            assert!(error.contains("the decay must be at least 0 and below 1"), "{error}");
        }
        let mut average = ParameterAverage::new(&store, 0.5).unwrap();
        let held = store.tensor(first, None);
        assert_eq!(average.swap(&mut store).unwrap_err(), Error::Shared { operation: NAME });
        drop(held);
        average.swap(&mut store).unwrap();
        let error = average.update(&store).unwrap_err().to_string();
        assert!(error.contains("swap them back first") && average.is_swapped_in(), "{error}");
        average.swap(&mut store).unwrap();
        let (mut other, _) = super::super::tests::store(DType::F32);
        let error = average.swap(&mut other).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "parameter average: made for 43 f64 parameters on cpu, called for 43 f32"
            ),
            "{error}"
        );
    }
}
