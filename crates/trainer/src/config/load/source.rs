//! One source of a configuration: its values, and where each of them stands.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess};
use serde::de::{SeqAccess, VariantAccess, Visitor};
use yaml_serde::{Mapping, Value};

use super::line::line;
use super::message::cut;

/// Bytes in a text; also the values and bytes of text it holds once aliases are followed.
const MAX_SIZE: usize = 1 << 16;
/// Flow lists and maps, since the scanner walks all that are open at every token.
const MAX_BRACKETS: usize = 1000;
/// Maps and lists within each other, and keys in an override.
const MAX_DEPTH: usize = 32;

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// The values of a document or an override.
pub struct Source<'a> {
    origin: Origin<'a>,
    value: Value,
}

enum Origin<'a> {
    Document { name: &'a str, text: &'a str },
    Override(&'a str),
}

impl<'a> Source<'a> {
    /// A YAML document that is a map or empty.
    pub fn document(name: &'a str, text: &'a str) -> Result<Self, String> {
        let value = parse(text).map_err(|(problem, line)| match line {
            Some(line) => format!("{problem} ({name}, line {line})"),
            None => format!("{problem} ({name})"),
        })?;
        let value = match value {
            Value::Null => Value::Mapping(Mapping::new()),
            Value::Mapping(_) => value,
            Value::Sequence(_) => return Err(format!("{name} must hold a map, found a list")),
            _ => return Err(format!("{name} must hold a map, such as `key: value`")),
        };
        Ok(Self { origin: Origin::Document { name, text }, value })
    }

    /// An override `key.path=value`.
    pub fn dotted(text: &'a str) -> Result<Self, String> {
        let fail = |problem: String| format!("{problem} (override `{}`)", cut(text));
        let Some((path, value)) = text.split_once('=') else {
            return Err(fail("an override must look like `key.path=value`".into()));
        };
        if path.split('.').any(|key| key.trim().is_empty()) {
            return Err(fail("a key is empty".into()));
        }
        if path.split('.').count() > MAX_DEPTH {
            return Err(fail(format!("more than {MAX_DEPTH} keys")));
        }
        let value = parse(value).map_err(|(problem, _)| fail(problem))?;
        let value = path.rsplit('.').fold(value, |value, key| {
            Value::Mapping(Mapping::from_iter([(Value::String(key.trim().into()), value)]))
        });
        Ok(Self { origin: Origin::Override(text), value })
    }

    /// The values.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the value at `path` comes from; None when this source does not hold it.
    pub fn place(&self, path: &[Segment]) -> Option<String> {
        find(&self.value, path)?;
        Some(match self.origin {
            Origin::Document { name, text } => match line(text, path) {
                Some(line) => format!("{name}, line {line}"),
                None => name.to_string(),
            },
            Origin::Override(text) => format!("override `{}`", cut(text)),
        })
    }
}

/// The value at `path`.
pub fn find<'v>(value: &'v Value, path: &[Segment]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.as_mapping()?.get(key.as_str()),
        Segment::Index(index) => value.as_sequence()?.get(*index),
    })
}

/// Reads YAML within the limits; else what is wrong, and the line where that is known.
fn parse(text: &str) -> Result<Value, (String, Option<usize>)> {
    if text.len() > MAX_SIZE {
        return Err((format!("larger than {} KiB", MAX_SIZE >> 10), None));
    }
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_BRACKETS {
        return Err((format!("more than {MAX_BRACKETS} brackets"), None));
    }
    let left = Cell::new(MAX_SIZE);
    let builder = Builder { left: &left, depth: 0 };
    builder.deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|error| {
        let message = error.to_string();
        // The reader, unlike the parser, tells a byte instead of a line.
        if let Some((problem, position)) = message.split_once(" at position ") {
            let read = position.parse().unwrap_or(0);
            let breaks = text.bytes().take(read).filter(|byte| *byte == b'\n').count();
            return (problem.to_string(), Some(breaks + 1));
        }
        let line = error.location().map(|location| location.line());
        let indent = line.and_then(|line| text.lines().nth(line.saturating_sub(1))).unwrap_or("");
        let indent = &indent[..indent.len() - indent.trim_start().len()];
        let problem = match message.split(" at line ").next().unwrap_or(&message) {
            _ if indent.contains('\t') => "a tab in the indentation, use spaces",
            problem if problem.contains("more than one document") => "more than one document",
            problem => problem,
        };
        (problem.to_string(), line)
    })
}

/// Builds a [`Value`] whose keys are text, each once, and whose size and depth are bounded;
/// `!tag value` becomes the map `{tag: value}`, as serde's enums are written either way.
#[derive(Clone, Copy)]
struct Builder<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Builder<'_> {
    fn spend<E: Error>(self, size: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(size);
        self.left.set(left.ok_or_else(|| E::custom("too many values"))?);
        Ok(())
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.spend(1)?;
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(1)?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(1 + value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Sequence(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Mapping::new();
        while let Some(key) = access.next_key_seed(NewKey { builder: self, map: &map })? {
            map.insert(Value::String(key), access.next_value_seed(inner)?);
        }
        Ok(Value::Mapping(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let (tag, content) = access.variant_seed(NewKey { builder: self, map: &Mapping::new() })?;
        let value = content.newtype_variant_seed(inner)?;
        Ok(Value::Mapping(Mapping::from_iter([(Value::String(tag), value)])))
    }
}

/// Reads a key that the map does not hold yet.
struct NewKey<'a> {
    builder: Builder<'a>,
    map: &'a Mapping,
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a key that is text")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        self.builder.spend(1 + key.len())?;
        if self.map.contains_key(key) {
            return Err(E::custom(format_args!("duplicate key `{key}`")));
        }
        Ok(key.into())
    }
}
