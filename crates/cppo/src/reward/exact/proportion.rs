//! Ratios, and times of day, which look alike.

use super::super::symbolic::Expression;
use super::number::Number;
use super::split::split;
use super::token::{Kind, Token};
use super::value::Value;

/// Parts in a proportion.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ratio<'a> {
    parts: Vec<Number<'a>>,
    /// Could be a time of day, such as 4:20.
    clock: bool,
}

impl<'a> Ratio<'a> {
    /// The ratio or time that tokens with ":" or "to" spell.
    pub fn read(tokens: &[Token<'a>]) -> Option<Value<'a>> {
        let separates = |token: Token<'a>| token.is(':') || token.kind == Kind::Word("to");
        let parts = split(tokens, separates);
        (parts.len() > 1).then_some(())?;
        let time = time(tokens);
        if let Some(Time { text, certain: true }) = time {
            return Some(Value::Text(text));
        }
        let parts = parts.iter().map(|part| Number::read(part, true)).collect::<Option<_>>()?;
        Some(Value::Ratio(Self { parts, clock: time.is_some() }))
    }

    /// Whether the parts are in the same proportions; of two times, the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let ([first, ..], [other_first, ..]) = (self.parts.as_slice(), other.parts.as_slice())
        else {
            return false;
        };
        let zero = Number::exact(Expression::integer(0));
        let vanishes = |part: &Number<'_>| part.same(&zero).is_some();
        let clock = self.clock && other.clock;
        self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|(part, other)| match clock {
                true => part.same(other).is_some(),
                false => {
                    let crossed = part.scaled(&other_first.value);
                    vanishes(part) == vanishes(other)
                        && crossed.same(&other.scaled(&first.value)).is_some()
                }
            })
    }

    /// The quotient of two parts.
    pub fn quotient(&self) -> Option<Number<'a>> {
        let [part, whole] = self.parts.as_slice() else { return None };
        let factors = vec![part.value.clone(), whole.value.clone().recip()];
        Some(Number::exact(Expression::product(factors)))
    }

    pub fn normal(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| part.value.normal()).collect();
        parts.join(":")
    }
}

struct Time {
    text: String,
    /// Nothing but a time is written so.
    certain: bool,
}

/// A time of day by hours and minutes.
fn time(tokens: &[Token<'_>]) -> Option<Time> {
    let [hour, colon, minute, half @ ..] = tokens else { return None };
    let (Kind::Number(hour), Kind::Number(minute)) = (hour.kind, minute.kind) else { return None };
    let hour: u8 = hour.parse().ok()?;
    let minutes: u8 = minute.parse().ok()?;
    (colon.is(':') && hour <= 24 && minute.len() == 2 && minutes < 60).then_some(())?;
    let mut suffix = String::new();
    for token in half {
        match token.kind {
            Kind::Word(word) => suffix.push_str(&word.to_lowercase()),
            Kind::Sign('.') => {}
            _ => return None,
        }
    }
    ["", "am", "pm"].contains(&suffix.as_str()).then(|| Time {
        text: format!("{hour}:{minute}{suffix}"),
        certain: minute.starts_with('0') || !suffix.is_empty(),
    })
}
