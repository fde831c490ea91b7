//! Grading as the Python package mathruler does, without sympy.

mod hendrycks;
mod latex;
mod number;
mod prm800k;
mod symbols;

use super::{Verdict, symbolic};

/// Longer answers are compared as normalised strings only.
const MAX_BYTES: usize = 1024;

/// Whether `given` answers as `truth` does, with mathruler's verdict.
///
/// In this order: equal strings after the normalisation of MATH, or after that of PRM800K, are
/// right. Then tuples and intervals are compared element by element: two fractions must be the
/// same string (`2/4` is not `1/2`), an integer equals no other form, and anything else must be
/// symbolically equal, if it has at most two distinct letters and no exponent of several
/// characters. Braces of `\frac{a+b}{2}` and the index of `\sqrt[3]{2}` are lost, as there.
///
/// Where sympy rounds, this is exact (`0.1+0.2` is `0.3`). Takes time linear in the answers,
/// and answers above 1024 bytes are compared as normalised strings only.
pub fn grade(given: &str, truth: &str) -> bool {
    verdict(given, truth).correct
}

/// [`grade`] with the step that decided; normal forms are those of the last step.
pub(super) fn verdict(given: &str, truth: &str) -> Verdict {
    let (answer, expected) = (hendrycks::normalize(given), hendrycks::normalize(truth));
    if answer == expected {
        let rule = "same string as MATH normalises it";
        return Verdict { correct: true, rule, answer, truth: expected };
    }
    let (answer, truth) = (prm800k::normalize(given), prm800k::normalize(truth));
    let rule = if answer == truth {
        Some("same string as PRM800K normalises it")
    } else {
        let readable = !answer.is_empty() && answer.len().max(truth.len()) <= MAX_BYTES;
        (readable && elements_agree(&answer, &truth)).then_some("symbolically equal elements")
    };
    Verdict { correct: rule.is_some(), rule: rule.unwrap_or("different"), answer, truth }
}

fn elements_agree(given: &str, truth: &str) -> bool {
    let given_plain = number::strip_thousands(given);
    let truth_plain = number::strip_thousands(truth);
    let given_elements = elements(&given_plain);
    let truth_elements = elements(&truth_plain);
    let ends = |text: &str| (text.chars().next(), text.chars().next_back());
    if given_elements.len() != truth_elements.len()
        || truth_elements.len() > 1 && ends(given) != ends(truth)
    {
        return false;
    }
    given_elements.iter().zip(truth_elements).all(|(given, truth)| element_agrees(given, truth))
}

fn element_agrees(given: &str, truth: &str) -> bool {
    if number::is_fraction(given) && number::is_fraction(truth) {
        return given == truth;
    }
    number::is_integer(given) == number::is_integer(truth)
        && has_few_letters(given, truth)
        && has_plain_exponents(given)
        && has_plain_exponents(truth)
        && symbolic::equal(given, truth)
}

/// The elements of a tuple or interval; anything else is one element.
fn elements(text: &str) -> Vec<&str> {
    const BRACKETS: [char; 4] = ['(', ')', '[', ']'];
    if text.is_empty() {
        return Vec::new();
    }
    text.strip_prefix(BRACKETS)
        .and_then(|text| text.strip_suffix(BRACKETS))
        .filter(|inner| !inner.is_empty() && !inner.contains(BRACKETS))
        .map_or_else(|| vec![text], |inner| inner.split(',').map(str::trim).collect())
}

/// At most two distinct letters in both, not counting `sqrt` and `frac`.
fn has_few_letters(given: &str, truth: &str) -> bool {
    let mut seen = Vec::with_capacity(2);
    for text in [given, truth] {
        let text = text.replace("sqrt", "").replace("frac", "");
        for letter in text.chars().filter(|char| char.is_alphabetic()) {
            if !seen.contains(&letter) {
                if seen.len() == 2 {
                    return false;
                }
                seen.push(letter);
            }
        }
    }
    true
}

/// No exponent in brackets, of two or more digits, or with an exponent of its own.
fn has_plain_exponents(text: &str) -> bool {
    let mut exponents = text.split('^').skip(1).peekable();
    while let Some(exponent) = exponents.next() {
        let digits = exponent.bytes().take_while(u8::is_ascii_digit).count();
        let tower = digits > 0 && digits == exponent.len() && exponents.peek().is_some();
        if exponent.starts_with(['(', '{']) || digits > 1 || tower {
            return false;
        }
    }
    true
}

/// What `\text{…}` holds, where it is the whole answer.
fn strip_text(answer: &str) -> Option<&str> {
    let line = answer.strip_suffix('\n').unwrap_or(answer);
    line.strip_prefix("\\text{")?
        .strip_suffix('}')
        .filter(|text| !text.is_empty() && !text.contains('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Verdicts of mathruler 14dadeb with sympy 1.14 and pylatexenc 2.11: `verdict given → truth`.
    const VERDICTS: &str = include_str!("verdicts.txt");

    #[test]
    fn every_verdict_is_mathrulers() {
        let mut wrong = Vec::new();
        for line in VERDICTS.lines().filter(|line| !line.starts_with('#')) {
            let (verdict, pair) = line.split_once(' ').unwrap();
            let (given, truth) = pair.split_once(" → ").unwrap();
            if grade(given, truth) != (verdict == "true") {
                wrong.push(line);
            }
        }
        assert!(VERDICTS.lines().count() > 300);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn long_answers_are_compared_as_strings() {
        let long = "1+".repeat(MAX_BYTES / 2) + "x";
        assert!(grade(&long, &long.replace('x', " X cm")));
        assert!(!grade(&long, &long.replace('x', "x+0")));
        let short = "1+".repeat(MAX_BYTES / 2 - 1) + "x";
        assert!(grade(&short, &format!("{}+x", MAX_BYTES / 2 - 1)));
    }

    #[test]
    fn hostile_answers_take_little_time() {
        let hostile = [
            "(",
            "-",
            "x^",
            "2^",
            "((x+1)",
            "1/",
            "√",
            "\\sqrt{",
            "\\sqrt[",
            "\\frac",
            "\\frac{1}{",
            "{",
            "!",
            "\\hat{",
            "\\begin{pmatrix}",
            "\\label{",
            "1,000,",
            "sqrt(999983+",
            "x!",
            "^ ",
            "sqrt(999983)+",
            "9^9*",
            "x^y+",
            "cm ",
            "1 ",
            "0.1+",
            "(x+y)^9*",
        ];
        for piece in hostile {
            for bytes in [MAX_BYTES, 40 * MAX_BYTES] {
                let given = piece.repeat(bytes / piece.len() - 1) + "x";
                let start = std::time::Instant::now();
                assert!(!grade(&given, "1+x/7"));
                assert!(start.elapsed().as_millis() < 250, "{piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_graded(given in ".*", truth in ".*") {
            grade(&given, &truth);
        }

        #[test]
        fn any_mathematical_texts_are_graded(
            given in "([-+*/^(){}\\[\\],.=! 0-9xyπe]|\\\\(frac|sqrt|pi|text|left|hat|begin|end|,|\\\\)|sqrt|pi|ln|cm|1/2){0,40}",
            truth in "([-+*/^() 0-9xy]|\\\\(frac|sqrt|pi)|sqrt){0,12}",
        ) {
            grade(&given, &truth);
        }

        #[test]
        fn what_is_not_empty_equals_itself(answer in ".+") {
            prop_assert!(grade(&answer, &answer));
        }

        #[test]
        fn sums_equal_their_reordering(a in 2..99u32, b in 2..99u32, c in 2..99u32) {
            let given = format!("{a}x^2+{b}x-\\sqrt{{{c}}}");
            let right = format!("x({b}+{a}x)-\\sqrt{{{c}}}");
            let wrong = format!("x({b}+{a}x)-\\sqrt{{{}}}", c + 1);
            prop_assert!(grade(&given, &right));
            prop_assert!(!grade(&given, &wrong));
        }
    }
}
