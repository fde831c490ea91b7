//! Reads equations, inequalities and other relations.

use super::super::symbolic::{Expression, Rational};
use super::interval::{self, Interval};
use super::number::Number;
use super::read::{items, value};
use super::shape::Shape;
use super::split::split;
use super::text;
use super::token::{Kind, Token};
use super::value::Value;

/// Signs that relate what stands at their sides.
const SIGNS: &str = "=≈<>≤≥≠∈∥⊥≅∼";

/// No answer relates more sides.
const MAX_SIDES: usize = 8;

/// The relation that the tokens spell, if a sign outside of brackets relates them.
pub(super) fn relation<'a>(tokens: &[Token<'a>], depth: usize) -> Option<Value<'a>> {
    let is_sign = |token: Token<'a>| matches!(token.kind, Kind::Sign(sign) if SIGNS.contains(sign));
    let sides = split(tokens, is_sign);
    (2..=MAX_SIDES).contains(&sides.len()).then_some(())?;
    let mut place = 0;
    let signs: Vec<char> = sides[..sides.len() - 1]
        .iter()
        .filter_map(|side| {
            place += side.len() + 1;
            match tokens[place - 1].kind {
                Kind::Sign(sign) => Some(sign),
                _ => None,
            }
        })
        .collect();
    if signs.iter().all(|sign| "=≈".contains(*sign)) {
        equation(&sides, &signs, depth)
    } else if signs.iter().all(|sign| "<>≤≥≠".contains(*sign)) {
        inequality(&sides, &signs)
    } else if let (['∈'], [_, set]) = (signs.as_slice(), sides.as_slice()) {
        let set = value(set, depth + 1);
        Some(set.as_intervals().map_or(set, Value::Intervals))
    } else if let ([sign], [left, right]) = (signs.as_slice(), sides.as_slice()) {
        let sides = vec![value(left, depth + 1), value(right, depth + 1)];
        Some(Value::Relation { sign: *sign, sides })
    } else {
        None
    }
}

fn equation<'a>(sides: &[&[Token<'a>]], signs: &[char], depth: usize) -> Option<Value<'a>> {
    // What stands before "≈" is exact.
    let about = signs.iter().position(|sign| *sign == '≈').filter(|place| *place > 0);
    let sides = &sides[..about.map_or(sides.len(), |place| place + 1)];
    let [first, .., last] = sides else { return None };
    let side = |tokens: &[Token<'a>]| value(tokens, depth + 1);
    if first.is_empty() || last.is_empty() {
        return Some(side(if first.is_empty() { last } else { first }));
    }
    if let Some((name, left)) = name(first) {
        return Some(Value::Assignment { name, left, right: Box::new(side(last)) });
    }
    if let ([_, _], Some((name, left))) = (sides, name(last)) {
        return Some(Value::Assignment { name, left, right: Box::new(side(first)) });
    }
    // A point or vector by the names of its parts.
    if let (Value::Tuple { items: names, .. }, right @ Value::Tuple { .. }) =
        (side(first), side(last))
    {
        let named = |item: &Value<'_>| item.as_number().is_some_and(|name| is_name(&name.value));
        return names.iter().all(named).then_some(right);
    }
    let (left, right) = (Number::read(first, true)?, Number::read(last, true)?);
    if left.value.is_constant() && right.value.is_constant() {
        // A computation has its result last, or before "≈".
        return Some(if signs.starts_with(&['≈']) { side(first) } else { side(last) });
    }
    Some(Value::Equation(Expression::sum(vec![left.value, right.value.negated()])))
}

/// What can be given a value: letters and their products and quotients, figures, functions of
/// something unknown, and words.
fn name<'a>(tokens: &[Token<'a>]) -> Option<(String, Option<Expression<'a>>)> {
    if let Some(shape) = Shape::read(tokens) {
        let left = Number::read(tokens, true).map(|number| number.value);
        return Some((shape.normal(), left));
    }
    if let Some(number) = Number::read(tokens, true) {
        let call = matches!(
            tokens,
            [function, open, ..] if open.is('(') && !open.spaced
                && matches!(function.kind, Kind::Word(word) if word.len() == 1)
        );
        return (call || is_name(&number.value))
            .then(|| (number.value.normal(), Some(number.value)));
    }
    let words = tokens.iter().any(|token| matches!(token.kind, Kind::Word(word) if word.len() > 1));
    words.then(|| (text::normal(tokens), None))
}

fn is_name(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::Symbol(name) => name != "∞",
        Expression::Function(_, argument) => !argument.is_constant(),
        Expression::Product(factors) => factors.iter().all(is_name),
        Expression::Power(base, exponent) => {
            is_name(base) && **exponent == Expression::Number(Rational::integer(-1))
        }
        _ => false,
    }
}

fn inequality<'a>(sides: &[&[Token<'a>]], signs: &[char]) -> Option<Value<'a>> {
    if let [[], bound] = sides {
        return half_line(Number::read(bound, true)?, signs[0]);
    }
    let read = |side: &&[Token<'a>]| {
        Number::read(side, true).map(|number| number.value).or_else(|| {
            let shape = Shape::read(side)?;
            Some(Expression::Symbol(shape.normal().into()))
        })
    };
    let mut sides = sides.iter().map(read).collect::<Option<Vec<_>>>()?;
    let mut signs = signs.to_vec();
    let falls = |sign: &char| ">≥".contains(*sign);
    if signs.iter().all(falls) {
        sides.reverse();
        signs.reverse();
        for sign in &mut signs {
            *sign = if *sign == '>' { '<' } else { '≤' };
        }
    }
    let one_way = !signs.iter().any(falls) && (signs.len() == 1 || !signs.contains(&'≠'));
    one_way.then_some(Value::Inequality { sides, signs })
}

/// The numbers to one side of a bound, as in "> 3".
fn half_line<'a>(bound: Number<'a>, sign: char) -> Option<Value<'a>> {
    let open = "<>".contains(sign);
    Some(Value::Intervals(match sign {
        '>' | '≥' => vec![Interval {
            low: bound,
            low_open: open,
            high: interval::infinity(),
            high_open: true,
        }],
        '<' | '≤' => vec![Interval {
            low: interval::minus_infinity(),
            low_open: true,
            high: bound,
            high_open: open,
        }],
        _ => interval::without(&[bound])?,
    }))
}

/// Unions and differences of sets of numbers.
pub(super) fn set_operation<'a>(tokens: &[Token<'a>], depth: usize) -> Option<Value<'a>> {
    let union = |token: Token<'a>| token.is('∪') || token.kind == Kind::Word("U");
    let parts = split(tokens, union);
    if parts.len() > 1 {
        let mut intervals = Vec::with_capacity(parts.len());
        for part in parts {
            intervals.extend(value(part, depth + 1).as_intervals()?);
        }
        return Some(Value::Intervals(interval::union(intervals)));
    }
    let operation = |sign| split(tokens, move |token: Token<'a>| token.is(sign));
    if let [left, right] = operation('∖').as_slice() {
        let Value::Set(points) = value(right, depth + 1) else { return None };
        let points: Option<Vec<_>> = points.iter().map(|item| item.as_number().cloned()).collect();
        let whole = value(left, depth + 1).as_intervals()?;
        let rest = interval::intersection(&whole, &interval::without(&points?)?)?;
        return Some(Value::Intervals(rest));
    }
    if let [left, right] = operation('∩').as_slice() {
        let (left, right) = (value(left, depth + 1), value(right, depth + 1));
        let both = interval::intersection(&left.as_intervals()?, &right.as_intervals()?)?;
        return Some(Value::Intervals(both));
    }
    None
}

/// Inequalities for one variable as the numbers it may be: in any of them, or in all of them.
pub(super) fn combined<'a>(parts: &[Value<'a>], all: bool) -> Option<Value<'a>> {
    let (first, rest) = parts.split_first()?;
    let (name, mut intervals) = first.solved()?;
    for part in rest {
        let (other, more) = part.solved()?;
        (other == name).then_some(())?;
        match all {
            true => intervals = interval::intersection(&intervals, &more)?,
            false => intervals.extend(more),
        }
    }
    Some(Value::Intervals(interval::union(intervals)))
}

/// What a set holds: its elements, or numbers with a property.
pub(super) fn set<'a>(tokens: &[Token<'a>], depth: usize) -> Value<'a> {
    let bar = tokens.iter().position(|token| token.is('|') || token.is(':'));
    if let Some(bar) = bar.filter(|bar| *bar > 0) {
        let property = value(&tokens[bar + 1..], depth + 1);
        if let Some(intervals) = property.as_intervals() {
            return Value::Intervals(interval::union(intervals));
        }
    }
    let mut items = items(tokens, depth);
    items.sort_by_cached_key(Value::normal);
    items.dedup_by_key(|item| item.normal());
    Value::Set(items)
}
