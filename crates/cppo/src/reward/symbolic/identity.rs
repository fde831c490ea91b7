//! Whether two expressions are the same function, or multiples of each other.

use super::complex::{Complex, Numeric};
use super::evaluate::{Domain, evaluate};
use super::expression::Expression;
use super::modular::{Modular, PRIMES};

/// Functions that agree on half of all sign patterns of two symbols pass with chance 2⁻¹⁶.
const REAL_POINTS: u64 = 16;

/// Equality by exact arithmetic; `None` where an operation has no exact value.
pub(in crate::reward) fn exactly(left: &Expression<'_>, right: &Expression<'_>) -> Option<bool> {
    for prime in PRIMES {
        let field = Modular { prime, point: 0 };
        if evaluate(&field, left)? != evaluate(&field, right)? {
            return Some(false);
        }
    }
    Some(true)
}

/// Equality within a relative tolerance at real points of either sign.
pub(in crate::reward) fn nearly(
    left: &Expression<'_>,
    right: &Expression<'_>,
    tolerance: f64,
) -> bool {
    // Where both have no value, as ln(0) has none, the point says nothing.
    let mut points = 0;
    for point in 1..=REAL_POINTS {
        match (approximate(left, point), approximate(right, point)) {
            (Some(left), Some(right)) if left.is_within(tolerance, right) => points += 1,
            (None, None) => {}
            _ => return false,
        }
    }
    points > 0
}

/// Value in floating point, symbols being real.
pub(in crate::reward) fn approximate(expression: &Expression<'_>, point: u64) -> Option<Complex> {
    evaluate(&Numeric { point, real: true }, expression)
        .filter(|value| value.real.is_finite() && value.imaginary.is_finite())
}

/// The real constant `left / right`, if there is one other than 0.
pub(in crate::reward) fn ratio(left: &Expression<'_>, right: &Expression<'_>) -> Option<f64> {
    if is_multiple(left, right) == Some(false) {
        return None;
    }
    let mut ratio: Option<Complex> = None;
    let field = Numeric { point: 0, real: true };
    for point in 1..=REAL_POINTS {
        let (Some(left), Some(right)) = (approximate(left, point), approximate(right, point))
        else {
            continue;
        };
        let quotient = quotient(&field, left, right)?;
        if !ratio.get_or_insert(quotient).is_within(1e-9, quotient) {
            return None;
        }
    }
    ratio.filter(|ratio| ratio.imaginary.abs() <= 1e-9 * ratio.size()).map(|ratio| ratio.real)
}

fn quotient(field: &Numeric, left: Complex, right: Complex) -> Option<Complex> {
    (left.size() > 0.0).then_some(())?;
    Some(field.mul(left, field.recip(right)?))
}

/// Whether left(p)·right(q) = left(q)·right(p) at two points, in exact arithmetic.
fn is_multiple(left: &Expression<'_>, right: &Expression<'_>) -> Option<bool> {
    for prime in PRIMES {
        let [here, there] = [1, 2].map(|point| Modular { prime, point });
        let crossed = here.mul(evaluate(&here, left)?, evaluate(&there, right)?);
        if crossed != here.mul(evaluate(&there, left)?, evaluate(&here, right)?) {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    #[test]
    fn multiples_are_found_with_their_factor() {
        let cases = [
            ("2*x-6", "x-3", Some(2.0)),
            ("3-x", "x-3", Some(-1.0)),
            ("x^2-4", "pi*x^2-4*pi", Some(1.0 / std::f64::consts::PI)),
            ("x*(x-3)", "x-3", None),
            ("x-3", "y-3", None),
            ("x-x", "y-3", None),
            ("ln(x)", "2*ln(x)", Some(0.5)),
            ("ln(x)", "ln(y)", None),
        ];
        for (left, right, expected) in cases {
            let found = ratio(&parse(left).unwrap(), &parse(right).unwrap());
            match (found, expected) {
                (Some(found), Some(expected)) => assert!((found / expected - 1.0).abs() < 1e-9),
                _ => assert_eq!(found, expected, "{left} / {right}"),
            }
        }
    }

    #[test]
    fn real_points_have_either_sign() {
        let same = |left, right| nearly(&parse(left).unwrap(), &parse(right).unwrap(), 1e-9);
        assert!(same("sqrt(x^2)^2", "x^2"));
        assert!(!same("sqrt(x^2)", "x"));
        assert!(!same("1/0", "1/0"));
    }
}
