//! Which spans of a response name something seen.

use std::ops::Range;

use super::cell::Cell;

/// Reads a list of `[start, end]`, in bytes of `response`.
///
/// # Errors
///
/// When it is no such list, or a span is not a piece of the text.
pub(super) fn spans(cell: &Cell, response: &str) -> Result<Vec<Range<usize>>, String> {
    let Cell::List(items) = cell else {
        return Err(format!("{}, not a list of [start, end]", cell.kind()));
    };
    items.iter().map(|item| span(item, response)).collect()
}

fn span(cell: &Cell, response: &str) -> Result<Range<usize>, String> {
    let Cell::List(ends) = cell else {
        return Err(format!("a span is {}, not [start, end]", cell.kind()));
    };
    let number = |cell: &Cell| match cell {
        Cell::Scalar(text) => text.parse::<usize>().ok(),
        _ => None,
    };
    let [start, end] = ends.as_slice() else {
        return Err(format!("a span of {} numbers, not [start, end]", ends.len()));
    };
    let (Some(start), Some(end)) = (number(start), number(end)) else {
        return Err("a span whose ends are not whole numbers of bytes".into());
    };
    if response.get(start..end).is_none() {
        return Err(format!(
            "[{start}, {end}] is not a piece of the response, which has {} bytes; spans count \
             bytes of UTF-8 and do not cut a character",
            response.len()
        ));
    }
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, response: &str) -> Result<Vec<Range<usize>>, String> {
        spans(&serde_json::from_str(json).unwrap(), response)
    }

    #[test]
    fn spans_are_pieces_of_the_response() {
        assert_eq!(read("[]", ""), Ok(vec![]));
        assert_eq!(read("[[0, 2], [2, 2], [2, 4]]", "abéd"), Ok(vec![0..2, 2..2, 2..4]));
        let cases = [
            ("3", "a number"),
            ("[3]", "a number"),
            ("[[1]]", "a span of 1 numbers"),
            ("[[1, 2.5]]", "whole numbers"),
            ("[[-1, 2]]", "whole numbers"),
            ("[[0, 9]]", "has 5 bytes"),
            ("[[2, 1]]", "not a piece"),
            ("[[0, 3]]", "cut a character"),
        ];
        for (json, expected) in cases {
            let error = read(json, "abéd").unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
