//! A configuration under construction: values are laid on, one layer over the other.
//!
//! Every value is checked as it is laid on, so that an error names where it came from: the file,
//! the preset or the flag. The keys that exist are those of the defaults; there is no second list.
//!
//! A layer that names its data set (a preset, a file with `data.name`) sets the number of images
//! for that one: where a later layer names another, they are the defaults again, unless that layer
//! sets them itself. A layer that names none is about any data set.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{Config, renamed};
use crate::error::{Error, Result};
use crate::presets;
use crate::tasks::{FAMILY_KEY, Family};
use rung_datasets::nearest::did_you_mean;

/// The key that names the data set.
const DATA_SET: &str = "data.name";

/// Keys whose values are about one data set and mean nothing for another. The size that pictures
/// are brought to is none of them: it is what the model is made for.
const OF_THE_DATA_SET: [&str; 3] =
    ["data.train_images", "data.validation_images", "data.test_images"];

/// How a value is laid on: with its meaning read at once ([`Layers::assign`]), or later
/// ([`Layers::place`]).
type Lay = fn(&mut Layers, &str, &str, Value) -> Result<()>;

/// A configuration under construction.
#[derive(Debug)]
pub struct Layers {
    merged: Table,
    config: Config,
    /// Those of [`OF_THE_DATA_SET`] that a layer set which also names its data set: another data
    /// set takes them back.
    tied: BTreeSet<&'static str>,
}

impl Layers {
    /// Starts from `base`.
    ///
    /// # Errors
    /// If `base` holds a value that TOML has no form for.
    pub fn new(base: &Config) -> Result<Self> {
        Ok(Self { merged: base.to_table()?, config: base.clone(), tied: BTreeSet::new() })
    }

    /// Lays a preset on and notes its name.
    ///
    /// # Errors
    /// If there is no such preset; the nearest name is given.
    pub fn add_preset(&mut self, name: &str) -> Result<()> {
        let text = presets::text(name)?;
        let source = format!("preset {name}");
        self.lay_on(&source, parse_table(&source, text)?, true)?;
        self.assign("preset", "preset", Value::String(name.into()))
    }

    /// Lays the text of a TOML file on; `source` names it in errors.
    ///
    /// # Errors
    /// If it isn't TOML, or a value is unknown or of the wrong kind.
    pub fn add_text(&mut self, source: &str, text: &str) -> Result<()> {
        self.add_table(source, parse_table(source, text)?)
    }

    /// Whether the configuration as it is now keeps every rule.
    pub fn is_valid(&self) -> bool {
        self.config.validate().is_ok()
    }

    /// Lays one `key=value` pair of `--set` on.
    ///
    /// # Errors
    /// If there is no `=`, the key or the value is refused, or the key is `preset`.
    pub fn set(&mut self, pair: &str) -> Result<()> {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(Error::new(format!("--set {pair}: expected key=value"))
                .with_advice("for example: --set train.epochs=20"));
        };
        let (key, text) = (key.trim(), text.trim());
        if key == "preset" {
            return Err(Error::new(format!(
                "--set preset={text}: a preset is what other keys are laid on"
            ))
            .with_advice(format!("give it with --preset {text}")));
        }
        let value = match format!("value = {text}").parse::<Table>() {
            Ok(mut table) if table.len() == 1 => table.remove("value"),
            _ => None,
        };
        // Text needs no quotes here, as the shell would eat them.
        let value = value.unwrap_or_else(|| Value::String(text.into()));
        self.assign("--set", key, value)
    }

    /// Lays one value on under its dotted key; `source` names where it came from in errors.
    ///
    /// # Errors
    /// If the key doesn't exist or the value is of the wrong kind.
    pub fn assign(&mut self, source: &str, key: &str, value: Value) -> Result<()> {
        let shown = format!("{source}: {key} = {value}");
        self.place(source, key, value)?;
        self.understand().map_err(|error| {
            let message = error.message().replace("unknown variant", "unknown value");
            Error::new(format!("{shown}: {message}"))
        })
    }

    /// Puts one value into its slot; what it means is still to be [understood](Self::understand).
    fn place(&mut self, source: &str, key: &str, value: Value) -> Result<()> {
        let shown = format!("{source}: {key} = {value}");
        let key = renamed::current(key);
        let of_now = find(&mut self.merged, DATA_SET).and_then(|name| name.as_str());
        if key == DATA_SET && value.as_str().is_some_and(|name| Some(name) != of_now) {
            self.take_back_what_was_tied()?;
        }
        if key == family_key() {
            self.change_family(&value);
        }
        self.tied.retain(|tied| *tied != key);
        let Some(slot) = find(&mut self.merged, &key) else {
            return Err(self.unknown_key(source, &key));
        };
        let value = fit(slot, value).map_err(|rule| Error::new(format!("{shown}: {rule}")))?;
        *slot = value;
        Ok(())
    }

    /// Makes a configuration of the values as they are now.
    fn understand(&mut self) -> Result<(), toml::de::Error> {
        self.config = Config::from_table(self.merged.clone())?;
        Ok(())
    }

    /// Gives the keys that belong to the data set of an earlier layer their defaults.
    fn take_back_what_was_tied(&mut self) -> Result<()> {
        let mut defaults = Config::default().to_table()?;
        for key in std::mem::take(&mut self.tied) {
            if let Some((slot, default)) = find(&mut self.merged, key).zip(find(&mut defaults, key))
            {
                *slot = default.clone();
            }
        }
        Ok(())
    }

    /// Starts `[model]` and `[objective]` anew from the defaults of another family, unless both
    /// describe their models alike.
    fn change_family(&mut self, name: &Value) {
        let name = name.as_str().unwrap_or_default();
        let described = |name: &str| Family::NAMES.iter().position(|names| names.contains(&name));
        let now = self.merged["model"].get(FAMILY_KEY).and_then(Value::as_str).unwrap_or_default();
        if described(name) == described(now) {
            return;
        }
        if let Some((model, objective)) =
            Family::named(name).and_then(|family| family.tables().ok())
        {
            self.merged.insert("model".into(), Value::Table(model));
            self.merged.insert("objective".into(), Value::Table(objective));
        }
    }

    /// The configuration, checked against every rule.
    ///
    /// # Errors
    /// If a value, or two together, break a rule.
    pub fn finish(self) -> Result<Config> {
        self.config.validate()?;
        Ok(self.config)
    }

    pub(super) fn add_table(&mut self, source: &str, table: Table) -> Result<()> {
        let names_its_data_set = of_data(&table).any(|key| key == DATA_SET);
        self.lay_on(source, table, names_its_data_set)
    }

    /// Lays a table on, with what it says of the number of images tied to its data set or for any.
    fn lay_on(&mut self, source: &str, table: Table, is_of_one_data_set: bool) -> Result<()> {
        let of_data: Vec<String> = of_data(&table).collect();
        let tied = OF_THE_DATA_SET
            .into_iter()
            .filter(|key| is_of_one_data_set && of_data.iter().any(|k| k == key));
        // All values are understood at once; where one is wrong, one after the other from the
        // beginning, so that the error names the first.
        let before = (self.merged.clone(), self.tied.clone());
        let at_once = self.lay_each(source, table.clone(), Self::place);
        if at_once.is_err() || self.understand().is_err() {
            (self.merged, self.tied) = before;
            self.lay_each(source, table, Self::assign)?;
        }
        self.tied.extend(tied);
        Ok(())
    }

    /// Lays each value of a table on by `lay`.
    fn lay_each(&mut self, source: &str, table: Table, lay: Lay) -> Result<()> {
        let skips_foreign = renamed::spells_out_every_family(&table);
        // What the other keys of the model and of its objective mean depends on the family.
        let family = table.get("model").and_then(|model| model.get(FAMILY_KEY));
        if let Some(family) = family {
            lay(self, source, &family_key(), family.clone())?;
        }
        for (name, value) in table {
            match value {
                Value::Table(section) => {
                    self.lay_section(source, &name, section, skips_foreign, lay)?;
                }
                value => lay(self, source, &name, value)?,
            }
        }
        Ok(())
    }

    fn lay_section(
        &mut self,
        source: &str,
        name: &str,
        section: Table,
        skips_foreign: bool,
        lay: Lay,
    ) -> Result<()> {
        let current = renamed::current(&format!("{name}."));
        if !matches!(self.merged.get(current.trim_end_matches('.')), Some(Value::Table(_))) {
            let sections = self.merged.keys().map(String::as_str);
            let guess = did_you_mean(name, sections);
            return Err(Error::new(format!("{source}: unknown section [{name}]{guess}")));
        }
        for (key, value) in section {
            let key = format!("{name}.{key}");
            let current = renamed::current(&key);
            let is_foreign =
                find(&mut self.merged, &current).is_none() && !owners(&current).is_empty();
            if !(skips_foreign && is_foreign) {
                lay(self, source, &key, value)?;
            }
        }
        Ok(())
    }

    fn unknown_key(&self, source: &str, key: &str) -> Error {
        let owners = owners(key);
        if owners.is_empty() {
            return unknown_key(source, key, &self.keys());
        }
        let family =
            self.merged["model"].get(FAMILY_KEY).and_then(Value::as_str).unwrap_or_default();
        Error::new(format!(
            "{source}: {key} is a key of {}, and {} is {family}",
            owners.join(", "),
            family_key()
        ))
    }

    /// Every dotted key.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for (name, value) in &self.merged {
            match value {
                Value::Table(section) => keys.extend(section.keys().map(|k| format!("{name}.{k}"))),
                _ => keys.push(name.clone()),
            }
        }
        keys
    }
}

/// The dotted keys of a table's data section.
fn of_data(table: &Table) -> impl Iterator<Item = String> {
    table
        .get("data")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::keys)
        .map(|key| format!("data.{key}"))
}

/// The dotted key of the family.
fn family_key() -> String {
    format!("model.{FAMILY_KEY}")
}

/// The families that have this dotted key.
fn owners(key: &str) -> Vec<&'static str> {
    let has = |name: &str| {
        let tables = Family::named(name).and_then(|family| family.tables().ok());
        tables.is_some_and(|(model, objective)| match key.split_once('.') {
            Some(("model", key)) => model.contains_key(key),
            Some(("objective", key)) => objective.contains_key(key),
            _ => false,
        })
    };
    Family::NAMES
        .iter()
        .filter(|names| has(names[0]))
        .flat_map(|names| names.iter().copied())
        .collect()
}

/// The value behind a dotted key, which is never a section.
fn find<'a>(merged: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    let slot = match key.split_once('.') {
        Some((section, name)) => merged.get_mut(section)?.as_table_mut()?.get_mut(name)?,
        None => merged.get_mut(key)?,
    };
    (!slot.is_table()).then_some(slot)
}

fn unknown_key(source: &str, key: &str, keys: &[String]) -> Error {
    let name = key.rsplit('.').next().unwrap_or(key);
    let elsewhere = keys.iter().find(|known| known.rsplit('.').next() == Some(name));
    let guess = match elsewhere {
        Some(known) => format!(" (did you mean {known}?)"),
        None => did_you_mean(key, keys.iter().map(String::as_str)),
    };
    Error::new(format!("{source}: unknown key {key}{guess}"))
}

/// `value` as the kind that `slot` holds now, or the rule that it breaks.
fn fit(slot: &Value, value: Value) -> Result<Value, &'static str> {
    match (slot, value) {
        (Value::Integer(_), Value::Integer(i)) if i >= 0 => Ok(Value::Integer(i)),
        (Value::Integer(_), _) => Err("must be a whole number, 0 or more"),
        (Value::Float(_), Value::Integer(i)) => Ok(Value::Float(i as f64)),
        (Value::Float(_), Value::Float(f)) => Ok(Value::Float(f)),
        (Value::Float(_), _) => Err("must be a number"),
        (Value::Boolean(_), Value::Boolean(b)) => Ok(Value::Boolean(b)),
        (Value::Boolean(_), _) => Err("must be true or false"),
        (Value::String(_), Value::String(s)) => Ok(Value::String(s)),
        (Value::String(_), _) => Err("must be text"),
        (Value::Array(_), Value::Array(list)) if list.iter().all(is_size) => Ok(Value::Array(list)),
        // What the tables hold is checked where they are read.
        (Value::Array(old), Value::Array(list)) if old.iter().chain(&list).all(Value::is_table) => {
            Ok(Value::Array(list))
        }
        (Value::Array(_), _) => Err("must be a list of whole numbers, such as [64, 32]"),
        (Value::Table(_) | Value::Datetime(_), _) => Err("can't be set as a whole"),
    }
}

fn is_size(value: &Value) -> bool {
    value.as_integer().is_some_and(|i| i >= 0)
}

pub(super) fn parse_table(source: &str, text: &str) -> Result<Table> {
    text.parse::<Table>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        Error::new(format!("{source}, line {line}: {}", error.message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        Layers::new(&Config::default()).unwrap()
    }

    #[test]
    fn stages_are_a_list_of_tables() {
        let mut layers = layers();
        layers.set("model.family=biva").unwrap();
        layers.set("model.stages=[{channels=8, kernels=[3], latent_units=2}]").unwrap();
        let wrong = layers.set("model.stages=[{chanels=8}]").unwrap_err().to_string();
        assert!(wrong.contains("unknown field `chanels`"), "{wrong}");
        layers.set("model.stages=[{channels=8, kernels=[5], latent_units=2}]").unwrap();
        let config = layers.finish().unwrap();
        let Family::Biva(biva) = &config.family else { panic!("{config:?}") };
        assert_eq!(biva.model.stages[0].blocks[0].kernel, 5);
        assert_eq!(
            Config::from_table(config.to_toml().unwrap().parse::<Table>().unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn a_key_of_another_family_is_named_with_its_owner() {
        let error = set_error("model.stages=[]");
        assert_eq!(
            error,
            "--set: model.stages is a key of staged_vae, staged_lvae, biva, and model.family is \
            ladder"
        );
        assert_eq!(set_error("model.stagse=[]"), "--set: unknown key model.stagse");
    }

    #[test]
    fn keys_of_earlier_versions_mean_what_they_did() {
        let mut layers = layers();
        layers.set("train.warmup_epochs=7").unwrap();
        assert_eq!(layers.finish().unwrap().family.warmup_epochs(), 7);
        let old = "[model]\nfamily = 'biva'\nlatent_sizes = [4]\nobservation = \
        'bernoulli'\n[staged]\nskips = false\n\
                   stages = [{channels = 8, kernels = [3], latent_units = 2}]\n[train]\nlabels = \
                   20\n";
        let mut layers = Layers::new(&Config::default()).unwrap();
        layers.add_text("config.toml", old).unwrap();
        let config = layers.finish().unwrap();
        let Family::Biva(biva) = &config.family else { panic!("{config:?}") };
        assert!(!biva.model.skips && biva.objective.label.labels == 20, "{config:?}");
    }

    fn set_error(pair: &str) -> String {
        layers().set(pair).unwrap_err().to_string()
    }

    #[test]
    fn a_preset_is_not_one_of_the_keys() {
        let error = layers().set("preset=mnist-vae-2").unwrap_err();
        assert!(error.cause().contains("--set preset=mnist-vae-2"), "{error}");
        assert_eq!(error.advice(), Some("give it with --preset mnist-vae-2"));
    }

    #[test]
    fn a_misspelt_key_names_the_nearest() {
        assert_eq!(
            set_error("train.epoch=3"),
            "--set: unknown key train.epoch (did you mean train.epochs?)"
        );
        assert_eq!(
            set_error("optimiser.epochs=3"),
            "--set: unknown key optimiser.epochs (did you mean train.epochs?)"
        );
        assert_eq!(set_error("qqqqqqqqqqqq=3"), "--set: unknown key qqqqqqqqqqqq");
        let error = layers().add_text("mine.toml", "[trian]\nepochs = 1");
        assert_eq!(
            error.unwrap_err().to_string(),
            "mine.toml: unknown section [trian] (did you mean train?)"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_key_value_and_rule() {
        assert_eq!(
            set_error("train.epochs=-1"),
            "--set: train.epochs = -1: must be a whole number, 0 or more"
        );
        assert_eq!(
            set_error("model.latent_sizes=[64, 'a']"),
            "--set: model.latent_sizes = [64, \"a\"]: must be a list of whole numbers, such as \
            [64, 32]"
        );
        // The list goes on with every family that is registered.
        let family = set_error("model.family=vea");
        assert!(
            family.starts_with(
                "--set: model.family = \"vea\": unknown value `vea`, expected one of `vae`, \
                `ladder`, "
            ),
            "{family}"
        );
        assert_eq!(set_error("train=3"), "--set: unknown key train");
        assert_eq!(set_error("train.epochs"), "--set train.epochs: expected key=value");
    }

    #[test]
    fn set_takes_toml_values_and_bare_text() {
        let mut layers = layers();
        for pair in [
            "model.latent_sizes=[8, 2]",
            "model.hidden_sizes = [16, 8]",
            "data.name=images:some/folder",
            "optimiser.learning_rate=1",
            "model.nonlinearity='tanh'",
        ] {
            layers.set(pair).unwrap();
        }
        let config = layers.finish().unwrap();
        let Family::Hierarchy(hierarchy) = &config.family else { panic!("{config:?}") };
        assert_eq!(hierarchy.model.latent_sizes, [8, 2]);
        assert_eq!(config.data.name, "images:some/folder");
        assert_eq!(config.optimiser.learning_rate, 1.0);
    }

    const OF_MNIST: &str =
        "[data]\nname = 'mnist'\ntrain_images = 100\nvalidation_images = 10\ntest_images = 50";

    fn sizes(layers: Layers) -> (String, [usize; 3]) {
        let data = layers.finish().unwrap().data;
        (data.name, [data.train_images, data.validation_images, data.test_images])
    }

    #[test]
    fn another_data_set_takes_the_limits_of_the_first_back() {
        let mut layers = layers();
        layers.add_text("mnist.toml", OF_MNIST).unwrap();
        layers.set("data.name=mnist").unwrap();
        layers.set("data.test_images=7").unwrap();
        layers.set("data.name=omniglot").unwrap();
        assert_eq!(sizes(layers), ("omniglot".into(), [0, 0, 7]));
    }

    #[test]
    fn the_size_of_a_preset_s_images_stays_for_pictures_of_ones_own() {
        let mut layers = layers();
        layers.add_text("cifar.toml", "[data]\nname = 'cifar-10'\nimage_size = 32").unwrap();
        layers.set("data.name=images:photos").unwrap();
        assert_eq!(layers.finish().unwrap().data.image_size, 32);
    }

    #[test]
    fn limits_of_the_same_data_set_or_of_any_stay() {
        let mut same = layers();
        same.add_text("mnist.toml", OF_MNIST).unwrap();
        same.set("data.name=mnist").unwrap();
        assert_eq!(sizes(same), ("mnist".into(), [100, 10, 50]));
        let mut any = layers();
        any.add_text("few.toml", "[data]\ntrain_images = 100").unwrap();
        any.set("data.name=mnist").unwrap();
        assert_eq!(sizes(any), ("mnist".into(), [100, 0, 0]));
        let mut later = layers();
        later.add_text("mnist.toml", OF_MNIST).unwrap();
        later.add_text("omniglot.toml", "[data]\ntrain_images = 9\nname = 'omniglot'").unwrap();
        assert_eq!(sizes(later), ("omniglot".into(), [9, 0, 0]));
    }

    #[test]
    fn text_that_is_not_toml_names_file_and_line() {
        let error = layers().add_text("mine.toml", "[train]\nepochs = = 3\n");
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with("mine.toml, line 2: "), "{message}");
    }
}
