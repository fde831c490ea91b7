//! Our own grader: what an answer means decides, not how it is written.
//!
//! An answer goes from text to tokens, from tokens to a value, and two values are compared.

mod command;
mod compare;
mod compound;
mod digits;
mod extract;
mod formula;
mod interval;
mod letters;
mod linear;
mod names;
mod number;
mod plain;
mod proportion;
mod read;
mod relation;
mod shape;
mod split;
mod text;
mod token;
mod unit;
mod value;

use super::Verdict;

pub use extract::extract_answer;

/// Longer answers are compared as text.
const MAX_BYTES: usize = 1024;

/// Whether `given` answers as `truth` does, by meaning.
///
/// - **Numbers** are exact: `2/4` is `1/2`, `10^{100}` is not `10^{100}+1`. Where one is a decimal
///   or irrational, 1e-9 of their size may part them. A decimal of three or more significant
///   digits also equals a value that is no decimal and rounds to it: `0.333` is `1/3`, `3.14` is
///   `\pi`, but `0.33` is not `1/3` and `3.14` not `3.142`.
///   Ordinals are their numbers: `third` and `3rd` are `3`; `1011_2` is `11`.
/// - **Expressions** have equal values modulo two primes, or, with roots, logarithms and functions
///   of variables, at 16 real points of either sign. `i` and `e` are constants, `log` has base 10.
/// - **Equations** are equal if one is a multiple of the other; `x = 3` is `3`, but not `y = 3`.
///   Inequalities are equal if one is a positive multiple, or if both bound a variable to the same
///   interval: `x > 3` is `3 < x` and `(3, \infty)`, `|x - 1| < 2` is `-1 < x < 3`.
/// - **Lists** `1, 2` have no order, unless compared with `(1, 2)` or `x = 1, y = 2`. Sets have
///   none either; a set of one is its element. Tuples have an order and their brackets: `(1, 2)`
///   is not `[1, 2]`. Rows and columns are tuples.
/// - **Units** may be missing in one answer; else both must measure the same, and are converted:
///   `5 cm` is `5` and `0.05 m`, but not `5 m` or `5 cm^2`. `25%` is `25` and `0.25`; `60°` is `60`
///   and `\pi/3`. A noun that is counted is a unit as well. `2 hours 30 minutes` is `150 minutes`,
///   `30°30'` is `30.5°`.
/// - **Ratios** are reduced; one of two parts is its quotient. Two times of day, `4:20` and `2:10`,
///   are not; `3:30 PM` is `15:30`, and one of two times may lack its half of the day.
/// - **Options** are equal by letter, of either case, and by text where both have one. A text
///   also equals an option's text.
/// - **Figures**: `AB` is `BA`, `∠ABC` is `∠CBA`, triangles have any order, polygons go around.
/// - Anything else is compared as words, without case, punctuation and leading articles.
///
/// Being the same is symmetric, and whatever is not empty is the same as itself. The time is
/// linear in the answers up to 1024 bytes and bounded there; longer ones are compared as text.
pub(super) fn grade(given: &str, truth: &str) -> Verdict {
    let texts = [given, truth].map(plain::plain);
    let answers = [&texts[0], &texts[1]].map(|text| Answer::read(text));
    let rule = match (&answers[0], &answers[1]) {
        (Answer::Empty, _) | (_, Answer::Empty) => Err("empty answer"),
        (Answer::Value(given), Answer::Value(truth)) => {
            compare::same(given, truth).ok_or("different")
        }
        (given, truth) => match given.normal() == truth.normal() {
            true => Ok("same text"),
            false => Err("different"),
        },
    };
    let [answer, truth] = answers.map(|answer| answer.normal());
    Verdict { correct: rule.is_ok(), rule: rule.unwrap_or_else(|rule| rule), answer, truth }
}

/// An answer, as far as it is read.
enum Answer<'a> {
    Empty,
    Value(value::Value<'a>),
    /// Too long, or nested too deep.
    Text(&'a str),
}

impl<'a> Answer<'a> {
    fn read(text: &'a str) -> Self {
        let text = text.trim();
        let text = extract::last_box(text).unwrap_or(text);
        let text = extract::after_lead(text).unwrap_or(text);
        let bold = text.strip_prefix("**").and_then(|text| text.strip_suffix("**"));
        let text = bold.filter(|text| !text.trim().is_empty()).unwrap_or(text);
        if text.is_empty() {
            return Self::Empty;
        }
        if text.len() > MAX_BYTES {
            return Self::Text(text);
        }
        let raw = text;
        let (letter, text) = match text::option(text) {
            Some((letter, rest)) => (Some(letter), rest),
            None => (None, text),
        };
        let Some(tokens) = token::tokens(text) else { return Self::Text(raw) };
        let text = (!tokens.is_empty()).then(|| read::value(&tokens, 0));
        match (letter, text) {
            (Some(letter), text) => {
                Self::Value(value::Value::Choice { letter, text: text.map(Box::new) })
            }
            (None, Some(value::Value::Text(words))) if words.is_empty() => Self::Text(raw),
            (None, Some(value)) => Self::Value(value),
            (None, None) => Self::Text(raw),
        }
    }

    fn normal(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Value(value) => value.normal(),
            Self::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `verdict given → truth`.
    const VERDICTS: &str = include_str!("verdicts.txt");

    /// Nothing takes longer, times ten without optimisation.
    const MAX_MILLIS: u128 = if cfg!(debug_assertions) { 500 } else { 50 };

    fn is_right(given: &str, truth: &str) -> bool {
        grade(given, truth).correct
    }

    #[test]
    fn every_verdict_is_as_listed_in_either_direction() {
        let mut wrong = Vec::new();
        for line in VERDICTS.lines().filter(|line| !line.starts_with('#')) {
            let (verdict, pair) = line.split_once(' ').unwrap();
            let (given, truth) = pair.split_once(" → ").unwrap();
            for (given, truth) in [(given, truth), (truth, given)] {
                let found = grade(given, truth);
                if found.correct != (verdict == "true") {
                    wrong.push(format!("{line}: {found:?}"));
                }
                let itself = grade(given, given);
                if itself.correct == given.is_empty() {
                    wrong.push(format!("{given}: {itself:?}"));
                }
            }
        }
        assert!(VERDICTS.lines().count() > 400);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn verdicts_say_what_decided() {
        let cases = [
            ("0.50", "1/2", true, "same normal form", "1/2", "1/2"),
            ("\\sqrt{12}", "3.464", true, "correctly rounded", "2*sqrt(3)", "433/125"),
            ("x<3", "3>x", true, "same normal form", "x < 3", "x < 3"),
            ("(1,2)", "[1,2]", false, "different", "(1, 2)", "[1, 2]"),
            ("5 cm", "5", true, "equal but for a missing unit", "1/20 m", "5"),
            ("", "5", false, "empty answer", "", "5"),
        ];
        for (given, truth, correct, rule, answer, expected) in cases {
            let (answer, expected) = (answer.to_owned(), expected.to_owned());
            let verdict = Verdict { correct, rule, answer, truth: expected };
            assert_eq!(grade(given, truth), verdict, "{given} → {truth}");
        }
    }

    #[test]
    fn long_answers_are_compared_as_text() {
        let long = "1+".repeat(MAX_BYTES) + "x";
        assert!(is_right(&long, &format!(" {long}\n")));
        assert!(!is_right(&long, &format!("{}+x", MAX_BYTES)));
    }

    #[test]
    fn hostile_answers_take_little_time() {
        let pieces = [
            "(",
            ")",
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
            "2\\frac{1}",
            "{",
            "{1,",
            "\\{",
            "\\{1,",
            "!",
            "1000000!",
            "170!+",
            "\\text{",
            "\\begin{pmatrix}",
            "1,",
            ",",
            "1,000,",
            "10^",
            "9^9^9*",
            "10^{10^{10}}+",
            "x!+",
            "|",
            "|x|+",
            "\\sin ",
            "\\sin x+",
            "\\ln(x)+",
            "\\sqrt{x}+",
            "x^y+",
            "x=",
            "x<",
            "1<x or ",
            "(1,2)\\cup",
            "x,y,",
            "{x},",
            "(x,1),",
            "1:",
            "1_2",
            "1A",
            "_",
            "0.\\dot{1}",
            "30°1'",
            "\\$",
            "about 1",
            "A'(",
            "line ",
            "AB,",
            "ABC",
            "∠",
            "cm ",
            "1 cm ",
            "cm/",
            "5 apples ",
            "Yes, ",
            "A. ",
            "\\pm ",
            "1\\pm x,",
            "e^",
            "i",
            "0.1+",
            "99999",
            "1e9",
            "1e999999*",
            "\\boxed{",
            "\\left(",
            "(x+y)^9*",
            "\\binom{999}{500}+",
            "x/2+",
            "\\sqrt{999983}+",
            "=1",
            "\\\\",
            "&",
            "ℝ∖",
            "…",
            "1 h 30 min ",
            "1 day, ",
            "2h",
            "|x|<",
            "1<|x-",
            "2(x-1)<",
            "third ",
            "twenty-first ",
            "3rd ",
            "a ",
            "of ",
            "²",
            "½",
        ];
        for piece in pieces {
            for bytes in [MAX_BYTES - 2, 4 * MAX_BYTES] {
                let given = piece.repeat(bytes / piece.len()) + "x";
                for truth in ["1+x/7", &format!("{given} "), &format!("x+{given}")] {
                    let time = || {
                        let start = std::time::Instant::now();
                        grade(&given, truth);
                        start.elapsed().as_millis()
                    };
                    // Something else may have had the processor once.
                    let took = (0..3).map(|_| time()).find(|took| *took < MAX_MILLIS);
                    assert!(took.is_some(), "{piece}: more than {MAX_MILLIS} ms");
                }
            }
        }
    }

    /// Pieces of answers, so that many of their sequences are answers.
    const ANSWERS: &str = "([-+*/^(){}\\[\\],.=<!:|% 0-9xyABπe]|\\\\(frac|sqrt|pi|text|left|pm|cup|infty|begin|end|sin|ln|,|\\\\|\\{|\\})|\\\\(frac12|le|ge|angle)|sqrt|cm| m| h| min|or|and|yes|third|3rd|1/2|∈|∪|∠|°){0,12}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_texts_are_graded_alike_in_either_direction(given in ".*", truth in ".*") {
            prop_assert_eq!(is_right(&given, &truth), is_right(&truth, &given));
        }

        #[test]
        fn any_answers_are_graded_alike_in_either_direction(given in ANSWERS, truth in ANSWERS) {
            prop_assert_eq!(is_right(&given, &truth), is_right(&truth, &given), "{} → {}", given, truth);
        }

        #[test]
        fn what_is_not_empty_equals_itself(answer in ANSWERS, other in ".+") {
            for answer in [answer, other] {
                let empty = grade(&answer, &answer).rule == "empty answer";
                prop_assert!(is_right(&answer, &answer) || empty, "{}", answer);
                let plain = plain::plain(&answer);
                prop_assert!(!empty || plain.trim().is_empty() || plain.contains("box"));
            }
        }

        #[test]
        fn rational_numbers_equal_their_multiples_only(a in -99..99i32, b in 1..99i32, c in 1..9i32) {
            let given = format!("\\frac{{{}}}{{{}}}", a * c, b * c);
            let right = format!("{a}/{b}");
            let wrong = format!("{}/{b}", a + 1);
            prop_assert!(is_right(&given, &right));
            prop_assert!(!is_right(&given, &wrong));
        }

        #[test]
        fn sums_equal_their_reordering_only(a in 2..99u32, b in 2..99u32, c in 2..99u32) {
            let given = format!("{a}x^2+{b}x-\\sqrt{{{c}}}");
            let right = format!("x({b}+{a}x)-\\sqrt{{{c}}}");
            let wrong = format!("x({b}+{a}x)-\\sqrt{{{}}}", c + 1);
            prop_assert!(is_right(&given, &right));
            prop_assert!(!is_right(&given, &wrong));
        }

        #[test]
        fn sets_have_no_order_and_tuples_have_one(a in 0..50u32, b in 51..99u32) {
            let set = |a, b| format!("\\{{{a}, {b}\\}}");
            let tuple = |a, b| format!("({a}, {b})");
            prop_assert!(is_right(&set(a, b), &set(b, a)));
            prop_assert!(!is_right(&tuple(a, b), &tuple(b, a)));
            prop_assert!(!is_right(&tuple(a, b), &set(a, b)));
        }
    }
}
