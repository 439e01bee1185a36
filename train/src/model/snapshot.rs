//! A model's numbers as named tensors, and back; `docs/checkpoint.md` documents the names.

use std::collections::HashSet;

use rung_autograd::ops::FrozenStatistics;
use rung_autograd::optim::{Optimiser, OptimiserState, ParameterAverage};
use rung_autograd::{DType, ParameterStore, Tensor, View, ViewMut};
use rung_datasets::ImageShape;
use rung_models::Statistics;
use toml::{Table, Value};

use crate::error::{Context, Error, Result};
use crate::model::{IMAGE_SHAPE, Model};
use crate::run::checkpoint::{CheckpointData, TensorData};

/// Prefix of running statistics; the layer's path and `mean` or `variance` follow.
const STATISTICS: &str = "statistics";
/// The same for the exact statistics of a finished run; see [`crate::engine::batch_norm`].
const EXACT_STATISTICS: &str = "exact_statistics";
/// Prefix of the averaged parameters; the parameter's path follows.
pub const AVERAGE: &str = "average.";
/// What the average calls its buffer.
const AVERAGED: &str = "average";
/// Prefix of the optimiser's state; the moment's name and the parameter's path follow.
const OPTIMISER: &str = "optimiser";
/// Prefix of what a training keeps of itself, which is no part of the model.
const OF_A_TRAINING: &str = "training.";
/// Metadata key of the description of the model: `[model]` of the configuration, as JSON.
const DESCRIPTION: &str = "model";
/// Keys of `[model]` that training or the first values of the parameters alone depend on: the same
/// model may have another value.
const OF_TRAINING: [&str; 8] = [
    "batch_norm_momentum",
    "dropout",
    "inference_dropout",
    "generative_dropout",
    "top_entropy_penalty",
    "initial_sigma",
    "initial_scale",
    "head_sigma",
];
/// Metadata key of the optimiser's name.
const OPTIMISER_NAME: &str = "optimiser";
/// Metadata key of the steps the optimiser has taken.
const OPTIMISER_STEPS: &str = "optimiser_steps";

/// What to do about a checkpoint of another model.
const OF_ANOTHER_MODEL: &str =
    "the configuration must be that of the model the checkpoint was written by";

impl Model {
    /// Adds the parameters and the running statistics to a checkpoint.
    ///
    /// # Errors
    /// If the device fails.
    pub fn save(&self, data: &mut CheckpointData) -> Result<()> {
        let ImageShape { channels, height, width } = self.shape;
        data.metadata.insert(IMAGE_SHAPE.into(), format!("{channels}x{height}x{width}"));
        let described =
            serde_json::to_string(&self.described()?).context("describing the model")?;
        data.metadata.insert(DESCRIPTION.into(), described);
        let values = download(self.store.element_count(), self.store.dtype(), |host| {
            self.store.device().download(self.store.values(), host)
        })?;
        insert_parts(&self.store, &values, "", data)?;
        save_statistics(&self.statistics, STATISTICS, data)
    }

    /// Replaces the parameters and the running statistics by those that a checkpoint's model is
    /// used with: the averaged parameters, where it has them.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_for_use(&mut self, data: &CheckpointData) -> Result<()> {
        self.load(data)?;
        let is_averaged = data.tensors.keys().any(|name| name.starts_with(AVERAGE));
        if is_averaged { self.load_values(data, AVERAGE) } else { Ok(()) }
    }

    /// Replaces the parameters and the running statistics by those of the checkpoint's last step.
    ///
    /// # Errors
    /// If the checkpoint is of another model: it was described otherwise, a tensor is missing or
    /// has another shape, or one is there that this model has not.
    pub fn load(&mut self, data: &CheckpointData) -> Result<()> {
        self.check_description(data)?;
        self.check_names(data)?;
        self.load_values(data, "")?;
        load_statistics(&mut self.statistics, &self.store, STATISTICS, data)
    }

    /// `[model]` of the configuration.
    fn described(&self) -> Result<Table> {
        let (model, _) = self.family.tables().context("describing the model")?;
        Ok(model)
    }

    /// Refuses a checkpoint whose model was described otherwise: tensors of equal shapes may belong
    /// to another function. Checkpoints of early versions have no description.
    fn check_description(&self, data: &CheckpointData) -> Result<()> {
        let Some(text) = data.metadata.get(DESCRIPTION) else { return Ok(()) };
        let saved: Table =
            serde_json::from_str(text).context("reading the description of the model")?;
        let Some(Difference { key, saved, own }) = difference(saved, self.described()?) else {
            return Ok(());
        };
        Err(Error::new(format!(
            "the checkpoint is of another model: {key} is {saved} there and {own} here"
        ))
        .with_advice(OF_ANOTHER_MODEL))
    }

    /// Refuses a checkpoint with a tensor that this model, its average and its optimiser have no
    /// place for.
    fn check_names(&self, data: &CheckpointData) -> Result<()> {
        let parameters: HashSet<&str> =
            self.store.parameters().iter().map(|parameter| parameter.name.as_str()).collect();
        let layers: HashSet<&str> = self.statistics.iter().map(|(layer, _)| layer).collect();
        let has = |name: &str| {
            let [exact, running] = [EXACT_STATISTICS, STATISTICS]
                .map(|prefix| name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')));
            if let Some((layer, "mean" | "variance")) =
                exact.or(running).and_then(|rest| rest.rsplit_once('.'))
            {
                return layers.contains(layer);
            }
            let of_optimiser =
                || name.strip_prefix(OPTIMISER)?.strip_prefix('.')?.split_once('.').map(|x| x.1);
            let parameter = name.strip_prefix(AVERAGE).or_else(of_optimiser).unwrap_or(name);
            name.starts_with(OF_A_TRAINING) || parameters.contains(parameter)
        };
        match data.tensors.keys().find(|name| !has(name)) {
            None => Ok(()),
            Some(name) => Err(Error::new(format!(
                "the checkpoint has a tensor {name}, which the model has not"
            ))
            .with_advice(OF_ANOTHER_MODEL)),
        }
    }

    fn load_values(&mut self, data: &CheckpointData, prefix: &str) -> Result<()> {
        let values = gather(&self.store, data, prefix)?;
        let device = self.store.device().clone();
        let staged = Tensor::from_values(&device, self.store.dtype(), &values, [values.len()])
            .context("copying the parameters to the device")?;
        let out = self.store.values_mut("load").context("replacing the parameters")?;
        device.convert(staged.view(), out).context("replacing the parameters")
    }

    /// The exact statistics in a checkpoint, if its run was finished when it was written.
    ///
    /// # Errors
    /// If they are of another model.
    pub fn load_exact_statistics(&self, data: &CheckpointData) -> Result<Option<Statistics>> {
        if !data.tensors.keys().any(|name| name.starts_with(EXACT_STATISTICS)) {
            return Ok(None);
        }
        let mut statistics = self.statistics.copied().context("copying the statistics")?;
        load_statistics(&mut statistics, &self.store, EXACT_STATISTICS, data)?;
        Ok(Some(statistics))
    }
}

/// Where a checkpoint's model was described otherwise.
#[derive(Debug, PartialEq)]
struct Difference {
    key: String,
    saved: String,
    own: String,
}

/// The first value of a checkpoint's description that is another in the model's own.
fn difference(saved: Table, own: Table) -> Option<Difference> {
    // What the program no longer knows decides nothing.
    let known =
        |(key, _): &(String, Value)| own.contains_key(key) && !OF_TRAINING.contains(&key.as_str());
    let saved: Table = saved.into_iter().filter(known).collect();
    difference_at("model", &Value::Table(saved), &Value::Table(own))
}

/// The same below a key. Keys that came later are in no description that was written before, at
/// whatever depth; one that only the description has was left out of the model's own as it is at
/// its default.
fn difference_at(key: &str, saved: &Value, own: &Value) -> Option<Difference> {
    match (saved, own) {
        (Value::Table(saved), Value::Table(own)) => saved.iter().find_map(|(name, saved)| {
            let key = format!("{key}.{name}");
            let absent = || Difference {
                key: key.clone(),
                saved: saved.to_string(),
                own: "not given".into(),
            };
            own.get(name).map_or_else(|| Some(absent()), |own| difference_at(&key, saved, own))
        }),
        (Value::Array(saved), Value::Array(own)) if saved.len() == own.len() => {
            let pairs = saved.iter().zip(own).enumerate();
            pairs
                .map(|(index, (saved, own))| difference_at(&format!("{key}[{index}]"), saved, own))
                .find_map(|found| found)
        }
        _ => (saved != own).then(|| Difference {
            key: key.to_string(),
            saved: saved.to_string(),
            own: own.to_string(),
        }),
    }
}

/// Adds the exact statistics of a finished run to a checkpoint.
///
/// # Errors
/// If the device fails.
pub fn save_exact_statistics(statistics: &Statistics, data: &mut CheckpointData) -> Result<()> {
    save_statistics(statistics, EXACT_STATISTICS, data)
}

fn save_statistics(statistics: &Statistics, prefix: &str, data: &mut CheckpointData) -> Result<()> {
    for (layer, FrozenStatistics { mean, variance }) in statistics.iter() {
        for (what, tensor) in [("mean", mean), ("variance", variance)] {
            data.tensors.insert(format!("{prefix}.{layer}.{what}"), tensor_data(tensor)?);
        }
    }
    Ok(())
}

fn load_statistics(
    statistics: &mut Statistics,
    store: &ParameterStore,
    prefix: &str,
    data: &CheckpointData,
) -> Result<()> {
    let layers: Vec<(String, usize)> = statistics
        .iter()
        .map(|(layer, values)| (layer.to_string(), values.mean.shape().element_count()))
        .collect();
    for (layer, units) in layers {
        let read = |what: &str| {
            let values = tensor_of(data, &format!("{prefix}.{layer}.{what}"), &[units])?.to_f64();
            Tensor::from_values(store.device(), store.dtype(), &values, [units])
                .context("copying statistics to the device")
        };
        let values = FrozenStatistics { mean: read("mean")?, variance: read("variance")? };
        statistics.set(&layer, values);
    }
    Ok(())
}

/// Adds the EMA of the parameters to a checkpoint.
///
/// # Errors
/// If the device fails.
pub fn save_average(
    average: &ParameterAverage,
    store: &ParameterStore,
    data: &mut CheckpointData,
) -> Result<()> {
    let read = |host: ViewMut<'_>| average.state().download(AVERAGED, host);
    insert_parts(store, &download(store.element_count(), store.dtype(), read)?, AVERAGE, data)
}

/// Restores the EMA of the parameters from a checkpoint; it has been updated as often as the
/// optimiser has stepped.
///
/// # Errors
/// If the checkpoint has none, or that of another model.
pub fn load_average(
    average: &mut ParameterAverage,
    store: &ParameterStore,
    data: &CheckpointData,
) -> Result<()> {
    let values = gather(store, data, AVERAGE)?;
    upload_state(average.state_mut(), AVERAGED, store.dtype(), &values)
        .context("restoring the average")?;
    average.state_mut().set_steps(data.steps(OPTIMISER_STEPS)?);
    Ok(())
}

/// Adds an optimiser's state to a checkpoint, each moment cut into the parameters it belongs to.
///
/// # Errors
/// If the device fails.
pub fn save_optimiser(
    optimiser: &dyn Optimiser,
    store: &ParameterStore,
    data: &mut CheckpointData,
) -> Result<()> {
    let state = optimiser.state();
    data.metadata.insert(OPTIMISER_NAME.into(), optimiser.name().into());
    data.metadata.insert(OPTIMISER_STEPS.into(), state.steps().to_string());
    for moment in state.names() {
        let values =
            download(store.element_count(), store.dtype(), |host| state.download(moment, host))?;
        insert_parts(store, &values, &format!("{OPTIMISER}.{moment}."), data)?;
    }
    Ok(())
}

/// Restores an optimiser's state from a checkpoint.
///
/// # Errors
/// If the checkpoint has the state of another optimiser or none.
pub fn load_optimiser(
    optimiser: &mut dyn Optimiser,
    store: &ParameterStore,
    data: &CheckpointData,
) -> Result<()> {
    let saved = data.metadata.get(OPTIMISER_NAME).map(String::as_str);
    if saved != Some(optimiser.name()) {
        let saved = saved.unwrap_or("no optimiser");
        return Err(Error::new(format!(
            "the checkpoint has the state of {saved}, the configuration says {}",
            optimiser.name()
        )));
    }
    let steps = data.steps(OPTIMISER_STEPS)?;
    let moments: Vec<&'static str> = optimiser.state().names().collect();
    for moment in moments {
        let values = gather(store, data, &format!("{OPTIMISER}.{moment}."))?;
        upload_state(optimiser.state_mut(), moment, store.dtype(), &values)
            .context("restoring the optimiser")?;
    }
    optimiser.state_mut().set_steps(steps);
    Ok(())
}

/// Replaces one buffer of a state that follows the parameters.
fn upload_state(
    state: &mut OptimiserState,
    name: &str,
    dtype: DType,
    values: &[f64],
) -> rung_autograd::Result<()> {
    match dtype {
        DType::F64 => state.upload(name, View::F64(values)),
        _ => state
            .upload(name, View::F32(&values.iter().map(|&value| value as f32).collect::<Vec<_>>())),
    }
}

/// Adds a flat buffer to a checkpoint, cut into the parameters it has numbers for, each under
/// prefix + parameter name.
fn insert_parts(
    store: &ParameterStore,
    values: &Host,
    prefix: &str,
    data: &mut CheckpointData,
) -> Result<()> {
    for parameter in store.parameters() {
        let tensor = values.part(parameter.range(), parameter.shape.sizes())?;
        data.tensors.insert(format!("{prefix}{}", parameter.name), tensor);
    }
    Ok(())
}

/// Numbers on the host, in the type they were trained in, so that a checkpoint is exact.
enum Host {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Host {
    fn part(&self, range: std::ops::Range<usize>, shape: &[usize]) -> Result<TensorData> {
        match self {
            Self::F32(values) => TensorData::from_f32(shape, &values[range]),
            Self::F64(values) => TensorData::from_f64(shape, &values[range]),
        }
    }
}

fn download(
    len: usize,
    dtype: DType,
    read: impl FnOnce(ViewMut<'_>) -> rung_autograd::Result<()>,
) -> Result<Host> {
    if dtype == DType::F64 {
        let mut values = vec![0.0; len];
        read(ViewMut::F64(&mut values)).context("reading from the device")?;
        return Ok(Host::F64(values));
    }
    let mut values = vec![0.0; len];
    read(ViewMut::F32(&mut values)).context("reading from the device")?;
    Ok(Host::F32(values))
}

fn tensor_data(tensor: &Tensor) -> Result<TensorData> {
    let shape = tensor.shape().sizes();
    if tensor.dtype() == DType::F64 {
        return TensorData::from_f64(shape, &tensor.to_f64().context("reading from the device")?);
    }
    TensorData::from_f32(shape, &tensor.to_f32().context("reading from the device")?)
}

/// The tensors called prefix + parameter name, put together in the order of the store.
fn gather(store: &ParameterStore, data: &CheckpointData, prefix: &str) -> Result<Vec<f64>> {
    let mut values = Vec::with_capacity(store.element_count());
    for parameter in store.parameters() {
        values.extend(
            tensor_of(data, &format!("{prefix}{}", parameter.name), parameter.shape.sizes())?
                .to_f64(),
        );
    }
    Ok(values)
}

fn tensor_of<'a>(data: &'a CheckpointData, name: &str, shape: &[usize]) -> Result<&'a TensorData> {
    let missing =
        || Error::new(format!("the checkpoint has no tensor {name}")).with_advice(OF_ANOTHER_MODEL);
    let tensor = data.tensors.get(name).ok_or_else(missing)?;
    if tensor.shape() == shape {
        return Ok(tensor);
    }
    let cause = format!(
        "tensor {name} of the checkpoint has the shape {:?}, the model needs {shape:?}",
        tensor.shape()
    );
    Err(Error::new(cause).with_advice(OF_ANOTHER_MODEL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};
    use crate::presets;
    use proptest::prelude::*;
    use rung_autograd::Device;
    use toml::toml;

    #[test]
    fn what_only_training_looks_at_is_a_key_of_some_model() {
        let tables: Vec<Table> = presets::all()
            .map(|(preset, _)| {
                let preset = Sources { preset: Some(preset), ..Default::default() };
                layered(&preset).unwrap().family.tables().unwrap().0
            })
            .collect();
        for key in OF_TRAINING {
            assert!(tables.iter().any(|table| table.contains_key(key)), "{key}");
        }
    }

    #[test]
    fn keys_that_came_later_are_no_difference_at_any_depth() {
        let old = toml! {
            family = "matnet"
            leaky_slope = 0.1
            dropout = 0.5
            forgotten = 3
            [[blocks]]
            channels = 8
            [[blocks]]
            channels = 16
        };
        let new = toml! {
            family = "matnet"
            leaky_slope = 0.1
            dropout = 0.0
            later = 7
            [[blocks]]
            channels = 8
            stride = 1
            [[blocks]]
            channels = 16
            stride = 2
        };
        assert_eq!(difference(old.clone(), new.clone()), None);
        let differs = |edit: fn(&mut Value)| {
            let mut changed = old.clone();
            edit(&mut changed["blocks"][1]);
            let Difference { key, saved, own } = difference(changed, new.clone()).unwrap();
            format!("{key} is {saved} there and {own} here")
        };
        assert_eq!(
            differs(|block| block["channels"] = 4.into()),
            "model.blocks[1].channels is 4 there and 16 here"
        );
        assert_eq!(
            differs(|block| drop(
                block.as_table_mut().unwrap().insert("refines".into(), true.into())
            )),
            "model.blocks[1].refines is true there and not given here"
        );
        let mut shorter = old;
        shorter["blocks"].as_array_mut().unwrap().pop();
        assert_eq!(difference(shorter, new).unwrap().key, "model.blocks");
    }

    proptest! {
        /// A number that is read back as its neighbour would make a run refuse its own checkpoint:
        /// 0.9999999999999999 was 1.
        #[test]
        fn every_number_of_a_description_is_read_back_as_it_was(
            number in prop_oneof![Just(1.0f64.next_down()), Just(1e-45), any::<f64>()]
                .prop_filter("a configuration has finite numbers", |number| number.is_finite()),
        ) {
            let described = toml! { slope = number };
            let text = serde_json::to_string(&described).unwrap();
            let read: Table = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(difference(read, described), None);
        }
    }

    #[test]
    fn a_model_starts_from_one_that_was_trained_otherwise() {
        let model = |set: &[String]| {
            let sources =
                Sources { preset: Some("biva-mnist-small"), sets: set, ..Default::default() };
            let shape = ImageShape::new(1, 28, 28);
            Model::new(&layered(&sources).unwrap(), shape, &Device::cpu(), DType::F32).unwrap()
        };
        let mut data = CheckpointData::default();
        model(&[]).save(&mut data).unwrap();
        let training = [
            "model.inference_dropout=0.25",
            "model.generative_dropout=0.5",
            "model.initial_sigma=1",
        ];
        model(&training.map(String::from)).load_for_use(&data).unwrap();
        let refused =
            model(&["model.log_variance=\"free\"".into()]).load_for_use(&data).unwrap_err();
        assert!(refused.cause().contains("model.log_variance is "), "{refused}");
    }
}
