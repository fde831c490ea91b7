//! Values into typed structs, with errors that know their place.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected};
use serde::de::{IntoDeserializer, Visitor};
use yaml_serde::{Mapping, Value, mapping};

use super::source::Segment;

/// Why a value does not fit its type.
#[derive(Debug)]
pub struct TypeError {
    /// The way to the value, innermost step first, as it grows while the error leaves maps and
    /// lists.
    pub path: Vec<Segment>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug)]
pub enum Problem {
    /// A key that the map at the path does not have.
    UnknownKey { key: String, valid: &'static [&'static str] },
    /// A name that is not among the choices.
    UnknownChoice { name: String, valid: &'static [&'static str] },
    /// A key that the map at the path lacks.
    Missing(&'static str),
    /// A value of the wrong type or out of range; both in words.
    Mismatch { expected: String, found: String },
    /// Anything else a type has to say.
    Other(String),
}

impl TypeError {
    fn under(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }
}

impl From<Problem> for TypeError {
    fn from(problem: Problem) -> Self {
        Self { path: Vec::new(), problem }
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{:?}", self.problem)
    }
}

impl std::error::Error for TypeError {}

impl de::Error for TypeError {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Problem::Other(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::invalid_value(found, expected)
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Unsigned(value) => value.to_string(),
            Unexpected::Signed(value) => value.to_string(),
            Unexpected::Float(value) => format!("{value:?}"),
            Unexpected::Str(text) => format!("{:?}", text),
            Unexpected::Unit | Unexpected::Option => "null".into(),
            Unexpected::Seq => "a list".into(),
            Unexpected::Map => "a map".into(),
            other => other.to_string(),
        };
        Problem::Mismatch { expected: in_words(&expected.to_string()), found }.into()
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let expected = in_words(&expected.to_string());
        Problem::Mismatch { expected, found: format!("a list of {length}") }.into()
    }

    fn unknown_variant(name: &str, valid: &'static [&'static str]) -> Self {
        Problem::UnknownChoice { name: name.into(), valid }.into()
    }

    fn unknown_field(key: &str, valid: &'static [&'static str]) -> Self {
        Problem::UnknownKey { key: key.into(), valid }.into()
    }

    fn missing_field(key: &'static str) -> Self {
        Problem::Missing(key).into()
    }
}

/// Serde's name of a type, as a user would say it.
fn in_words(expected: &str) -> String {
    let range = |max: u64| format!("a whole number from 0 to {max}");
    match expected {
        "f32" | "f64" => "a number".into(),
        "u8" => range(u8::MAX.into()),
        "u16" => range(u16::MAX.into()),
        "u32" => range(u32::MAX.into()),
        "u64" | "usize" => "a whole number, 0 or more".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        "a string" => "text".into(),
        "a sequence" => "a list".into(),
        _ if expected.starts_with("struct ") => "a map".into(),
        _ => match expected.rsplit_once(" of length ").or(expected.rsplit_once(" of size ")) {
            Some((_, length)) => format!("a list of {length}"),
            None => expected.into(),
        },
    }
}

/// A value to be deserialized; numbers, text and lists are taken as they stand, without conversion.
#[derive(Clone, Copy)]
pub struct Node<'de>(pub &'de Value);

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Sequence(values) => {
                let mut list = List { values, taken: 0 };
                let value = visitor.visit_seq(&mut list)?;
                match list.taken {
                    taken if taken == values.len() => Ok(value),
                    taken => Err(Problem::Mismatch {
                        expected: format!("a list of {taken}"),
                        found: format!("a list of {}", values.len()),
                    }
                    .into()),
                }
            }
            Value::Mapping(map) => visitor.visit_map(Entries::new(map)),
            Value::Tagged(tagged) => Node(&tagged.value).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        match self.0 {
            Value::String(name) => {
                let name: StrDeserializer<TypeError> = name.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Mapping(map) if map.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries::new(map)))
            }
            _ => self.deserialize_any(Choice(variants)).map(|never| match never {}),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

enum Never {}

/// Says what an enum expects of a value that cannot be one.
struct Choice(&'static [&'static str]);

impl Visitor<'_> for Choice {
    type Value = Never;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "one of {}", self.0.join(", "))
    }
}

struct List<'de> {
    values: &'de [Value],
    taken: usize,
}

impl<'de> SeqAccess<'de> for &mut List<'de> {
    type Error = TypeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, TypeError> {
        let Some(value) = self.values.get(self.taken) else { return Ok(None) };
        let index = self.taken;
        self.taken += 1;
        seed.deserialize(Node(value)).map(Some).map_err(|error| error.under(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() - self.taken)
    }
}

struct Entries<'de> {
    entries: mapping::Iter<'de>,
    current: Option<(&'de str, &'de Value)>,
}

impl<'de> Entries<'de> {
    fn new(map: &'de Mapping) -> Self {
        Self { entries: map.iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = TypeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, TypeError> {
        self.current = self.entries.find_map(|(key, value)| Some((key.as_str()?, value)));
        let Some((key, _)) = self.current else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, TypeError> {
        let Some((key, value)) = self.current.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(Node(value)).map_err(|error| error.under(Segment::Key(key.into())))
    }
}
