//! Symbolic equality, in the place of sympy's `simplify(a - b) == 0`.
//!
//! Two expressions are equal if they have the same value at fixed arbitrary points. With integer
//! powers and roots of numbers only, values are exact: residues modulo two primes, where chance
//! would have to hit twice in about 2⁶¹ (Schwartz-Zippel). Other roots, logarithms and symbolic
//! exponents are compared at complex points in floating point.

mod complex;
mod evaluate;
mod expression;
mod function;
mod identity;
mod modular;
mod normal;
mod parser;
mod rational;

use complex::Numeric;
use evaluate::evaluate;

pub(super) use expression::Expression;
pub(super) use function::Function;
pub(super) use identity::{approximate, exactly, nearly, ratio};
pub(super) use rational::Rational;

/// Identities that fail on one side of a branch cut hold at up to 3 in 4 points.
const POINTS: u64 = 32;

/// Longer decimals could pass for irrational numbers in floating point.
const MAX_DECIMALS: usize = 6;

/// Whether two texts spell the same expression; false where either is none.
///
/// Takes time linear in the texts; nothing is expanded.
pub(super) fn equal(left: &str, right: &str) -> bool {
    let (Some(left_value), Some(right_value)) = (parser::parse(left), parser::parse(right)) else {
        return false;
    };
    exactly(&left_value, &right_value).unwrap_or_else(|| {
        !has_long_decimals(left)
            && !has_long_decimals(right)
            && nearly_equal(&left_value, &right_value)
    })
}

fn nearly_equal(left: &Expression<'_>, right: &Expression<'_>) -> bool {
    (1..=POINTS).all(|point| {
        let field = Numeric { point, real: false };
        match (evaluate(&field, left), evaluate(&field, right)) {
            (Some(left), Some(right)) => left.is_near(right),
            _ => false,
        }
    })
}

fn has_long_decimals(text: &str) -> bool {
    text.split('.')
        .skip(1)
        .any(|decimals| decimals.bytes().take_while(u8::is_ascii_digit).count() > MAX_DECIMALS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_hold() {
        let pairs = [
            ("(x+1)^2", "x^2+2x+1"),
            ("(x^2-1)/(x-1)", "x+1"),
            ("(x+y)^9(x-y)^9", "(x^2-y^2)^9"),
            ("1/sqrt(3)", "sqrt(3)/3"),
            ("sqrt(12)", "2sqrt(3)"),
            ("sqrt(2)sqrt(3)", "sqrt(6)"),
            ("1/(sqrt(2)+sqrt(3))", "sqrt(3)-sqrt(2)"),
            ("sqrt(-2)^2", "-2"),
            ("0.5pi", "pi/2"),
            ("0.1+0.2", "0.3"),
            ("10^9*10^9*10^9*10^9*10^9", "(10^9)^5"),
            ("sqrt(4x)", "2sqrt(x)"),
            ("sqrt(4+2sqrt(3))", "1+sqrt(3)"),
            ("ln(4)", "2ln(2)"),
            ("4^x", "(2^x)^2"),
            ("0^0", "1"),
        ];
        for (left, right) in pairs {
            assert!(equal(left, right), "{left} = {right}");
        }
    }

    #[test]
    fn different_values_are_told_apart() {
        let pairs = [
            ("x", "y"),
            ("x", "x+1"),
            ("x/x", "2"),
            ("1/0", "1/0"),
            ("1/(x-x)", "1/(x-x)"),
            ("sqrt(2)", "1.4142135623730951"),
            ("pi", "3.141592653589793"),
            ("sqrt(4+2sqrt(3))", "2.7320508075688772"),
            ("sqrt(x^2)", "x"),
            ("sqrt(x)sqrt(y)", "sqrt(xy)"),
            ("ln(x^2)", "2ln(x)"),
            ("sqrt(-4)", "2i"),
            ("e", "2.718281828459045"),
            ("2305843009213693951", "0"),
            ("x", ""),
            ("x=1", "x=1"),
        ];
        for (left, right) in pairs {
            assert!(!equal(left, right), "{left} ≠ {right}");
        }
    }
}
