//! What an answer means.

use super::super::symbolic::Expression;
use super::interval::{self, Interval};
use super::linear;
use super::number::Number;
use super::proportion::{Clock, Ratio};
use super::relation::combined;
use super::shape::Shape;
use super::unit::Unit;

/// A number or expression with its unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantity<'a> {
    pub number: Number<'a>,
    pub unit: Option<Unit>,
    /// The reading in which the unit's letters are variables.
    pub formula: Option<Box<Number<'a>>>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// An option with its text.
    Choice {
        letter: char,
        text: Option<Box<Value<'a>>>,
    },
    /// `name = value`.
    Assignment {
        name: String,
        left: Option<Expression<'a>>,
        right: Box<Value<'a>>,
    },
    /// `sides[0] < sides[1] …`, each sign being `<`, `≤` or `≠`.
    Inequality {
        sides: Vec<Expression<'a>>,
        signs: Vec<char>,
    },
    /// Elements between commas or "and", of no order.
    List(Vec<Value<'a>>),
    Set(Vec<Value<'a>>),
    /// Elements in brackets; a row or column opens with `c`, a matrix and its rows with `m`.
    Tuple {
        open: char,
        close: char,
        items: Vec<Value<'a>>,
    },
    Intervals(Vec<Interval<'a>>),
    Ratio(Ratio<'a>),
    Clock(Clock),
    /// An expression that is 0.
    Equation(Expression<'a>),
    /// Two figures in a relation that has no direction.
    Relation {
        sign: char,
        sides: Vec<Value<'a>>,
    },
    Shape(Shape),
    /// Yes or no.
    Truth(bool),
    Quantity(Box<Quantity<'a>>),
    Text(String),
}

impl<'a> Value<'a> {
    pub fn number(number: Number<'a>) -> Self {
        Self::Quantity(Box::new(Quantity { number, unit: None, formula: None }))
    }

    /// The number, if it is one without a unit.
    pub fn as_number(&self) -> Option<&Number<'a>> {
        match self {
            Self::Quantity(quantity) if quantity.unit.is_none() => Some(&quantity.number),
            _ => None,
        }
    }

    /// The letter of an option or of a name of one letter.
    pub fn letter(&self) -> Option<char> {
        match self {
            Self::Choice { letter, .. } => Some(*letter),
            _ => match &self.as_number()?.value {
                Expression::Symbol(name) if name.len() == 1 => {
                    let letter = name.chars().next()?.to_ascii_uppercase();
                    ('A'..='J').contains(&letter).then_some(letter)
                }
                // Euler's number is the letter of an option as well, and so is the imaginary unit.
                Expression::E => Some('E'),
                Expression::Radical { primes, negative: true } if primes.is_empty() => Some('I'),
                _ => None,
            },
        }
    }

    /// A set of real numbers, if it can be one.
    pub fn as_intervals(&self) -> Option<Vec<Interval<'a>>> {
        match self {
            Self::Intervals(intervals) => Some(intervals.clone()),
            Self::Set(items) => {
                let points =
                    items.iter().map(|item| item.as_number().cloned().map(Interval::point));
                points.collect::<Option<_>>().map(interval::union)
            }
            Self::Tuple { open: open @ ('(' | '['), close: close @ (')' | ']'), items } => {
                let [low, high] = items.as_slice() else { return None };
                Some(vec![Interval {
                    low: low.as_number()?.clone(),
                    low_open: *open == '(',
                    high: high.as_number()?.clone(),
                    high_open: *close == ')',
                }])
            }
            Self::List(items) => {
                // Conditions hold together, unless they cannot.
                let of = |all| match combined(items, all) {
                    Some(Value::Intervals(intervals)) => Some(intervals),
                    _ => None,
                };
                of(true).filter(|both| !both.is_empty()).or_else(|| of(false))
            }
            Self::Inequality { .. } => self.solved().map(|(_, intervals)| intervals),
            _ => None,
        }
    }

    /// The variable that an inequality bounds, and the values it may have.
    pub fn solved(&self) -> Option<(&str, Vec<Interval<'a>>)> {
        let Self::Inequality { sides, signs } = self else { return None };
        if let Some(solved) = linear::solved(sides, signs) {
            return Some(solved);
        }
        let place = sides
            .iter()
            .position(|side| matches!(side, Expression::Symbol(name) if name != "∞"))?;
        let Expression::Symbol(name) = &sides[place] else { return None };
        let bound = |side: &Expression<'a>| Number::exact(side.clone());
        let others = sides.iter().enumerate().filter(|(other, _)| *other != place);
        let free = others
            .into_iter()
            .all(|(_, side)| !matches!(side, Expression::Symbol(other) if other == name));
        (free && sides.len() <= 3).then_some(())?;
        if signs.contains(&'≠') {
            let [left, right] = sides.as_slice() else { return None };
            let point = if place == 0 { right } else { left };
            return Some((name, interval::without(&[bound(point)])?));
        }
        (place <= 1 && sides.len() - place <= 2).then_some(())?;
        let (low, low_open) = match place {
            0 => (interval::minus_infinity(), true),
            _ => (bound(&sides[0]), signs[0] == '<'),
        };
        let (high, high_open) = match sides.get(place + 1) {
            None => (interval::infinity(), true),
            Some(side) => (bound(side), signs[place] == '<'),
        };
        Some((name, vec![Interval { low, low_open, high, high_open }]))
    }

    /// The expression that an equation says is 0.
    pub fn difference(&self) -> Option<Expression<'a>> {
        match self {
            Self::Equation(difference) => Some(difference.clone()),
            Self::Assignment { left: Some(left), right, .. } => {
                let right = match &**right {
                    Value::Shape(shape) => product(shape)?,
                    right => right.as_number()?.value.clone(),
                };
                Some(Expression::sum(vec![left.clone(), right.negated()]))
            }
            _ => None,
        }
    }

    /// The answer as text, the same for most ways of writing it.
    pub fn normal(&self) -> String {
        match self {
            Self::Choice { letter, text: None } => letter.to_string(),
            Self::Choice { letter, text: Some(text) } => format!("{letter}. {}", text.normal()),
            Self::Assignment { name, right, .. } => format!("{name} = {}", right.normal()),
            Self::Inequality { sides, signs } => {
                let mut text = sides.first().map_or_else(String::new, Expression::normal);
                for (sign, side) in signs.iter().zip(&sides[1..]) {
                    text.push_str(&format!(" {sign} {}", side.normal()));
                }
                text
            }
            Self::List(items) => sorted(items).join(", "),
            Self::Set(items) => format!("{{{}}}", sorted(items).join(", ")),
            Self::Tuple { open, close, items } => {
                let items: Vec<String> = items.iter().map(Value::normal).collect();
                let (open, close) = match open {
                    'c' => ("vector(".into(), ')'),
                    'm' => ("matrix(".into(), ')'),
                    open => (open.to_string(), *close),
                };
                format!("{open}{}{close}", items.join(", "))
            }
            Self::Intervals(intervals) => interval::normal(intervals),
            Self::Ratio(ratio) => ratio.normal(),
            Self::Clock(clock) => clock.normal(),
            Self::Equation(difference) => format!("{} = 0", difference.normal()),
            Self::Relation { sign, sides } => sorted(sides).join(&format!(" {sign} ")),
            Self::Shape(shape) => shape.normal(),
            Self::Truth(truth) => if *truth { "yes" } else { "no" }.into(),
            Self::Quantity(quantity) => match &quantity.unit {
                None => quantity.number.value.normal(),
                Some(unit) => {
                    let (factor, name) = unit.normal();
                    format!("{} {name}", quantity.number.scaled(&factor).value.normal())
                }
            },
            Self::Text(text) => text.clone(),
        }
    }
}

/// Letters alone as a product.
pub(super) fn product<'a>(shape: &Shape) -> Option<Expression<'a>> {
    let letters = shape.letters()?.iter();
    Some(Expression::product(letters.map(|name| Expression::Symbol(name.clone().into())).collect()))
}

fn sorted(items: &[Value<'_>]) -> Vec<String> {
    let mut texts: Vec<String> = items.iter().map(Value::normal).collect();
    texts.sort_unstable();
    texts
}
