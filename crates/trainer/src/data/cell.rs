//! One cell of a table, whatever the file's format.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A value in a row. A row is itself a [`Cell::Struct`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Bytes(Vec<u8>),
    /// A number or a boolean, as text.
    Scalar(String),
    List(Vec<Cell>),
    Struct(Vec<(String, Cell)>),
    /// A value of a type that no column has a use for, by the type's name.
    Other(String),
}

impl Cell {
    /// The field that `path` names: by that whole name, or field by field at the dots.
    pub(crate) fn at(&self, path: &str) -> Option<&Cell> {
        let Self::Struct(fields) = self else { return None };
        let field = |name: &str| fields.iter().rev().find(|(field, _)| field == name);
        if let Some((_, cell)) = field(path) {
            return Some(cell);
        }
        let (first, rest) = path.split_once('.')?;
        field(first)?.1.at(rest)
    }

    /// Text and numbers as they stand, lists and objects as JSON; None where there is nothing, or
    /// nothing that is text.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Scalar(text) => Some(text.clone()),
            Self::List(_) | Self::Struct(_) => self.json().map(|value| value.to_string()),
            Self::Null | Self::Bytes(_) | Self::Other(_) => None,
        }
    }

    /// As JSON; None where there are bytes.
    pub(crate) fn json(&self) -> Option<Value> {
        match self {
            Self::Null => Some(Value::Null),
            Self::Text(text) => Some(text.as_str().into()),
            // Numbers that JSON has no word for stay text.
            Self::Scalar(text) => {
                Some(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())))
            }
            Self::List(cells) => cells.iter().map(Self::json).collect(),
            Self::Struct(fields) => fields
                .iter()
                .map(|(name, cell)| Some((name.clone(), cell.json()?)))
                .collect::<Option<_>>()
                .map(Value::Object),
            Self::Bytes(_) | Self::Other(_) => None,
        }
    }

    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Scalar(_) => "a number or boolean",
            Self::List(_) => "a list",
            Self::Struct(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Text(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Cell, E> {
        Ok(Cell::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = items.next_element()? {
            cells.push(cell);
        }
        Ok(Cell::List(cells))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Cell, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(Cell::Struct(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_values_become_cells() {
        let text = |text: &str| Cell::Text(text.into());
        let cases = [
            ("null", Cell::Null),
            ("true", Cell::Scalar("true".into())),
            ("-3", Cell::Scalar("-3".into())),
            ("18446744073709551615", Cell::Scalar("18446744073709551615".into())),
            ("0.1", Cell::Scalar("0.1".into())),
            (r#""a\u00e9""#, text("aé")),
            (r#"["a", []]"#, Cell::List(vec![text("a"), Cell::List(vec![])])),
            (r#"{"a": "b"}"#, Cell::Struct(vec![("a".into(), text("b"))])),
        ];
        for (json, expected) in cases {
            assert_eq!(serde_json::from_str::<Cell>(json).unwrap(), expected, "{json}");
        }
        assert!(serde_json::from_str::<Cell>(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn cells_are_written_as_text() {
        let cases = [
            (r#""a""#, Some("a")),
            ("1.0", Some("1")),
            (r#"["a'b", 1, null]"#, Some(r#"["a'b",1,null]"#)),
            (r#"{"b": [], "a": "é"}"#, Some(r#"{"a":"é","b":[]}"#)),
            ("null", None),
        ];
        for (json, expected) in cases {
            let cell: Cell = serde_json::from_str(json).unwrap();
            assert_eq!(cell.text().as_deref(), expected, "{json}");
        }
        assert_eq!(Cell::List(vec![Cell::Bytes(vec![1])]).text(), None);
    }

    #[test]
    fn a_path_names_a_field_whole_or_at_its_dots() {
        let row: Cell =
            serde_json::from_str(r#"{"a.b": "whole", "c": {"d": {"e": 1}}, "f": 1, "f": 2}"#)
                .unwrap();
        let cases = [
            ("a.b", Some("a string")),
            ("c", Some("an object")),
            ("c.d.e", Some("a number or boolean")),
            ("c.d.e.g", None),
            ("c.x", None),
            ("x", None),
        ];
        for (path, expected) in cases {
            assert_eq!(row.at(path).map(Cell::kind), expected, "{path}");
        }
        assert_eq!(row.at("f"), Some(&Cell::Scalar("2".into())), "the last of equal keys counts");
    }
}
