//! When two answers are the same.

use super::super::symbolic::{Expression, ratio};
use super::interval::are_same;
use super::number::Number;
use super::text::same_words;
use super::value::{Quantity, Value, product};

/// At most so many elements without order are matched where their normal forms differ.
const MAX_UNMATCHED: usize = 8;

/// The rule by which two answers are the same; `None` where they are not. Symmetric.
pub(super) fn same(left: &Value<'_>, right: &Value<'_>) -> Option<&'static str> {
    compared(left, right, false)
}

fn compared(left: &Value<'_>, right: &Value<'_>, unordered: bool) -> Option<&'static str> {
    let (here, there) = (left.normal(), right.normal());
    if here == there {
        return Some("same normal form");
    }
    if (rank(left), here) > (rank(right), there) {
        ordered(right, left, unordered)
    } else {
        ordered(left, right, unordered)
    }
}

/// The place of a kind of answer among those below, which meet in this order only.
fn rank(value: &Value<'_>) -> u8 {
    match value {
        Value::Choice { .. } => 0,
        Value::Assignment { .. } => 1,
        Value::Inequality { .. } => 2,
        Value::List(_) => 3,
        Value::Set(_) => 4,
        Value::Tuple { .. } => 5,
        Value::Intervals(_) => 6,
        Value::Ratio(_) => 7,
        Value::Clock(_) => 8,
        Value::Equation(_) => 9,
        Value::Relation { .. } => 10,
        Value::Shape(_) => 11,
        Value::Truth(_) => 12,
        Value::Quantity(_) => 13,
        Value::Text(_) => 14,
    }
}

fn ordered(left: &Value<'_>, right: &Value<'_>, unordered: bool) -> Option<&'static str> {
    let same = |left: &Value<'_>, right: &Value<'_>| compared(left, right, unordered);
    match (left, right) {
        (Value::Choice { letter, text }, other) => choice(*letter, text.as_deref(), other),
        (
            Value::Assignment { name, right, .. },
            Value::Assignment { name: other, right: value, .. },
        ) if name == other => same(right, value),
        (Value::Assignment { .. }, Value::Assignment { .. } | Value::Equation(_))
        | (Value::Equation(_), Value::Equation(_)) => {
            ratio(&left.difference()?, &right.difference()?).map(|_| "same equation")
        }
        (Value::Assignment { .. }, Value::Inequality { .. } | Value::Relation { .. }) => None,
        (Value::Assignment { right: value, .. }, other) => same(value, other),
        (
            Value::Inequality { sides, signs },
            Value::Inequality { sides: other, signs: other_signs },
        ) => inequalities((sides, signs), (other, other_signs)).or_else(|| {
            let ((name, here), (other, there)) = (left.solved()?, right.solved()?);
            (name == other && are_same(&here, &there)).then_some("same interval")
        }),
        (Value::Inequality { .. } | Value::Set(_), Value::Intervals(_) | Value::Tuple { .. })
        | (Value::List(_), Value::Intervals(_))
        | (Value::Tuple { .. }, Value::Intervals(_))
        | (Value::Intervals(_), Value::Intervals(_)) => {
            are_same(&left.as_intervals()?, &right.as_intervals()?).then_some("same interval")
        }
        (Value::List(items), Value::List(others)) if is_named(items) != is_named(others) => {
            in_order(items, others, unordered)
        }
        (Value::List(items), Value::List(others) | Value::Set(others))
        | (Value::Set(items), Value::Set(others))
        | (Value::Relation { sides: items, .. }, Value::Relation { sides: others, .. }) => {
            let sign = |value: &Value<'_>| match value {
                Value::Relation { sign, .. } => Some(*sign),
                _ => None,
            };
            (sign(left) == sign(right) && !unordered).then_some(())?;
            in_any_order(items, others)
        }
        (Value::List(items), Value::Tuple { open: '(' | '⟨' | 'c', items: others, .. }) => {
            in_order(items, others, unordered)
        }
        (Value::List(items), Value::Shape(shape)) => {
            let mut letters: Vec<_> = items.iter().map(Value::letter).collect::<Option<_>>()?;
            let names = shape.letters()?.iter().map(|name| name.chars().next().unwrap_or(' '));
            let mut names: Vec<char> = names.collect();
            letters.sort_unstable();
            names.sort_unstable();
            (letters == names).then_some("same options")
        }
        (Value::Set(items), other @ (Value::Quantity(_) | Value::Shape(_) | Value::Text(_))) => {
            let [item] = items.as_slice() else { return None };
            same(item, other)
        }
        (
            Value::Tuple { open, close, items },
            Value::Tuple { open: other_open, close: other_close, items: others },
        ) => {
            let brackets = kind(*open) == kind(*other_open) && kind(*close) == kind(*other_close)
                || "cm".contains(*open) && "([⟨cm".contains(*other_open)
                || "cm".contains(*other_open) && "([⟨".contains(*open);
            brackets.then(|| in_order(items, others, unordered))?
        }
        (Value::Ratio(ratio), Value::Ratio(other)) => ratio.is_same(other).then_some("same ratio"),
        (Value::Ratio(ratio), Value::Clock(clock)) => ratio.is_time(*clock).then_some("same time"),
        (Value::Clock(clock), Value::Clock(other)) => clock.is_same(*other).then_some("same time"),
        (Value::Ratio(ratio), Value::Quantity(quantity)) => {
            quantity.unit.is_none().then_some(())?;
            ratio.quotient()?.same(&quantity.number).map(|_| "same ratio")
        }
        (Value::Shape(shape), Value::Shape(other)) => shape.is_same(other).then_some("same figure"),
        (Value::Shape(shape), Value::Quantity(quantity)) => {
            let number = Number::exact(product(shape)?);
            quantity.unit.is_none().then(|| number.same(&quantity.number))?
        }
        (Value::Text(text), Value::Text(other)) => same_words(text, other).then_some("same words"),
        (Value::Shape(shape), Value::Text(text)) => (shape.word()? == *text).then_some("same word"),
        (Value::Quantity(quantity), Value::Quantity(other)) => {
            if let (Some(letter), Some(other)) = (left.letter(), right.letter()) {
                return (letter == other).then_some("same option");
            }
            quantities(quantity, other)
        }
        _ => None,
    }
}

/// Round and angle brackets are the same kind.
fn kind(bracket: char) -> char {
    match bracket {
        '⟨' => '(',
        '⟩' => ')',
        other => other,
    }
}

/// The letters decide, and texts where both have one; a text alone is compared with an answer.
fn choice(letter: char, text: Option<&Value<'_>>, other: &Value<'_>) -> Option<&'static str> {
    if let Some(other_letter) = other.letter() {
        let texts = match other {
            Value::Choice { text: Some(other), .. } => {
                text.is_none_or(|text| same(text, other).is_some())
            }
            _ => true,
        };
        return (letter == other_letter && texts).then_some("same option");
    }
    same(text?, other)
}

/// Whether elements are given by name, so that their order tells which is which.
fn is_named(items: &[Value<'_>]) -> bool {
    let mut names = items.iter().filter_map(|item| match item {
        Value::Assignment { name, .. } => Some(name),
        _ => None,
    });
    names.next().is_some_and(|first| names.any(|name| name != first))
}

fn in_order(items: &[Value<'_>], others: &[Value<'_>], unordered: bool) -> Option<&'static str> {
    let mut pairs = items.iter().zip(others);
    let same = items.len() == others.len()
        && pairs.all(|(item, other)| compared(item, other, unordered).is_some());
    same.then_some("same elements in order")
}

/// Elements of equal normal form are taken away, the few others matched with each other.
fn in_any_order(items: &[Value<'_>], others: &[Value<'_>]) -> Option<&'static str> {
    (items.len() == others.len()).then_some(())?;
    let (items, others) = (by_normal(items), by_normal(others));
    let (mut rest, mut other_rest) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < items.len() || j < others.len() {
        match (items.get(i), others.get(j)) {
            (Some((here, _)), Some((there, _))) if here == there => (i, j) = (i + 1, j + 1),
            (Some((here, item)), Some((there, _))) if here < there => {
                rest.push(*item);
                i += 1;
            }
            (Some((_, item)), None) => {
                rest.push(*item);
                i += 1;
            }
            (_, Some((_, other))) => {
                other_rest.push(*other);
                j += 1;
            }
            (None, None) => break,
        }
    }
    (rest.len() <= MAX_UNMATCHED && matches(&rest, &other_rest)).then_some("same elements")
}

fn by_normal<'v, 'a>(items: &'v [Value<'a>]) -> Vec<(String, &'v Value<'a>)> {
    let mut sorted: Vec<_> = items.iter().map(|item| (item.normal(), item)).collect();
    sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
    sorted
}

/// Whether the elements can be paired (Kuhn's algorithm, since being the same is not transitive).
fn matches(items: &[&Value<'_>], others: &[&Value<'_>]) -> bool {
    let edges: Vec<Vec<usize>> = items
        .iter()
        .map(|item| {
            let same = |other: &usize| compared(item, others[*other], true).is_some();
            (0..others.len()).filter(same).collect()
        })
        .collect();
    let mut partner = vec![None; others.len()];
    (0..items.len())
        .all(|item| augments(item, &edges, &mut partner, &mut vec![false; others.len()]))
}

fn augments(
    item: usize,
    edges: &[Vec<usize>],
    partner: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for &other in &edges[item] {
        if std::mem::replace(&mut seen[other], true) {
            continue;
        }
        if partner[other].is_none_or(|item| augments(item, edges, partner, seen)) {
            partner[other] = Some(item);
            return true;
        }
    }
    false
}

type Chain<'c, 'a> = (&'c [Expression<'a>], &'c [char]);

/// What each step of a chain says is not negative.
fn steps<'c, 'a>(sides: &'c [Expression<'a>]) -> impl Iterator<Item = Expression<'a>> + 'c {
    let difference =
        |pair: &[Expression<'a>]| Expression::sum(vec![pair[1].clone(), pair[0].clone().negated()]);
    sides.windows(2).map(difference)
}

/// Every step is a positive multiple of the other's, or any multiple for `≠`.
fn inequalities((sides, signs): Chain<'_, '_>, other: Chain<'_, '_>) -> Option<&'static str> {
    let (other_sides, other_signs) = other;
    (signs == other_signs && sides.len() == other_sides.len()).then_some(())?;
    let steps = steps(sides).zip(steps(other_sides));
    let same = steps.zip(signs).all(|((step, other), sign)| {
        ratio(&step, &other).is_some_and(|factor| factor > 0.0 || *sign == '≠')
    });
    same.then_some("same inequality")
}

/// A unit may be missing; percent and degrees also equal the number they stand for.
fn quantities(left: &Quantity<'_>, right: &Quantity<'_>) -> Option<&'static str> {
    for (with, other) in [(left, right), (right, left)] {
        if let Some(formula) = &with.formula
            && !other.number.value.is_constant()
        {
            return formula.same(&other.number);
        }
    }
    match (&left.unit, &right.unit) {
        (None, None) => left.number.same(&right.number),
        (Some(unit), Some(other)) => {
            let [factor, other_factor] = unit.factors(other)?;
            match factor == other_factor {
                true => left.number.same(&right.number),
                false => left.number.scaled(&factor).same(&right.number.scaled(&other_factor)),
            }
        }
        (Some(unit), None) | (None, Some(unit)) => {
            let without = || {
                let pure = unit.pure()?;
                match left.unit.is_some() {
                    true => left.number.scaled(&pure).same(&right.number),
                    false => left.number.same(&right.number.scaled(&pure)),
                }
            };
            left.number.same(&right.number).map(|_| "equal but for a missing unit").or_else(without)
        }
    }
}
