//! The families of models that can be trained, and what is trained of each: the registry.
//!
//! A family is one folder in `rung-models` (its description, construction and passes), one file
//! here (its keys, rules and task), its presets, and one line of `families!`. Everything else of
//! the program knows a family by [`Description`] alone.

mod auxiliary;
mod biva;
mod classifier;
mod description;
mod hierarchy;
mod judged;
pub mod latent;
mod matnet;
mod measures;
mod one_hot;
mod spn;
mod task;

pub use auxiliary::Auxiliary;
pub use biva::Biva;
pub use classifier::Classifier;
pub use description::{Curve, Description, Pixels};
pub use hierarchy::Hierarchy;
pub use latent::{BoundSettings, LabelSettings};
pub use matnet::MatNet;
pub use measures::{Measures, On, Quantity};
pub use spn::SpatialTransformer;
pub use task::{At, Batch, Direction, Loss, Panel, PictureSizes, Request, Score, Scores, Task};

use rung_models::rules::BrokenRule;
use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The name of the key that says which family `[model]` describes.
pub const FAMILY_KEY: &str = "family";

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident),+ $(,)?) => {
        /// What is trained: the description of a model and of its objective.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Family {
            $($(#[$doc])* $variant($variant)),+
        }

        impl Family {
            /// The defaults of the family of this name, if there is one.
            pub fn named(name: &str) -> Option<Self> {
                $(if <$variant as Described>::NAMES.contains(&name) {
                    let model = Table::from_iter([(FAMILY_KEY.to_string(),
                        Value::String(name.into()))]);
                    return <$variant as Described>::read(model,
                        Table::new()).ok().map(Self::$variant);
                })+
                None
            }

            /// Reads `[model]` and `[objective]`; keys that are missing have their defaults.
            ///
            /// # Errors
            /// If a value is of the wrong kind.
            pub fn read(name: &str, model: Table, objective: Table) -> Result<Self,
            toml::de::Error> {
                $(if <$variant as Described>::NAMES.contains(&name) {
                    return <$variant as Described>::read(model, objective).map(Self::$variant);
                })+
                let known = Self::NAMES.concat().join("`, `");
                Err(serde::de::Error::custom(format!("unknown value `{name}`, expected one of \
                `{known}`")))
            }

            /// The names of all families, by the description that they share.
            pub const NAMES: &[&[&str]] = &[$(<$variant as Described>::NAMES),+];

            /// What the keys of `[model]` and of `[objective]` mean.
            pub fn schemas(&self) -> (Schema, Schema) {
                match self {
                    $(Self::$variant(_) => (
                        schema_for!(<$variant as Described>::Model),
                        schema_for!(<$variant as Described>::Objective),
                    )),+
                }
            }

            /// `[model]` and `[objective]`, every default spelled out.
            ///
            /// # Errors
            /// If a value has no TOML form.
            pub fn tables(&self) -> Result<(Table, Table), toml::ser::Error> {
                match self {
                    $(Self::$variant(described) => described.tables()),+
                }
            }
        }

        impl std::ops::DerefMut for Family {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(Self::$variant(described) => described),+
                }
            }
        }

        impl std::ops::Deref for Family {
            type Target = dyn Description;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$variant(described) => described),+
                }
            }
        }
    };
}

families! {
    /// Dense layers: VAE, probabilistic ladder, Ladder VAE.
    Hierarchy,
    /// Gated blocks: BIVA and its relatives.
    Biva,
    /// Deterministic paths from every latent layer: MatNet.
    MatNet,
    /// ADGM, SDGM and M2, for learning from few labels.
    Auxiliary,
    /// Classifiers without latent variables.
    Classifier,
    /// Networks that read sequences of digits.
    SpatialTransformer,
}

impl Family {
    /// The value of `model.family`.
    pub fn key(&self) -> String {
        let name = |(model, _): (Table, Table)| Some(model.get(FAMILY_KEY)?.as_str()?.to_string());
        self.tables().ok().and_then(name).unwrap_or_default()
    }

    /// Its place among the families, in the order of the registry.
    pub fn order(&self) -> usize {
        let key = self.key();
        Self::NAMES.iter().copied().flatten().position(|name| *name == key).unwrap_or_default()
    }
}

impl Default for Family {
    fn default() -> Self {
        Self::Hierarchy(Hierarchy::default())
    }
}

/// A description as two tables of a configuration file.
trait Described: Sized {
    /// The values of `model.family` that it stands for.
    const NAMES: &'static [&'static str];
    /// What `[model]` holds.
    type Model: Serialize + DeserializeOwned + JsonSchema;
    /// What `[objective]` holds.
    type Objective: Serialize + DeserializeOwned + JsonSchema;

    /// Both in one.
    fn new(model: Self::Model, objective: Self::Objective) -> Self;

    /// What [`Described::new`] was given.
    fn parts(&self) -> (&Self::Model, &Self::Objective);

    fn read(model: Table, objective: Table) -> Result<Self, toml::de::Error> {
        Ok(Self::new(Self::Model::deserialize(model)?, Self::Objective::deserialize(objective)?))
    }

    fn tables(&self) -> Result<(Table, Table), toml::ser::Error> {
        let (model, objective) = self.parts();
        Ok((Table::try_from(model)?, Table::try_from(objective)?))
    }
}

/// The same rule with the section of the configuration before its key.
fn in_section(section: &str, broken: BrokenRule) -> BrokenRule {
    BrokenRule { key: format!("{section}.{}", broken.key), ..broken }
}
