//! Sets of real numbers as unions of intervals.

use super::super::symbolic::{Expression, approximate};
use super::number::Number;

/// All numbers between two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Interval<'a> {
    pub low: Number<'a>,
    pub low_open: bool,
    pub high: Number<'a>,
    pub high_open: bool,
}

/// The bound of an interval without end.
pub(super) fn infinity<'a>() -> Number<'a> {
    Number::exact(Expression::Symbol("∞".into()))
}

pub(super) fn minus_infinity<'a>() -> Number<'a> {
    Number::exact(Expression::Symbol("∞".into()).negated())
}

/// Where a bound lies; `None` if that depends on a variable.
pub(super) fn position(bound: &Number<'_>) -> Option<f64> {
    match bound.value.normal().as_str() {
        "∞" => Some(f64::INFINITY),
        "-1*∞" => Some(f64::NEG_INFINITY),
        _ if bound.value.is_constant() => approximate(&bound.value, 1)
            .filter(|value| value.imaginary == 0.0)
            .map(|value| value.real),
        _ => None,
    }
}

impl<'a> Interval<'a> {
    pub fn all() -> Self {
        Self { low: minus_infinity(), low_open: true, high: infinity(), high_open: true }
    }

    pub fn point(value: Number<'a>) -> Self {
        Self { low: value.clone(), low_open: false, high: value, high_open: false }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.low_open == other.low_open
            && self.high_open == other.high_open
            && self.low.same(&other.low).is_some()
            && self.high.same(&other.high).is_some()
    }

    fn normal(&self) -> String {
        let (low, high) = (self.low.value.normal(), self.high.value.normal());
        if low == high && !self.low_open && !self.high_open {
            return format!("{{{low}}}");
        }
        let open = if self.low_open { '(' } else { '[' };
        let close = if self.high_open { ')' } else { ']' };
        format!("{open}{low}, {high}{close}")
    }
}

/// Intervals in order, those that touch or overlap as one; as they are if a bound is unknown.
pub(super) fn union(mut intervals: Vec<Interval<'_>>) -> Vec<Interval<'_>> {
    let places: Option<Vec<(f64, f64)>> = intervals
        .iter()
        .map(|interval| Some((position(&interval.low)?, position(&interval.high)?)))
        .collect();
    let Some(places) = places else {
        intervals.sort_by_cached_key(Interval::normal);
        return intervals;
    };
    let mut ordered: Vec<_> = intervals.into_iter().zip(places).collect();
    ordered.sort_by(|(left, (a, _)), (right, (b, _))| {
        a.total_cmp(b).then(left.low_open.cmp(&right.low_open))
    });
    let mut merged: Vec<(Interval<'_>, f64)> = Vec::with_capacity(ordered.len());
    for (interval, (low, high)) in ordered {
        match merged.last_mut() {
            Some((last, end))
                if low < *end || low == *end && !(interval.low_open && last.high_open) =>
            {
                if high > *end {
                    (last.high, last.high_open, *end) = (interval.high, interval.high_open, high);
                } else if high == *end {
                    last.high_open &= interval.high_open;
                }
            }
            _ => merged.push((interval, high)),
        }
    }
    merged.into_iter().map(|(interval, _)| interval).collect()
}

/// The numbers in both; `None` if a bound is unknown.
pub(super) fn intersection<'a>(
    left: &[Interval<'a>],
    right: &[Interval<'a>],
) -> Option<Vec<Interval<'a>>> {
    let mut both = Vec::new();
    for a in left {
        for b in right {
            let (low, low_open) = match position(&a.low)?.total_cmp(&position(&b.low)?) {
                std::cmp::Ordering::Less => (&b.low, b.low_open),
                std::cmp::Ordering::Equal => (&a.low, a.low_open || b.low_open),
                std::cmp::Ordering::Greater => (&a.low, a.low_open),
            };
            let (high, high_open) = match position(&a.high)?.total_cmp(&position(&b.high)?) {
                std::cmp::Ordering::Less => (&a.high, a.high_open),
                std::cmp::Ordering::Equal => (&a.high, a.high_open || b.high_open),
                std::cmp::Ordering::Greater => (&b.high, b.high_open),
            };
            let (from, to) = (position(low)?, position(high)?);
            if from < to || from == to && !low_open && !high_open {
                let (low, high) = (low.clone(), high.clone());
                both.push(Interval { low, low_open, high, high_open });
            }
        }
    }
    Some(union(both))
}

/// All numbers but these points.
pub(super) fn without<'a>(points: &[Number<'a>]) -> Option<Vec<Interval<'a>>> {
    let mut cuts = Vec::with_capacity(points.len());
    for point in points {
        cuts.push((position(point)?, point.clone()));
    }
    cuts.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut low = minus_infinity();
    let mut intervals = Vec::with_capacity(cuts.len() + 1);
    for (_, point) in cuts {
        let high = point.clone();
        intervals.push(Interval { low, low_open: true, high, high_open: true });
        low = point;
    }
    intervals.push(Interval { low, low_open: true, high: infinity(), high_open: true });
    Some(intervals)
}

pub(super) fn are_same(left: &[Interval<'_>], right: &[Interval<'_>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.is_same(right))
}

pub(super) fn normal(intervals: &[Interval<'_>]) -> String {
    let parts: Vec<String> = intervals.iter().map(Interval::normal).collect();
    if parts.is_empty() { "{}".into() } else { parts.join(" ∪ ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: i64, low_open: bool, high: i64, high_open: bool) -> Interval<'static> {
        let number = |value| Number::exact(Expression::integer(value));
        Interval { low: number(low), low_open, high: number(high), high_open }
    }

    #[test]
    fn intervals_that_touch_are_one() {
        let closed = |low, high| interval(low, false, high, false);
        let open = |low, high| interval(low, true, high, true);
        let cases = [
            (vec![closed(3, 4), closed(1, 2)], "[1, 2] ∪ [3, 4]"),
            (vec![open(1, 2), closed(2, 3)], "(1, 3]"),
            (vec![open(1, 2), open(2, 3)], "(1, 2) ∪ (2, 3)"),
            (vec![closed(1, 5), closed(2, 3), open(0, 1)], "(0, 5]"),
            (vec![Interval::point(Number::exact(Expression::integer(2)))], "{2}"),
            (vec![Interval::all(), closed(1, 2)], "(-1*∞, ∞)"),
            (vec![], "{}"),
        ];
        for (intervals, expected) in cases {
            assert_eq!(normal(&union(intervals)), expected);
        }
        let both = intersection(&[open(0, 3), closed(5, 6)], &[closed(3, 5), closed(1, 2)]);
        assert_eq!(normal(&both.unwrap()), "[1, 2] ∪ {5}");
        let points = [3, 1].map(|value| Number::exact(Expression::integer(value)));
        assert_eq!(normal(&without(&points).unwrap()), "(-1*∞, 1) ∪ (1, 3) ∪ (3, ∞)");
    }
}
