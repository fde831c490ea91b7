//! Inequalities of one variable: `-3 < 2x - 1 ≤ 5` and `|x - 1| < 2`.

use super::super::symbolic::{Expression, Function, Rational};
use super::interval::{self, Interval, position};
use super::number::Number;

/// Sums and products nested deeper are not taken apart.
const MAX_DEPTH: usize = 12;

/// `slope · name + offset`
struct Linear<'e, 'a> {
    name: &'e str,
    slope: Rational,
    offset: Expression<'a>,
}

/// The variable that constants bound, alone, in a linear expression or in the size of one, and the
/// values it may have. Each sign is `<` or `≤`.
pub(super) fn solved<'e, 'a>(
    sides: &'e [Expression<'a>],
    signs: &[char],
) -> Option<(&'e str, Vec<Interval<'a>>)> {
    (signs.len() + 1 == sides.len() && !signs.contains(&'≠')).then_some(())?;
    let place = sides.iter().position(|side| !is_bound(side))?;
    let bound = |place: usize| sides.get(place).map(|side| Number::exact(side.clone()));
    let (low, high) = match (place, sides.len()) {
        (0, 2) => (None, bound(1)),
        (1, 2) => (bound(0), None),
        (1, 3) => (bound(0), bound(2)),
        _ => return None,
    };
    (sides.iter().filter(|side| !is_bound(side)).count() == 1).then_some(())?;
    let open = |place: Option<&char>| place != Some(&'≤');
    let range = Interval {
        low_open: open(place.checked_sub(1).and_then(|place| signs.get(place))),
        low: low.unwrap_or_else(interval::minus_infinity),
        high_open: open(signs.get(place)),
        high: high.unwrap_or_else(interval::infinity),
    };
    match &sides[place] {
        Expression::Function(Function::Abs, argument) => {
            let linear = Linear::of(argument, 0)?;
            Some((linear.name, linear.within(&sizes(range)?)?))
        }
        side => {
            let linear = Linear::of(side, 0)?;
            Some((linear.name, linear.within(&[range])?))
        }
    }
}

/// Whether a side bounds another: a real constant or infinity.
fn is_bound(side: &Expression<'_>) -> bool {
    position(&Number::exact(side.clone())).is_some()
}

/// The numbers whose size lies in a range.
fn sizes(range: Interval<'_>) -> Option<Vec<Interval<'_>>> {
    let zero = Number::exact(Expression::integer(0));
    let positive = Interval { low: zero, low_open: false, ..Interval::all() };
    let upper = interval::intersection(&[range], &[positive])?;
    let lower = upper.iter().map(|part| Interval {
        low: negated(&part.high),
        low_open: part.high_open,
        high: negated(&part.low),
        high_open: part.low_open,
    });
    let lower: Vec<_> = lower.collect();
    Some(interval::union(lower.into_iter().chain(upper).collect()))
}

fn negated<'a>(bound: &Number<'a>) -> Number<'a> {
    Number::exact(match bound.value.normal().as_str() {
        "0" => Expression::integer(0),
        "-1*∞" => return interval::infinity(),
        _ => bound.value.clone().negated(),
    })
}

impl<'e, 'a> Linear<'e, 'a> {
    fn of(expression: &'e Expression<'a>, depth: usize) -> Option<Self> {
        (depth <= MAX_DEPTH).then_some(())?;
        let mut others = Vec::new();
        let mut inner = |parts: &'e [Expression<'a>]| {
            let mut found = None;
            for part in parts {
                if part.is_constant() {
                    others.push(part.clone());
                } else if found.replace(part).is_some() {
                    return None;
                }
            }
            found
        };
        match expression {
            Expression::Symbol(name) if name != "∞" => {
                Some(Self { name, slope: Rational::ONE, offset: Expression::integer(0) })
            }
            Expression::Sum(terms) => {
                let linear = Self::of(inner(terms)?, depth + 1)?;
                others.push(linear.offset);
                Some(Self { offset: Expression::sum(others), ..linear })
            }
            Expression::Product(factors) => {
                let linear = Self::of(inner(factors)?, depth + 1)?;
                let Expression::Number(factor) = Expression::product(others) else { return None };
                let slope = linear.slope.mul(factor).filter(|slope| slope.numerator() != 0)?;
                let offset = Expression::product(vec![linear.offset, Expression::Number(factor)]);
                Some(Self { slope, offset, ..linear })
            }
            _ => None,
        }
    }

    /// The values of the variable for which the expression lies in one of the ranges.
    fn within(&self, ranges: &[Interval<'a>]) -> Option<Vec<Interval<'a>>> {
        let inverse = self.slope.recip()?;
        let falls = inverse.numerator() < 0;
        let solve = |bound: &Number<'a>| {
            let infinite = bound.value.normal().contains('∞');
            match (infinite, falls) {
                (true, false) => bound.clone(),
                (true, true) => negated(bound),
                (false, _) => {
                    let less = self.offset.clone().negated();
                    let shifted = Expression::sum(vec![bound.value.clone(), less]);
                    let factor = Expression::Number(inverse);
                    Number::exact(Expression::product(vec![shifted, factor]))
                }
            }
        };
        let solved = ranges.iter().map(|range| {
            let (low, high) = (solve(&range.low), solve(&range.high));
            let Interval { low_open, high_open, .. } = *range;
            match falls {
                false => Interval { low, low_open, high, high_open },
                true => Interval { low: high, low_open: high_open, high: low, high_open: low_open },
            }
        });
        Some(interval::union(solved.collect()))
    }
}
