//! What every key of a configuration means, as the declarations of the code say it: the text of
//! `rung info --keys`, of `docs/configuration.md`, and of the comments in a run's `config.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schemars::{Schema, schema_for};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Config, DataConfig, OptimiserConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::tasks::Family;

/// Columns that a comment of `config.toml` takes at most.
const WIDTH: usize = 100;

/// A key, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The dotted key; of a table in an array with brackets: `model.stages[].channels`.
    pub key: String,
    /// What it means, in words.
    pub meaning: String,
    /// Its default, as TOML; none for what a table in an array has no default of.
    pub default: Option<String>,
    /// The values that it can have, where they are names, and what each means.
    pub values: Vec<(String, String)>,
}

/// A section of a configuration for some families, or for all.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// `model`, `objective`, `data`, `train`, `optimiser`.
    pub name: &'static str,
    /// The values of `model.family` that it is for; none for all.
    pub families: &'static [&'static str],
    /// Its keys, in the order of their declaration.
    pub keys: Vec<Key>,
}

/// All sections: those of every family, then those that all families share.
///
/// # Errors
/// If a default has no TOML form.
pub fn sections() -> Result<Vec<Section>> {
    let mut all = Vec::new();
    for names in Family::NAMES {
        let family = names.first().and_then(|name| Family::named(name));
        let family = family.ok_or_else(|| Error::new("bug: a family without a default"))?;
        all.extend(of_family(&family, names)?);
    }
    all.extend(shared(&Config::default())?);
    Ok(all)
}

/// The sections of a configuration.
fn of(config: &Config) -> Result<Vec<Section>> {
    let mut all = of_family(&config.family, &[])?;
    all.extend(shared(config)?);
    Ok(all)
}

fn of_family(family: &Family, names: &'static [&'static str]) -> Result<Vec<Section>> {
    let tables = family.tables().map_err(|error| Error::new(error.to_string()))?;
    let (model, objective) = family.schemas();
    let section = |name, schema: &Schema, defaults: &Table| Section {
        name,
        families: names,
        keys: keys(name, schema, defaults),
    };
    Ok(vec![section("model", &model, &tables.0), section("objective", &objective, &tables.1)])
}

fn shared(config: &Config) -> Result<Vec<Section>> {
    let table = config.to_table()?;
    let section = |name: &'static str, schema: &Schema| {
        let empty = Table::new();
        let defaults = table.get(name).and_then(Value::as_table).unwrap_or(&empty);
        Section { name, families: &[], keys: keys(name, schema, defaults) }
    };
    Ok(vec![
        section("data", &schema_for!(DataConfig)),
        section("train", &schema_for!(TrainConfig)),
        section("optimiser", &schema_for!(OptimiserConfig)),
    ])
}

/// The keys of a table, in the order of `defaults`, those of tables in its arrays behind them.
fn keys(section: &str, schema: &Schema, defaults: &Table) -> Vec<Key> {
    let root = schema.as_value();
    let mut keys = Vec::new();
    for (name, default) in defaults {
        let Some(property) = property(root, root, name) else { continue };
        let key = format!("{section}.{name}");
        let default = Some(default.to_string()).filter(|text| !text.contains('{'));
        keys.push(key_of(root, property, key.clone(), default));
        let items = property.get("items").map(|items| resolved(root, items));
        let inner = items.and_then(|items| items.get("properties")?.as_object());
        for (inner_name, property) in inner.into_iter().flatten() {
            keys.push(key_of(root, property, format!("{key}[].{inner_name}"), None));
        }
    }
    keys
}

/// The schema of a property of an object, or of one of the objects that are flattened into it.
fn property<'a>(root: &'a Json, object: &'a Json, name: &str) -> Option<&'a Json> {
    let own = object.get("properties").and_then(|properties| properties.get(name));
    own.or_else(|| {
        let all = object.get("allOf")?.as_array()?;
        all.iter().find_map(|part| property(root, resolved(root, part), name))
    })
}

/// What a reference within the schema leads to.
fn resolved<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let path = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| root.pointer(path)).unwrap_or(schema)
}

fn key_of(root: &Json, property: &Json, key: String, default: Option<String>) -> Key {
    let target = resolved(root, property);
    let own = meaning(property);
    let meaning = if own.is_empty() { meaning(target) } else { own };
    Key { key, meaning, default, values: values(target) }
}

/// The description of a schema on one line, links to other declarations as the names that they lead
/// to.
fn meaning(schema: &Json) -> String {
    let text = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    let text = text.split("\n\n").next().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace("[`", "`").replace("`]", "`")
}

/// The names that a value can be, with what each means.
fn values(schema: &Json) -> Vec<(String, String)> {
    let variants = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    let plain = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    let named = variants.flat_map(|variant| {
        let one = variant.get("const").and_then(Json::as_str);
        let several = variant.get("enum").and_then(Json::as_array).into_iter().flatten();
        let names = one.into_iter().chain(several.filter_map(Json::as_str));
        names.map(|name| (name.to_string(), meaning(variant))).collect::<Vec<_>>()
    });
    let plain = plain.filter_map(Json::as_str).map(|name| (name.to_string(), String::new()));
    named.chain(plain).collect()
}

/// Every key with its meaning, default and values, as Markdown that reads well in a terminal.
///
/// # Errors
/// As [`sections`].
pub fn text() -> Result<String> {
    let mut text = String::from(
        "# Configuration\n\n\
         Every key, with its default and meaning; `rung info --keys` prints this page. A value\n\
         is the default, then that of the preset, then that of the `--config` files, then that of\n\
         `--set key=value` and of flags.\n\
         `[model]` and `[objective]` have the keys of `model.family` alone; a preset may have \
         other values.\n",
    );
    for Section { name, families, keys } in sections()? {
        let of = match families {
            [] => String::new(),
            families => format!(" of {}", families.join(", ")),
        };
        // Writing to a string can't fail.
        let _ = write!(text, "\n## [{name}]{of}\n\n");
        for Key { key, meaning, default, values } in keys {
            let default = default.map_or_else(String::new, |default| format!(" = {default}"));
            let _ = writeln!(text, "- `{key}{default}`: {meaning}");
            for (value, meaning) in values {
                let meaning = if meaning.is_empty() { meaning } else { format!(": {meaning}") };
                let _ = writeln!(text, "  - `{value}`{meaning}");
            }
        }
    }
    Ok(text)
}

/// The text of a configuration with the meaning of every key above it, in comments.
///
/// # Errors
/// As [`sections`].
pub fn commented(config: &Config, toml: &str) -> Result<String> {
    let all = of(config)?;
    let keys = all.iter().flat_map(|section| &section.keys);
    let keys: BTreeMap<&str, &Key> = keys.map(|key| (key.key.as_str(), key)).collect();
    let mut section = String::new();
    let mut seen = BTreeSet::new();
    let mut commented = String::with_capacity(3 * toml.len());
    for line in toml.lines() {
        let header = line.strip_prefix('[').and_then(|rest| rest.split(']').next());
        let name = match header {
            Some(header) => {
                section = header.trim_start_matches('[').to_string();
                if line.starts_with("[[") { section.clone() } else { String::new() }
            }
            None => {
                let name = line.split(" = ").next().filter(|name| *name != line);
                name.map_or_else(String::new, |name| format!("{section}.{name}"))
            }
        };
        // Of several tables in an array the first is explained.
        let key = keys.get(name.as_str()).filter(|_| seen.insert(name.clone()));
        if let Some(key) = key {
            comment(&mut commented, key);
        }
        commented.push_str(line);
        commented.push('\n');
    }
    Ok(commented)
}

/// A key's meaning, and the names that it can be, in lines that begin with `#`.
fn comment(text: &mut String, Key { meaning, values, .. }: &Key) {
    let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    let mut line = String::from("#");
    for word in format!("{meaning}{names}").split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};
    use crate::presets;

    #[test]
    fn every_key_of_every_family_has_a_meaning_and_a_default() {
        for name in Family::NAMES.concat() {
            let config = Config { family: Family::named(name).unwrap(), ..Config::default() };
            let sections = of(&config).unwrap();
            let table = config.to_table().unwrap();
            for Section { name: section, keys, .. } in sections {
                let own = table[section].as_table().unwrap();
                let plain = keys.iter().filter(|key| !key.key.contains("[]"));
                assert_eq!(plain.count(), own.len(), "{name}: [{section}]");
                for key in &keys {
                    assert!(key.meaning.ends_with('.'), "{}: {:?}", key.key, key.meaning);
                    let has_default = key.default.is_some() || key.key.contains("[]");
                    let is_array =
                        keys.iter().any(|k| k.key.starts_with(&format!("{}[]", key.key)));
                    assert!(has_default || is_array, "{}", key.key);
                }
            }
        }
    }

    #[test]
    fn values_are_those_that_a_configuration_takes() {
        for Section { families, keys, .. } in sections().unwrap() {
            for Key { key, values, .. } in keys.iter().filter(|key| !key.key.contains("[]")) {
                for (value, _) in values {
                    let family = families.first().map(|family| format!("model.family={family}"));
                    let sets: Vec<String> =
                        family.into_iter().chain([format!("{key}={value}")]).collect();
                    let table = crate::config::layers::Layers::new(&Config::default());
                    let mut layers = table.unwrap();
                    sets.iter().for_each(|set| layers.set(set).unwrap());
                    // A rule may still forbid it beside the other defaults, as one of values.
                    if let Err(error) = layers.finish() {
                        assert!(
                            !error.to_string().contains("unknown variant"),
                            "{key}={value}: {error}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_page_of_the_configuration_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == text().unwrap(),
            "docs/configuration.md is not what the code says: rung info --keys > \
            docs/configuration.md"
        );
    }

    #[test]
    fn comments_leave_every_preset_as_it_is() {
        for (name, _) in presets::all() {
            let config = layered(&Sources { preset: Some(name), ..Sources::default() }).unwrap();
            let text = config.to_toml().unwrap();
            let table: Table = text.parse().unwrap();
            assert_eq!(table, config.to_table().unwrap(), "{name}");
            assert!(text.contains("# Passes over the training images.\nepochs = "), "{text}");
            assert!(
                text.lines().all(|line| !line.starts_with('#') || line.chars().count() <= WIDTH)
            );
        }
    }
}
