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
    /// The time of day that it could be, such as 4:20.
    clock: Option<Clock>,
}

impl<'a> Ratio<'a> {
    /// The ratio or time that tokens with ":" or "to" spell.
    pub fn read(tokens: &[Token<'a>]) -> Option<Value<'a>> {
        let separates = |token: Token<'a>| token.is(':') || token.kind == Kind::Word("to");
        let parts = split(tokens, separates);
        (parts.len() > 1).then_some(())?;
        let clock = Clock::digits(tokens);
        if let Some((clock, true)) = clock {
            return Some(Value::Clock(clock));
        }
        let parts = parts.iter().map(|part| Number::read(part, true)).collect::<Option<_>>()?;
        Some(Value::Ratio(Self { parts, clock: clock.map(|(clock, _)| clock) }))
    }

    /// Whether the parts are in the same proportions; of two times, the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let ([first, ..], [other_first, ..]) = (self.parts.as_slice(), other.parts.as_slice())
        else {
            return false;
        };
        let zero = Number::exact(Expression::integer(0));
        let vanishes = |part: &Number<'_>| part.same(&zero).is_some();
        let clock = self.clock.is_some() && other.clock.is_some();
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

    /// Whether it is this time of day.
    pub fn is_time(&self, time: Clock) -> bool {
        self.clock.is_some_and(|clock| clock.is_same(time))
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

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Clock {
    /// Since midnight, or since midnight or noon.
    minutes: u16,
    /// Whether it says which half of the day it is in.
    half: bool,
}

/// Minutes of half a day.
const HALF: u16 = 12 * 60;

impl Clock {
    /// The time that tokens without a colon spell: `7 pm`, `noon`, `5 o'clock`.
    pub fn words(tokens: &[Token<'_>]) -> Option<Self> {
        match tokens {
            [Token { kind: Kind::Word("noon" | "Noon"), .. }] => {
                Some(Self { minutes: HALF, half: true })
            }
            [Token { kind: Kind::Word("midnight" | "Midnight"), .. }] => {
                Some(Self { minutes: 0, half: true })
            }
            [hour, o, apostrophe, clock]
                if o.kind == Kind::Word("o")
                    && apostrophe.is('\'')
                    && clock.kind == Kind::Word("clock") =>
            {
                Self::new(hour, 0, Some(""))
            }
            [hour, half @ ..] => {
                Self::new(hour, 0, suffix(half).as_deref().filter(|half| !half.is_empty()))
            }
            _ => None,
        }
    }

    /// The time in hours and minutes, and whether nothing but a time is written so.
    fn digits(tokens: &[Token<'_>]) -> Option<(Self, bool)> {
        let [hour, colon, minute, half @ ..] = tokens else { return None };
        let Kind::Number(digits) = minute.kind else { return None };
        let minutes = digits.parse().ok().filter(|minutes| *minutes < 60)?;
        (colon.is(':') && digits.len() == 2).then_some(())?;
        let half = suffix(half)?;
        let clock = Self::new(hour, minutes, Some(&half))?;
        Some((clock, digits.starts_with('0') || !half.is_empty()))
    }

    fn new(hour: &Token<'_>, minutes: u16, half: Option<&str>) -> Option<Self> {
        let Kind::Number(digits) = hour.kind else { return None };
        let hour: u16 = digits.parse().ok()?;
        let at = |hour: u16, half| Some(Self { minutes: 60 * hour + minutes, half });
        match (half?, hour) {
            ("am", 1..=12) => at(hour % 12, true),
            ("pm", 1..=12) => at(hour % 12 + 12, true),
            // On a clock of 24 hours the first twelve are written with two digits, if at all.
            ("", 0..=24) => at(hour % 24, hour == 0 || hour > 12),
            _ => None,
        }
    }

    /// The same time; which half of the day may be missing in one.
    pub fn is_same(self, other: Self) -> bool {
        match self.half && other.half {
            true => self.minutes == other.minutes,
            false => self.minutes % HALF == other.minutes % HALF,
        }
    }

    pub fn normal(self) -> String {
        let (hour, minute) = (self.minutes / 60, self.minutes % 60);
        match self.half {
            true => format!("{hour:02}:{minute:02} of 24 hours"),
            false => format!("{hour}:{minute:02}"),
        }
    }
}

/// `am`, `pm` or nothing.
fn suffix(tokens: &[Token<'_>]) -> Option<String> {
    let mut suffix = String::new();
    for token in tokens {
        match token.kind {
            Kind::Word(word) => suffix.push_str(&word.to_lowercase()),
            Kind::Sign('.') => {}
            _ => return None,
        }
    }
    ["", "am", "pm"].contains(&suffix.as_str()).then_some(suffix)
}
