//! Messages: a problem, its place and the way out, in one line.

use yaml_serde::Value;

use super::source::{Segment, Source, find};
use super::typed::{Problem, TypeError};

/// Characters that a message quotes of a value or an override.
const QUOTED: usize = 80;
/// Characters of a message.
const LONGEST: usize = 600;

/// What is wrong, where, and the nearest name that would be right.
pub fn describe(error: TypeError, merged: &Value, sources: &[Source]) -> String {
    let TypeError { mut path, problem } = error;
    path.reverse();
    let value = find(merged, &path);
    let name = match path.is_empty() {
        true => "the configuration".to_string(),
        false => format!("`{}`", dotted(&path)),
    };
    let mut hint = String::new();
    let problem = match problem {
        Problem::UnknownKey { key, valid } => {
            let full = |key: &str| dotted(&[&path[..], &[Segment::Key(key.into())]].concat());
            hint = match nearest(&key, valid) {
                Some(near) => format!("; did you mean `{}`?", full(near)),
                None if valid.is_empty() => String::new(),
                None => format!("; valid keys: {}", valid.join(", ")),
            };
            let problem = format!("unknown key `{}`", full(&key));
            path.push(Segment::Key(key));
            problem
        }
        Problem::UnknownChoice { name: found, valid } => {
            if let Some(near) = nearest(&found, valid) {
                hint = format!("; did you mean `{near}`?");
            }
            let expected = format!("one of {}", valid.join(", "));
            mismatch(&name, value, &expected, &format!("{found:?}"))
        }
        Problem::Mismatch { expected, found } => mismatch(&name, value, &expected, &found),
        Problem::Missing(key) => {
            // Only a list's element has a place of its own; a map may come from many sources.
            let element = path.iter().rposition(|segment| matches!(segment, Segment::Index(_)));
            let missing = dotted(&[&path[..], &[Segment::Key(key.into())]].concat());
            path.truncate(element.map_or(0, |index| index + 1));
            format!("`{missing}` is missing")
        }
        Problem::Other(problem) => match value.and_then(scalar) {
            Some(value) => format!("{name} is {}: {problem}", cut(&value)),
            None => format!("{name}: {problem}"),
        },
    };
    // Inside a tagged enum serde tells only the enum's place, so a key's own place may be unknown.
    let place = (1..=path.len())
        .rev()
        .find_map(|length| sources.iter().rev().find_map(|source| source.place(&path[..length])));
    match place {
        Some(place) => format!("{problem} ({place}){hint}"),
        None => format!("{problem}{hint}"),
    }
}

fn mismatch(name: &str, value: Option<&Value>, expected: &str, found: &str) -> String {
    let inside = matches!(value, Some(Value::Mapping(_) | Value::Sequence(_)))
        && !found.starts_with("a map")
        && !found.starts_with("a list");
    let inside = if inside { "a value in " } else { "" };
    format!("{inside}{name} must be {expected}, found {}", cut(found))
}

/// A value short enough to be shown; None for maps and lists.
fn scalar(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => format!("{text:?}"),
        _ => return None,
    })
}

/// `algorithm.cpl.removing[0].kind`
fn dotted(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) if text.is_empty() => text.push_str(&cut(key)),
            Segment::Key(key) => text.extend([".", &cut(key)]),
            Segment::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// The valid name that `name` most likely stands for.
fn nearest(name: &str, valid: &[&'static str]) -> Option<&'static str> {
    let similar = valid.iter().map(|valid| (strsim::jaro_winkler(name, valid), *valid));
    let (similarity, nearest) = similar.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similarity > 0.75).then_some(nearest)
}

/// The beginning of a text.
pub fn cut(text: &str) -> String {
    shorten(text, QUOTED)
}

/// The text as one line of bounded length.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    shorten(&line, LONGEST)
}

fn shorten(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
