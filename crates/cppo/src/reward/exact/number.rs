//! Numbers as written, and when two of them are the same.

use super::super::symbolic::{Expression, Rational, approximate, exactly, nearly};
use super::formula::{Formula, formula};
use super::token::{Kind, Token};

/// Relative difference up to which values that are not both exact are the same.
pub(super) const TOLERANCE: f64 = 1e-9;

/// Size up to which a value that is not exact is 0.
const ZERO: f64 = 1e-12;

/// Decimals with fewer significant digits are not taken for rounded.
const MIN_SIGNIFICANT: usize = 3;

/// How exactly a decimal is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decimal {
    significant: usize,
    /// Half a unit in the last place.
    half: f64,
}

/// An expression that may be a decimal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number<'a> {
    pub value: Expression<'a>,
    /// Holds no decimal fraction.
    pub exact: bool,
    /// Of a number written as nothing but a decimal.
    pub decimal: Option<Decimal>,
}

impl<'a> Number<'a> {
    pub fn read(tokens: &[Token<'a>], upper: bool) -> Option<Self> {
        let Formula { value, exact } = formula(tokens, upper)?;
        let decimal = if exact { None } else { decimal(tokens) };
        Some(Self { value, exact, decimal })
    }

    /// A number without digits behind a decimal point.
    pub fn exact(value: Expression<'a>) -> Self {
        Self { value, exact: true, decimal: None }
    }

    /// The number times a constant.
    pub fn scaled(&self, factor: &Expression<'a>) -> Self {
        let size = approximate(factor, 1).map_or(0.0, |factor| factor.size());
        let decimal = self.decimal.map(|decimal| Decimal { half: decimal.half * size, ..decimal });
        let value = Expression::product(vec![self.value.clone(), factor.clone()]);
        Self { value, exact: self.exact, decimal }
    }

    /// The rule by which two numbers are the same.
    ///
    /// Expressions in variables have the same value everywhere. Constants have the same exact
    /// value, or differ by 1e-9 of their size where one is a decimal or irrational, or one is a
    /// decimal of three or more significant digits and the other, which is no decimal, rounds to it.
    pub fn same(&self, other: &Self) -> Option<&'static str> {
        if let (Expression::Number(here), Expression::Number(there)) = (&self.value, &other.value)
            && (here == there || self.exact && other.exact)
        {
            return (here == there).then_some("equal value");
        }
        let verdict = exactly(&self.value, &other.value);
        if verdict == Some(true) {
            return Some("equal value");
        }
        if !self.value.is_constant() || !other.value.is_constant() {
            let same = verdict.is_none() && nearly(&self.value, &other.value, TOLERANCE);
            return same.then_some("equal at sampled points");
        }
        if verdict == Some(false) && self.exact && other.exact {
            return None;
        }
        let (here, there) = (approximate(&self.value, 1)?, approximate(&other.value, 1)?);
        let vanish = verdict.is_none() && here.size().max(there.size()) <= ZERO;
        if vanish || here.is_within(TOLERANCE, there) {
            return Some("equal to 1e-9");
        }
        let decimal = match (self.decimal, other.decimal) {
            (Some(decimal), None) | (None, Some(decimal)) => decimal,
            _ => return None,
        };
        let rounds = here.distance(there) <= decimal.half * (1.0 + TOLERANCE);
        (decimal.significant >= MIN_SIGNIFICANT && rounds).then_some("correctly rounded")
    }
}

/// The exact value of a number as written, and its digits if it has a decimal point.
pub(super) fn literal<'a>(text: &str) -> Option<(Expression<'a>, Option<Decimal>)> {
    let (mantissa, scale) = match text.split_once(['e', 'E']) {
        Some((mantissa, scale)) => (mantissa, scale.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit);
    let places = i64::try_from(fraction.len()).ok()?;
    let power = scale.checked_sub(places)?;
    let mut value = integer(digits());
    if power != 0 {
        let scale = Expression::power(Expression::integer(10), Expression::integer(power));
        value = Expression::product(vec![value, scale]);
    }
    let decimal = mantissa.contains('.').then(|| Decimal {
        significant: digits().skip_while(|&digit| digit == b'0').count(),
        half: 0.5 * 10f64.powi(i32::try_from(power).unwrap_or(i32::MAX)),
    });
    Some((value, decimal))
}

/// An integer of any length: a sum of parts that fit.
fn integer<'a>(digits: impl Iterator<Item = u8>) -> Expression<'a> {
    const PART: usize = 18;
    let digits: Vec<u8> = digits.collect();
    let mut places = 0;
    let parts = digits.rchunks(PART).map(|part| {
        let value = part.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        let scale = Expression::power(Expression::integer(10), Expression::integer(places));
        places += PART as i64;
        Expression::product(vec![Expression::integer(value), scale])
    });
    Expression::sum(parts.collect())
}

/// The digits of tokens that are a decimal, signed or not, times a power of ten or not.
fn decimal(tokens: &[Token<'_>]) -> Option<Decimal> {
    let signs = tokens.iter().take_while(|token| token.is('-') || token.is('+')).count();
    let [first, rest @ ..] = &tokens[signs..] else { return None };
    let Kind::Number(text) = first.kind else { return None };
    let decimal = literal(text)?.1?;
    match rest {
        [] => Some(decimal),
        [times, ten, power, ..] => {
            let scale = times.is('*') && ten.kind == Kind::Number("10") && power.is('^');
            let scale = scale.then(|| formula(&rest[1..], true))??;
            let Expression::Number(scale) = scale.value else { return None };
            Some(Decimal { half: decimal.half * Rational::to_f64(scale), ..decimal })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn decimals_are_rounded_values() {
        let cases = [
            ("0.333", "1/3", Some("correctly rounded")),
            ("0.33", "1/3", None),
            ("0.334", "1/3", None),
            ("3.14", "\\pi", Some("correctly rounded")),
            ("3.142", "3.14", None),
            ("3.14159265", "\\pi", Some("correctly rounded")),
            ("3.14159265359000001", "\\pi", Some("equal to 1e-9")),
            ("6.28\\times10^3", "2000\\pi", Some("correctly rounded")),
            ("0.500", "1/2", Some("equal value")),
            ("0.51", "1/2", None),
            ("10000000001", "10000000000", None),
            ("1.0000000001", "1", Some("equal to 1e-9")),
            ("\\sin(\\pi)", "0", Some("equal to 1e-9")),
            ("1e-13", "0", None),
            ("22/7", "\\pi", None),
            ("x+0.5", "x+1/2", Some("equal value")),
            ("x", "x+1", None),
            ("\\sqrt{x^2}", "|x|", Some("equal at sampled points")),
        ];
        let read = |text| Number::read(&tokens(text).unwrap(), true).unwrap();
        for (left, right, rule) in cases {
            assert_eq!(read(left).same(&read(right)), rule, "{left} = {right}");
            assert_eq!(read(right).same(&read(left)), rule, "{right} = {left}");
        }
    }

    #[test]
    fn integers_of_any_length_are_exact() {
        let long = "123456789".repeat(60);
        let value = |text: &str| literal(text).unwrap().0;
        assert_eq!(exactly(&value(&long), &value(&format!("0{long}"))), Some(true));
        assert_eq!(exactly(&value(&long), &value(&format!("{long}0"))), Some(false));
        assert_eq!(exactly(&value(&long), &value(&format!("{long}e0"))), Some(true));
        assert!(literal("1e99999999999999999999").is_none());
    }
}
