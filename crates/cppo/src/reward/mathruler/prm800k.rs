//! String normalisation of PRM800K (Lightman et al., 2023), as mathruler applies it.

use super::{latex, number, strip_text};

const REPLACEMENTS: [(&str, &str); 9] = [
    ("\\%", "%"),
    ("\\$", "$"),
    ("$", ""),
    ("%", ""),
    (" or ", " , "),
    (" and ", " , "),
    ("million", "*10^6"),
    ("billion", "*10^9"),
    ("trillion", "*10^12"),
];

/// In the order in which they are removed, wherever they stand.
const UNITS: [&str; 16] = [
    "degree",
    "cm",
    "centimeter",
    "meter",
    "mile",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "foot",
    "feet",
    "inch",
    "yard",
];

/// Plain text that the symbolic comparison reads: no units, no LaTeX, no spaces, lower case.
pub(super) fn normalize(answer: &str) -> String {
    let mut text = strip_text(answer).unwrap_or(answer).to_owned();
    for (from, to) in REPLACEMENTS {
        text = text.replace(from, to);
    }
    for unit in UNITS {
        text = remove_each(&text, unit, after_unit);
    }
    text = remove_each(&text, "^", |rest| rest.trim_start_matches(' ').strip_prefix("\\circ"));
    if let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        text = inner.to_owned();
    }
    text = remove_each(&text, ",\\!", |rest| Some(rest.trim_start_matches(' ')));
    if let Some(integer) = number::parse(&text).and_then(number::nearest_integer) {
        text = integer;
    }
    if text.contains('\\')
        && let Some(plain) = latex::to_text(&text)
    {
        text = plain;
    }
    let text = add_mixed_numbers(&remove_spaces_after_minus(&text))
        .replace([' ', '{', '}'], "")
        .to_lowercase();
    if number::is_integer(&text) {
        return number::parse(&text.replace(',', "")).map_or(text, number::truncated);
    }
    text
}

/// Removes every `start` together with what `skip` leaves out of the text behind it;
/// where `skip` gives `None`, `start` stays.
fn remove_each(text: &str, start: &str, skip: impl Fn(&str) -> Option<&str>) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(start) {
        let behind = &rest[place + start.len()..];
        let skipped = skip(behind);
        kept.push_str(&rest[..if skipped.is_some() { place } else { place + start.len() }]);
        rest = skipped.unwrap_or(behind);
    }
    kept + rest
}

/// What follows a unit's plural ending, spaces and power.
fn after_unit(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("es").unwrap_or(rest);
    let rest = rest.strip_prefix('s').unwrap_or(rest).trim_start_matches(' ');
    Some(match rest.strip_prefix('^') {
        Some(power) if power.starts_with(|digit: char| digit.is_ascii_digit()) => {
            power.trim_start_matches(|digit: char| digit.is_ascii_digit())
        }
        _ => rest,
    })
}

fn remove_spaces_after_minus(text: &str) -> String {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "-" + part.trim_start_matches(' '))
}

/// `7 3/4` to `7+3/4`: spaces between digits add; a digit joins one addition at most.
fn add_mixed_numbers(text: &str) -> String {
    let mut added = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(' ') {
        let (before, spaces) = rest.split_at(place);
        let after = spaces.trim_start_matches(' ');
        let digit = |char: Option<char>| char.filter(char::is_ascii_digit);
        added.push_str(before);
        match (digit(before.chars().next_back()), digit(after.chars().next())) {
            (Some(_), Some(next)) => {
                added.extend(['+', next]);
                rest = &after[1..];
            }
            _ => rest = after,
        }
    }
    added + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_numbers_and_latex_become_plain_text() {
        let cases = [
            ("\\text{12 cm}", "12"),
            ("12 cm^2", "12"),
            ("5 inches", "5"),
            ("3 kilometers", "3kilo"),
            ("60^ \\circ", "60"),
            ("60^\\circle", "60le"),
            ("x^2", "x^2"),
            ("\\$5\\%", "5"),
            ("1 and 2", "1,2"),
            ("1,\\! 000", "1000"),
            ("1,000.00", "1000"),
            ("1,000,000,000", "1,000,000,000"),
            ("2.0000000001", "2"),
            ("-0", "0"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567168"),
            ("{1,2}", "1,2"),
            ("7 3/4", "7+3/4"),
            ("1 2 3", "1+23"),
            ("x 2 3", "x2+3"),
            ("1\\frac12", "1+1/2"),
            ("2\\sqrt{3}", "2sqrt(3)"),
            ("- 5x", "-5x"),
            ("3 million", "3*10^6"),
            ("ABC", "abc"),
            ("{", ""),
            ("", ""),
        ];
        for (answer, expected) in cases {
            assert_eq!(normalize(answer), expected, "{answer}");
        }
    }
}
