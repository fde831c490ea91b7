//! A run's configuration: defaults, then a YAML file, then `key.path=value` overrides, merged into
//! one typed struct.

mod line;
mod message;
mod source;
mod typed;

use serde::Serialize;
use serde::de::DeserializeOwned;
use yaml_serde::{Mapping, Value};

use source::Source;

/// What is wrong with a configuration, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Reads a configuration from `defaults` (YAML), then `yaml` (the file's name, for messages, and
/// its text), then `overrides` such as `optim.lr=1e-5`, whose values are YAML.
///
/// Later sources win: maps are merged, lists and other values replaced. An empty text changes
/// nothing. `T` says which keys exist, with `#[serde(deny_unknown_fields, default)]`.
///
/// # Errors
///
/// When a text is not a YAML map or is too large or too deep, an override has no `=`, a key is
/// unknown, missing or given twice, or a value does not fit `T`. The message names the key, the
/// value and the line or the override.
pub fn load<T: DeserializeOwned>(
    yaml: Option<(&str, &str)>,
    defaults: Option<&str>,
    overrides: &[String],
) -> Result<T, ConfigError> {
    let documents = defaults.map(|text| ("built-in defaults", text)).into_iter().chain(yaml);
    let sources = documents
        .map(|(name, text)| Source::document(name, text))
        .chain(overrides.iter().map(|text| Source::dotted(text)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|message| ConfigError(message::one_line(&message)))?;
    let mut merged = Value::Mapping(Mapping::new());
    for source in &sources {
        merge(&mut merged, source.value());
    }
    T::deserialize(typed::Node(&merged)).map_err(|error| {
        ConfigError(message::one_line(&message::describe(error, &merged, &sources)))
    })
}

/// The configuration as YAML that [`load`] reads back.
///
/// # Panics
///
/// When `T` cannot be written as YAML (an enum with data inside another): a mistake in the type,
/// not in its value.
pub fn to_yaml<T: Serialize>(config: &T) -> String {
    yaml_serde::to_string(config).expect("a configuration's type can be written as YAML")
}

/// Lays `over` on `base`: maps key by key, anything else as a whole.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Mapping(base), Value::Mapping(over)) => {
            for (key, value) in over {
                match base.get_mut(key) {
                    Some(old) => merge(old, value),
                    None => drop(base.insert(key.clone(), value.clone())),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests;
