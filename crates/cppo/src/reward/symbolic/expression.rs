//! Expressions, with constants folded as they are built.

use std::borrow::Cow;

use super::function::Function;
use super::rational::Rational;

/// Primes up to this size are divided out of what stands under a root.
const TRIAL_DIVISORS: u64 = 1000;

/// An expression in named symbols, pi and exact numbers.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::reward) enum Expression<'a> {
    Number(Rational),
    Pi,
    E,
    Symbol(Cow<'a, str>),
    Sum(Vec<Expression<'a>>),
    Product(Vec<Expression<'a>>),
    Power(Box<Expression<'a>>, Box<Expression<'a>>),
    /// Square root of a square-free integer, given by its prime factors and sign.
    Radical {
        primes: Vec<u64>,
        negative: bool,
    },
    Sqrt(Box<Expression<'a>>),
    Ln(Box<Expression<'a>>),
    Function(Function, Box<Expression<'a>>),
}

use Expression::{Ln, Number, Power, Product, Radical, Sqrt, Sum};

impl<'a> Expression<'a> {
    pub fn integer(value: i64) -> Self {
        Number(Rational::integer(value))
    }

    pub fn sum(terms: Vec<Self>) -> Self {
        Self::fold(terms, Rational::ZERO, Rational::add, Sum)
    }

    pub fn product(factors: Vec<Self>) -> Self {
        Self::fold(factors, Rational::ONE, Rational::mul, Product)
    }

    fn fold(
        mut parts: Vec<Self>,
        start: Rational,
        combine: fn(Rational, Rational) -> Option<Rational>,
        keep: fn(Vec<Self>) -> Self,
    ) -> Self {
        let value = parts.iter().try_fold(start, |value, part| match part {
            Number(number) => combine(value, *number),
            _ => None,
        });
        match value {
            Some(value) => Number(value),
            None if parts.len() == 1 => parts.remove(0),
            None => keep(parts),
        }
    }

    pub fn negated(self) -> Self {
        Self::product(vec![Self::integer(-1), self])
    }

    pub fn recip(self) -> Self {
        Self::power(self, Self::integer(-1))
    }

    pub fn power(base: Self, exponent: Self) -> Self {
        if let (Number(base), Number(exponent)) = (&base, &exponent)
            && let Some(value) = exponent.to_integer().and_then(|exponent| base.pow(exponent))
        {
            return Number(value);
        }
        Power(Box::new(base), Box::new(exponent))
    }

    /// Of a number: a rational times the root of a square-free integer.
    pub fn sqrt(argument: Self) -> Self {
        let Number(number) = argument else { return Sqrt(Box::new(argument)) };
        root(number).unwrap_or_else(|| Sqrt(Box::new(argument)))
    }

    pub fn ln(argument: Self) -> Self {
        Ln(Box::new(argument))
    }

    /// Of a small whole number only.
    pub fn factorial(argument: Self) -> Option<Self> {
        let Number(number) = argument else { return None };
        let number = number.to_integer().filter(|number| (0..=33).contains(number))?;
        let mut value = Rational::ONE;
        for factor in 2..=number {
            value = value.mul(Rational::integer(factor))?;
        }
        Some(Number(value))
    }
}

fn root<'a>(number: Rational) -> Option<Expression<'a>> {
    let under = number.numerator().checked_mul(number.denominator())?;
    let mut rest = u64::try_from(under.unsigned_abs()).ok()?;
    if rest == 0 {
        return Some(Number(Rational::ZERO));
    }
    let (mut outside, mut primes) = (1i128, Vec::new());
    for divisor in 2..=TRIAL_DIVISORS {
        if divisor * divisor > rest {
            break;
        }
        while rest % (divisor * divisor) == 0 {
            rest /= divisor * divisor;
            outside *= i128::from(divisor);
        }
        if rest % divisor == 0 {
            rest /= divisor;
            primes.push(divisor);
        }
    }
    let square_root = rest.isqrt();
    if square_root * square_root == rest {
        outside *= i128::from(square_root);
    } else {
        // Two primes above the divisors tried stay together as if they were one.
        primes.push(rest);
    }
    let outside = Number(Rational::new(outside, number.denominator())?);
    let negative = under < 0;
    if primes.is_empty() && !negative {
        return Some(outside);
    }
    Some(Expression::product(vec![outside, Radical { primes, negative }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_numbers_have_a_normal_form() {
        let cases = [
            ((4, 1), (2, 1), vec![], false),
            ((12, 1), (2, 1), vec![3], false),
            ((1, 2), (1, 2), vec![2], false),
            ((-8, 9), (2, 3), vec![2], true),
            ((-1, 1), (1, 1), vec![], true),
            ((0, 5), (0, 1), vec![], false),
            ((360, 1), (6, 1), vec![2, 5], false),
            ((1_000_003 * 4, 1), (2, 1), vec![1_000_003], false),
            ((1_018_081, 1), (1009, 1), vec![], false),
        ];
        for ((numerator, denominator), outside, primes, negative) in cases {
            let argument = Number(Rational::new(numerator, denominator).unwrap());
            let outside = Number(Rational::new(outside.0, outside.1).unwrap());
            let expected = match primes.is_empty() && !negative {
                true => outside,
                false => Product(vec![outside, Radical { primes, negative }]),
            };
            assert_eq!(Expression::sqrt(argument), expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn constants_fold_until_they_overflow() {
        let two = Expression::integer(2);
        let power = |exponent| Expression::power(two.clone(), Expression::integer(exponent));
        assert_eq!(power(10), Expression::integer(1024));
        assert!(matches!(power(500), Power(..)));
        assert_eq!(Expression::integer(0).recip().recip(), {
            let zero = Expression::integer(0).recip();
            Power(Box::new(zero), Box::new(Expression::integer(-1)))
        });
        assert_eq!(Expression::factorial(Expression::integer(5)), Some(Expression::integer(120)));
        assert_eq!(Expression::factorial(Expression::integer(34)), None);
        assert_eq!(Expression::factorial(Expression::integer(-1)), None);
        assert_eq!(Expression::factorial(Expression::Pi), None);
    }
}
