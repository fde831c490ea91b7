//! String normalisation of the MATH dataset (Hendrycks et al., 2021), as mathruler applies it.

use super::strip_text;

/// One spelling for answers that LaTeX can write in several ways.
pub(super) fn normalize(answer: &str) -> String {
    let answer = answer.trim();
    let answer = strip_text(answer).map_or(answer, str::trim);
    strip_string(answer).unwrap_or_else(|| answer.to_owned())
}

/// `None` where a macro lacks its argument or units are ambiguous: such answers stay as they are.
fn strip_string(answer: &str) -> Option<String> {
    let mut text = answer.to_owned();
    for (from, to) in [
        ("\n", ""),
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
    ] {
        text = text.replace(from, to);
    }
    let mut parts = text.split("\\text{ ");
    let before_units = parts.next().unwrap_or_default();
    if parts.next().is_some() && parts.next().is_some() {
        return None;
    }
    let mut text = before_units.to_owned();
    for (from, to) in [("\\%", ""), ("%", ""), (" .", " 0."), ("{.", "{0.")] {
        text = text.replace(from, to);
    }
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    if let Some((name, value)) = text.split_once('=')
        && !value.contains('=')
        && name.chars().count() <= 2
    {
        text = value.to_owned();
    }
    let text = brace_roots(&text)?.replace(' ', "");
    let text = brace_fractions(&text)?;
    Some(match text.as_str() {
        "0.5" => "\\frac{1}{2}".to_owned(),
        _ => fraction_of_integers(&text).unwrap_or(text),
    })
}

/// `\sqrt3` to `\sqrt{3}`; `None` where nothing follows.
fn brace_roots(text: &str) -> Option<String> {
    let mut parts = text.split("\\sqrt");
    let mut braced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        braced.push_str("\\sqrt");
        match part.chars().next()? {
            '{' => braced.push_str(part),
            first => {
                braced.extend(['{', first, '}']);
                braced.push_str(&part[first.len_utf8()..]);
            }
        }
    }
    Some(braced)
}

/// `\frac12` to `\frac{1}{2}`; `None` where nothing follows, unchanged where one character does.
fn brace_fractions(text: &str) -> Option<String> {
    let mut parts = text.split("\\frac");
    let mut braced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        braced.push_str("\\frac");
        let mut chars = part.chars();
        let numerator = chars.next()?;
        if numerator == '{' {
            braced.push_str(part);
            continue;
        }
        let Some(denominator) = chars.next() else { return Some(text.to_owned()) };
        braced.extend(['{', numerator, '}']);
        match denominator {
            '{' => braced.push('{'),
            _ => braced.extend(['{', denominator, '}']),
        }
        braced.push_str(chars.as_str());
    }
    Some(braced)
}

/// `1/2` to `\frac{1}{2}`, for integers written without signs or zeros too many.
fn fraction_of_integers(text: &str) -> Option<String> {
    let (numerator, denominator) = text.split_once('/')?;
    let plain = |integer: &str| {
        let digits = integer.strip_prefix('-').unwrap_or(integer);
        integer == "0"
            || !digits.starts_with('0')
                && !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    (plain(numerator) && plain(denominator))
        .then(|| format!("\\frac{{{numerator}}}{{{denominator}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_answer_meet() {
        let cases = [
            ("\\tfrac12", "\\frac{1}{2}"),
            ("\\dfrac{3}4", "\\frac{3}4"),
            ("\\frac1{72}", "\\frac{1}{72}"),
            ("\\frac1", "\\frac1"),
            ("\\frac", "\\frac"),
            ("1/2", "\\frac{1}{2}"),
            ("-1/2", "\\frac{-1}{2}"),
            ("01/2", "01/2"),
            ("1/2/3", "1/2/3"),
            ("0.5", "\\frac{1}{2}"),
            (".25", "0.25"),
            ("\\sqrt3", "\\sqrt{3}"),
            ("\\sqrt", "\\sqrt"),
            ("\\left( 1, 2 \\right)", "(1,2)"),
            ("60^{\\circ}", "60"),
            ("12\\text{ cm}", "12"),
            ("1\\text{ a}\\text{ b}", "1\\text{ a}\\text{ b}"),
            ("\\text{ yes }", "yes"),
            ("x = 5", "5"),
            ("AB=5", "5"),
            ("ABC=5", "ABC=5"),
            ("x=y=5", "x=y=5"),
            ("\\$5\\%", "5"),
            ("é", "é"),
            ("", ""),
        ];
        for (answer, expected) in cases {
            assert_eq!(normalize(answer), expected, "{answer}");
        }
    }
}
