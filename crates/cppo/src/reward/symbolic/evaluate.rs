//! The value of an expression in a field.

use super::complex::mix;
use super::expression::Expression;
use super::function::Function;
use super::rational::Rational;

/// A field in which expressions have values; `None` where an operation has none.
pub(super) trait Domain {
    type Value: Copy;

    fn number(&self, value: Rational) -> Option<Self::Value>;
    /// The value of an unknown; equal seeds have equal values.
    fn symbol(&self, seed: u64) -> Self::Value;
    /// As an unknown: pi satisfies no algebraic equation.
    fn pi(&self) -> Self::Value {
        self.symbol(mix(u64::MAX))
    }
    /// As an unknown, like pi.
    fn e(&self) -> Self::Value {
        self.symbol(mix(u64::MAX - 1))
    }
    fn add(&self, left: Self::Value, right: Self::Value) -> Self::Value;
    fn mul(&self, left: Self::Value, right: Self::Value) -> Self::Value;
    fn recip(&self, value: Self::Value) -> Option<Self::Value>;
    /// Square root of a square-free integer with these prime factors.
    fn radical(&self, primes: &[u64], negative: bool) -> Self::Value;
    fn sqrt(&self, value: Self::Value) -> Option<Self::Value>;
    fn ln(&self, value: Self::Value) -> Option<Self::Value>;
    fn power(&self, base: Self::Value, exponent: Self::Value) -> Option<Self::Value>;
    fn function(&self, function: Function, value: Self::Value) -> Option<Self::Value>;
}

/// Evaluates in time linear in the expression.
pub(super) fn evaluate<D: Domain>(field: &D, expression: &Expression<'_>) -> Option<D::Value> {
    let value = |part: &Expression<'_>| evaluate(field, part);
    match expression {
        Expression::Number(number) => field.number(*number),
        Expression::Pi => Some(field.pi()),
        Expression::E => Some(field.e()),
        Expression::Symbol(name) => {
            Some(field.symbol(name.bytes().fold(0, |seed, byte| mix(seed + 1 + u64::from(byte)))))
        }
        Expression::Sum(terms) => {
            let (first, rest) = terms.split_first()?;
            rest.iter().try_fold(value(first)?, |sum, term| Some(field.add(sum, value(term)?)))
        }
        Expression::Product(factors) => {
            let (first, rest) = factors.split_first()?;
            rest.iter()
                .try_fold(value(first)?, |part, factor| Some(field.mul(part, value(factor)?)))
        }
        Expression::Power(base, exponent) => {
            let base = value(base)?;
            match &**exponent {
                Expression::Number(number) if number.denominator() == 1 => {
                    integer_power(field, base, number.to_integer()?)
                }
                exponent => field.power(base, value(exponent)?),
            }
        }
        Expression::Radical { primes, negative } => Some(field.radical(primes, *negative)),
        Expression::Sqrt(argument) => field.sqrt(value(argument)?),
        Expression::Ln(argument) => field.ln(value(argument)?),
        Expression::Function(function, argument) => field.function(*function, value(argument)?),
    }
}

fn integer_power<D: Domain>(field: &D, base: D::Value, exponent: i64) -> Option<D::Value> {
    let mut base = if exponent < 0 { field.recip(base)? } else { base };
    let mut rest = exponent.unsigned_abs();
    let mut power = field.number(Rational::ONE)?;
    while rest > 0 {
        if rest & 1 == 1 {
            power = field.mul(power, base);
        }
        base = field.mul(base, base);
        rest >>= 1;
    }
    Some(power)
}
