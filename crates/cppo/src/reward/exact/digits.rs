//! Reads numbers: mixed, in other bases than ten, with digits that repeat.

use super::super::symbolic::{Expression, Rational};
use super::formula::Parser;
use super::number::literal;
use super::token::{Kind, Token};

/// Numbers in another base than ten have no more tokens.
const MAX_DIGITS: usize = 16;

impl<'a> Parser<'a> {
    /// A number as it stands.
    pub fn decimal(&mut self, text: &str) -> Option<Expression<'a>> {
        self.place += 1;
        let (value, decimal) = literal(text)?;
        self.exact &= decimal.is_none();
        Some(value)
    }

    /// A number, or a mixed number.
    pub fn number(&mut self, text: &'a str) -> Option<Expression<'a>> {
        if let Some(value) = self.in_base() {
            return Some(value);
        }
        self.place += 1;
        let (value, decimal) = literal(text)?;
        if let Some(repetend) = self.repetend() {
            return repeating(text, &repetend);
        }
        self.exact &= decimal.is_none();
        if decimal.is_none() && (self.is_plain_fraction() || self.is_spaced_fraction()) {
            let numerator = self.factor_of_fraction()?;
            return Some(Expression::sum(vec![value, numerator]));
        }
        Some(value)
    }

    /// A whole number with its base below: `1011_2`, `1A_{16}`.
    fn in_base(&mut self) -> Option<Expression<'a>> {
        let tokens = self.tokens.get(self.place..)?;
        let below = tokens.iter().take(MAX_DIGITS).position(|token| token.is('_'))?;
        let (digits, behind) = tokens.split_at(below);
        let (base, length) = match &behind[1..] {
            [open, base, close, ..] if open.is('{') && close.is('}') => (base, 4),
            [base, ..] => (base, 2),
            [] => return None,
        };
        let Kind::Number(base) = base.kind else { return None };
        let base = base.parse().ok().filter(|base| (2..=36).contains(base))?;
        let mut value = 0i64;
        for (place, token) in digits.iter().enumerate() {
            let (Kind::Number(text) | Kind::Word(text)) = token.kind else { return None };
            (place == 0 || !token.spaced).then_some(())?;
            // Small letters are variables.
            text.bytes().all(|byte| !byte.is_ascii_lowercase()).then_some(())?;
            for digit in text.chars() {
                value =
                    value.checked_mul(base)?.checked_add(digit.to_digit(base as u32)?.into())?;
            }
        }
        self.place += below + length;
        Some(Expression::integer(value))
    }

    /// The digits under a bar, or from one dot to another.
    fn repetend(&mut self) -> Option<String> {
        let marked = |tokens: &[Token<'a>], marks: &[&str]| match tokens {
            [mark, open, digits, close, ..] if open.is('{') && close.is('}') => {
                let marks = marks.iter().any(|name| mark.kind == Kind::Command(name));
                (marks, digits.kind)
            }
            _ => (false, Kind::End),
        };
        let rest = self.tokens.get(self.place..)?;
        if let (true, Kind::Number(digits)) = marked(rest, &["overline", "bar"]) {
            self.place += 4;
            return Some(digits.to_owned());
        }
        let (true, Kind::Number(first)) = marked(rest, &["dot"]) else { return None };
        let mut repetend = first.to_owned();
        let (between, last) = match rest.get(4).map(|token| token.kind) {
            Some(Kind::Number(digits)) => (digits, 5),
            _ => ("", 4),
        };
        self.place += 4;
        if let (true, Kind::Number(digits)) = marked(rest.get(last..)?, &["dot"]) {
            repetend = repetend + between + digits;
            self.place += last;
        }
        Some(repetend)
    }

    /// Whether `\frac` of two whole numbers comes next.
    fn is_plain_fraction(&self) -> bool {
        let Some(Kind::Command("frac" | "dfrac" | "tfrac" | "nicefrac" | "sfrac")) = self.kind()
        else {
            return false;
        };
        let whole = |token: &Token<'_>| matches!(token.kind, Kind::Number(text) if text.bytes().all(|byte| byte.is_ascii_digit()));
        match &self.tokens[self.place + 1..] {
            [both, ..] if matches!(both.kind, Kind::Number(text) if text.len() == 2) => true,
            [first, second, ..] if whole(first) && whole(second) => true,
            [a, first, b, c, second, d, ..] => {
                a.is('{') && whole(first) && b.is('}') && c.is('{') && whole(second) && d.is('}')
            }
            _ => false,
        }
    }

    /// Whether a fraction of two numbers comes next, as in `7 3/4`.
    fn is_spaced_fraction(&self) -> bool {
        let rest = self.tokens.get(self.place..).unwrap_or_default();
        let [first, slash, second, ..] = rest else { return false };
        let number = |token: &Token<'_>| matches!(token.kind, Kind::Number(_));
        number(first) && first.spaced && slash.is('/') && number(second)
    }

    fn factor_of_fraction(&mut self) -> Option<Expression<'a>> {
        if let Some(Kind::Command(_)) = self.kind() {
            return self.primary();
        }
        let mut parts = Vec::with_capacity(2);
        for _ in 0..2 {
            let Some(Kind::Number(text)) = self.kind() else { return None };
            parts.push(literal(text)?.0);
            self.place += 2;
        }
        self.place -= 1;
        let denominator = parts.pop()?.recip();
        parts.push(denominator);
        Some(Expression::product(parts))
    }
}

/// A decimal whose last digits repeat without end, as in `0.1\overline{6}`.
fn repeating<'a>(text: &str, repetend: &str) -> Option<Expression<'a>> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(fraction) && digits(repetend)).then_some(())?;
    let ten = Rational::integer(10);
    let scale = ten.pow(repetend.len().try_into().ok()?)?.add(Rational::integer(-1))?;
    let scale = scale.mul(ten.pow(fraction.len().try_into().ok()?)?)?;
    let tail = Rational::integer(repetend.parse().ok()?).mul(scale.recip()?)?;
    Some(Expression::sum(vec![literal(text)?.0, Expression::Number(tail)]))
}
