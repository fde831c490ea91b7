//! Numbers in answers, read and written as Python's `float` and `int` do.

/// Python's `float(text)`: spaces around and underscores between digits are allowed.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    if !text.contains('_') {
        return text.parse().ok();
    }
    let bytes = text.as_bytes();
    let between_digits = |place: usize| {
        place > 0
            && bytes[place - 1].is_ascii_digit()
            && bytes.get(place + 1).is_some_and(u8::is_ascii_digit)
    };
    (0..bytes.len()).all(|place| bytes[place] != b'_' || between_digits(place)).then_some(())?;
    text.replace('_', "").parse().ok()
}

/// The nearest integer, where `value` is within 1e-7 of it.
pub(super) fn nearest_integer(value: f64) -> Option<String> {
    is_near_integer(value).then(|| digits(value.round_ties_even()))
}

/// The integer part.
pub(super) fn truncated(value: f64) -> String {
    digits(value.trunc())
}

/// Whether the text is an integer, its thousands separated or not.
pub(super) fn is_integer(text: &str) -> bool {
    parse(&strip_thousands(text)).is_some_and(is_near_integer)
}

/// Whether the text is a fraction of two integers; one further character may follow each.
pub(super) fn is_fraction(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (numerator, rest) = unsigned.split_at(digits(unsigned));
    let mut after = rest.chars();
    let denominator = rest.strip_prefix('/').or_else(|| {
        after.next().filter(|&char| char != '\n')?;
        after.as_str().strip_prefix('/')
    });
    !numerator.is_empty()
        && denominator.is_some_and(|denominator| {
            let (integer, rest) = denominator.split_at(digits(denominator));
            integer.bytes().any(|digit| digit != b'0') && rest.chars().count() <= 1
        })
}

/// Removes the commas that mathruler takes for thousands separators: those before three digits
/// and a character that is no digit. A number with three or more commas keeps some of them.
pub(super) fn strip_thousands(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let stripped = strip_thousands_once(&text);
        if stripped.len() == text.len() {
            return stripped;
        }
        text = stripped;
    }
}

/// One pass from left to right; a comma that ends one group of three does not start another.
fn strip_thousands_once(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
    let mut stripped = String::with_capacity(text.len());
    let (mut copied, mut place) = (0, 1);
    while place < bytes.len() {
        let separates = bytes[place] == b','
            && place > copied
            && digit(place - 1)
            && (1..=3).all(|offset| digit(place + offset))
            && !digit(place + 4);
        if separates {
            stripped.push_str(&text[copied..place]);
            stripped.push_str(&text[place + 1..place + 4]);
            let ending = text[place + 4..].chars().next();
            stripped.extend(ending);
            copied = place + 4 + ending.map_or(0, char::len_utf8);
            place = copied;
        }
        place += 1;
    }
    stripped + &text[copied..]
}

fn is_near_integer(value: f64) -> bool {
    (value - value.round_ties_even()).abs() <= 1e-7
}

/// All digits of an integral value, without a sign on zero.
fn digits(value: f64) -> String {
    format!("{:.0}", value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_python() {
        let cases = [
            (" 5. ", Some(5.0)),
            ("+.5", Some(0.5)),
            ("1_000", Some(1000.0)),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("1,000", None),
            ("", None),
            (".", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        assert_eq!(nearest_integer(-0.0).as_deref(), Some("0"));
        assert_eq!(nearest_integer(-1e-9).as_deref(), Some("0"));
        assert_eq!(nearest_integer(f64::INFINITY), None);
        assert_eq!(nearest_integer(1e22).as_deref(), Some("10000000000000000000000"));
        assert_eq!(truncated(-0.5), "0");
    }

    #[test]
    fn thousands_lose_their_commas_as_in_mathruler() {
        let cases = [
            ("1,000", "1000"),
            ("1,000,000", "1000000"),
            ("1,000,000,000", "1000,000000"),
            ("(1,000,2)", "(1000,2)"),
            ("1,0000", "1,0000"),
            ("1,00", "1,00"),
            (",000", ",000"),
            ("1,000é2,000", "1000é2000"),
            ("1,000,", "1000,"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(strip_thousands(text), expected, "{text}");
        }
    }

    #[test]
    fn fractions_are_two_integers() {
        let yes = ["1/2", "-3/04", "1)/2", "1/2x", "12/20", "1/2é"];
        let no = ["1/0", "1", "/2", "1/x", "1/2xy", "--1/2", "1xy/2", "1/2/3", "", "1//2", "-/2"];
        for (texts, expected) in [(&yes[..], true), (&no[..], false)] {
            for text in texts {
                assert_eq!(is_fraction(text), expected, "{text}");
            }
        }
    }
}
