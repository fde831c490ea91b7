//! Units of measurement.

use super::super::symbolic::{Expression, Rational};
use super::names::{is_greek, name};
use super::token::{Kind, Token};

/// A unit has no more tokens.
pub(super) const MAX_TOKENS: usize = 12;

/// Exponents of metre, kilogram, second, ampere, kelvin, mole, degree of angle, degree Celsius,
/// degree Fahrenheit, dollar, euro, pound, yen, byte, percent.
type Dimension = [i8; 15];

/// A unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unit {
    /// A multiple of the base units.
    Measure { dimension: Dimension, factor: Rational, pi: i8 },
    /// What is counted.
    Noun(String),
}

impl Unit {
    /// The factor to the base units, where both measure the same.
    pub fn factors<'a>(&self, other: &Self) -> Option<[Expression<'a>; 2]> {
        match (self, other) {
            (
                Self::Measure { dimension, factor, pi },
                Self::Measure { dimension: other_dimension, factor: other, pi: other_pi, .. },
            ) => (dimension == other_dimension)
                .then(|| [measure(*factor, *pi), measure(*other, *other_pi)]),
            (Self::Noun(noun), Self::Noun(other)) => {
                (noun == other).then(|| [Expression::integer(1), Expression::integer(1)])
            }
            _ => None,
        }
    }

    /// What a number with this unit is without one: a hundredth of percent, radians of degrees.
    pub fn pure<'a>(&self) -> Option<Expression<'a>> {
        match self {
            Self::Measure { dimension, factor, pi } if *dimension == base(14) => {
                Some(measure(factor.mul(Rational::new(1, 100)?)?, *pi))
            }
            Self::Measure { dimension, factor, pi } if *dimension == base(6) => {
                Some(measure(factor.mul(Rational::new(1, 180)?)?, *pi + 1))
            }
            _ => None,
        }
    }

    /// Whether it measures time.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Measure { dimension, .. } if *dimension == base(2))
    }

    /// Whether it measures angles.
    pub fn is_angle(&self) -> bool {
        matches!(self, Self::Measure { dimension, .. } if *dimension == base(6))
    }

    /// The unit's factor and the name of its base units.
    pub fn normal<'a>(&self) -> (Expression<'a>, String) {
        const BASES: [&str; 15] =
            ["m", "kg", "s", "A", "K", "mol", "°", "°C", "°F", "$", "€", "£", "¥", "byte", "%"];
        match self {
            Self::Noun(noun) => (Expression::integer(1), noun.clone()),
            Self::Measure { dimension, factor, pi } => {
                let mut parts = Vec::new();
                for (base, exponent) in BASES.iter().zip(dimension) {
                    match exponent {
                        0 => {}
                        1 => parts.push((*base).into()),
                        _ => parts.push(format!("{base}^{exponent}")),
                    }
                }
                (measure(*factor, *pi), parts.join("*"))
            }
        }
    }
}

fn measure<'a>(factor: Rational, pi: i8) -> Expression<'a> {
    let power = Expression::power(Expression::Pi, Expression::integer(pi.into()));
    match pi {
        0 => Expression::Number(factor),
        _ => Expression::product(vec![Expression::Number(factor), power]),
    }
}

fn base(place: usize) -> Dimension {
    let mut dimension = Dimension::default();
    dimension[place] = 1;
    dimension
}

/// Whether the tokens hold a letter that could be a variable.
pub(super) fn has_letter(tokens: &[Token<'_>]) -> bool {
    tokens
        .iter()
        .any(|token| !token.upright && matches!(token.kind, Kind::Word(word) if word.len() == 1))
        && !tokens[0].is('°')
}

/// The unit that all the tokens spell; `Some(None)` for "units", which says nothing.
pub(super) fn unit(tokens: &[Token<'_>]) -> Option<Option<Unit>> {
    (1..=MAX_TOKENS).contains(&tokens.len()).then_some(())?;
    if let Some(unit) = measured(tokens) {
        return Some(Some(unit));
    }
    noun(tokens)
}

fn measured(tokens: &[Token<'_>]) -> Option<Unit> {
    let (mut dimension, mut factor, mut pi) = (Dimension::default(), Rational::ONE, 0);
    let (mut place, mut sign, mut raise) = (0, 1, 1);
    while let Some(token) = tokens.get(place) {
        place += 1;
        let name = match token.kind {
            Kind::Sign('/') => {
                (place > 1 && sign == 1).then_some(())?;
                sign = -1;
                continue;
            }
            Kind::Sign('*') if place > 1 => continue,
            Kind::Word("per") if place > 1 => {
                sign = -1;
                continue;
            }
            Kind::Word("square" | "sq") => {
                raise = 2;
                continue;
            }
            Kind::Word("cubic" | "cu") => {
                raise = 3;
                continue;
            }
            Kind::Sign('.' | '{' | '}') if place > 1 => continue,
            Kind::Sign('°') => match tokens.get(place).map(|token| token.kind) {
                Some(Kind::Word("C")) => {
                    place += 1;
                    "celsius"
                }
                Some(Kind::Word("F")) => {
                    place += 1;
                    "fahrenheit"
                }
                _ => "degree",
            },
            Kind::Sign('%') => "percent",
            Kind::Sign('$') => "dollar",
            Kind::Sign('€') => "euro",
            Kind::Sign('£') => "gbp",
            Kind::Sign('¥') => "yen",
            Kind::Command("Omega") => "ohm",
            Kind::Command("mu") => match tokens.get(place).map(|token| token.kind) {
                Some(Kind::Word("m")) => {
                    place += 1;
                    "micrometer"
                }
                _ => return None,
            },
            Kind::Word(word) => word,
            _ => return None,
        };
        let (part, multiple, of_pi) = lookup(name)?;
        let (exponent, length) = exponent(&tokens[place..])?;
        place += length;
        let exponent = sign * raise * exponent;
        raise = 1;
        factor = factor.mul(multiple.pow(exponent.into())?)?;
        pi += of_pi * exponent;
        for (sum, part) in dimension.iter_mut().zip(part) {
            *sum = sum.checked_add(part.checked_mul(exponent)?)?;
        }
    }
    (dimension != Dimension::default() && raise == 1).then_some(Unit::Measure {
        dimension,
        factor,
        pi,
    })
}

/// The exponent behind a unit and its number of tokens.
fn exponent(tokens: &[Token<'_>]) -> Option<(i8, usize)> {
    let number = |token: &Token<'_>| match token.kind {
        Kind::Number(text) => text.parse::<i8>().ok().filter(|power| (1..=9).contains(power)),
        _ => None,
    };
    Some(match tokens {
        [first, ..] if first.kind == Kind::Word("squared") => (2, 1),
        [first, ..] if first.kind == Kind::Word("cubed") => (3, 1),
        [caret, open, minus, power, close, ..]
            if caret.is('^') && open.is('{') && minus.is('-') && close.is('}') =>
        {
            (-number(power)?, 5)
        }
        [caret, open, power, close, ..] if caret.is('^') && open.is('{') && close.is('}') => {
            (number(power)?, 4)
        }
        [caret, minus, power, ..] if caret.is('^') && minus.is('-') => (-number(power)?, 3),
        [caret, power, ..] if caret.is('^') => (number(power)?, 2),
        [power, ..] if matches!(power.kind, Kind::Number("2" | "3")) => (number(power)?, 1),
        _ => (1, 0),
    })
}

/// Words of three letters and more that count something.
fn noun(tokens: &[Token<'_>]) -> Option<Option<Unit>> {
    let mut words = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Word(word) if is_noun(word) || token.upright || !words.is_empty() => {
                let word = word.to_lowercase();
                let singular = word.strip_suffix('s').unwrap_or(&word);
                words.push(singular.to_owned());
            }
            Kind::Sign('.' | '{' | '}') => {}
            _ => return None,
        }
    }
    words.retain(|word| !["unit", "square", "sq", "cubic", "of", "the"].contains(&word.as_str()));
    Some((!words.is_empty()).then(|| Unit::Noun(words.join(" "))))
}

/// Whether a word is no product of letters.
pub(super) fn is_noun(word: &str) -> bool {
    let vowel = |char: char| "aeiou".contains(char);
    let known = ["infinity", "abc"].contains(&word) || name(word).is_some();
    !known && !is_greek(word) && (word.len() > 3 || word.len() == 3 && word.contains(vowel))
}

/// Base units, factor and power of pi of a unit's name.
fn lookup(name: &str) -> Option<(Dimension, Rational, i8)> {
    let exact = TABLE.iter().find(|(names, ..)| names.split(' ').any(|other| other == name));
    let row = exact.or_else(|| {
        let lower = name.to_lowercase();
        (name.len() >= 4).then(|| {
            TABLE.iter().find(|(names, ..)| names.split(' ').any(|other| other == lower))
        })?
    });
    let &(names, bases, numerator, denominator) = row?;
    let mut dimension = Dimension::default();
    for &(place, exponent) in bases {
        dimension[place] = exponent;
    }
    let pi = if names.starts_with("rad ") { -1 } else { 0 };
    Some((dimension, Rational::new(numerator.into(), denominator.into())?, pi))
}

type Row = (&'static str, &'static [(usize, i8)], i64, i64);

const LENGTH: &[(usize, i8)] = &[(0, 1)];
const AREA: &[(usize, i8)] = &[(0, 2)];
const VOLUME: &[(usize, i8)] = &[(0, 3)];
const SPEED: &[(usize, i8)] = &[(0, 1), (2, -1)];
const MASS: &[(usize, i8)] = &[(1, 1)];
const TIME: &[(usize, i8)] = &[(2, 1)];
const ENERGY: &[(usize, i8)] = &[(0, 2), (1, 1), (2, -2)];
const POWER: &[(usize, i8)] = &[(0, 2), (1, 1), (2, -3)];
const FORCE: &[(usize, i8)] = &[(0, 1), (1, 1), (2, -2)];
const PRESSURE: &[(usize, i8)] = &[(0, -1), (1, 1), (2, -2)];
const VOLTAGE: &[(usize, i8)] = &[(0, 2), (1, 1), (2, -3), (3, -1)];
const RESISTANCE: &[(usize, i8)] = &[(0, 2), (1, 1), (2, -3), (3, -2)];

const TABLE: &[Row] = &[
    ("m meter meters metre metres", LENGTH, 1, 1),
    ("nm nanometer nanometers", LENGTH, 1, 1_000_000_000),
    ("micrometer micrometers um", LENGTH, 1, 1_000_000),
    ("mm millimeter millimeters millimetre millimetres", LENGTH, 1, 1000),
    ("cm centimeter centimeters centimetre centimetres", LENGTH, 1, 100),
    ("dm decimeter decimeters decimetre decimetres", LENGTH, 1, 10),
    ("km kilometer kilometers kilometre kilometres", LENGTH, 1000, 1),
    ("in inch inches", LENGTH, 254, 10_000),
    ("ft foot feet", LENGTH, 3048, 10_000),
    ("yd yard yards", LENGTH, 9144, 10_000),
    ("mi mile miles", LENGTH, 1_609_344, 1000),
    ("ha hectare hectares", AREA, 10_000, 1),
    ("acre acres", AREA, 40_468_564_224, 10_000_000),
    ("L l liter liters litre litres", VOLUME, 1, 1000),
    ("mL ml milliliter milliliters millilitre millilitres", VOLUME, 1, 1_000_000),
    ("kg kilogram kilograms", MASS, 1, 1),
    ("g gram grams", MASS, 1, 1000),
    ("mg milligram milligrams", MASS, 1, 1_000_000),
    ("ton tons tonne tonnes", MASS, 1000, 1),
    ("lb lbs pound pounds", MASS, 45_359_237, 100_000_000),
    ("oz ounce ounces", MASS, 45_359_237, 1_600_000_000),
    ("s sec secs second seconds", TIME, 1, 1),
    ("ms millisecond milliseconds", TIME, 1, 1000),
    ("min mins minute minutes", TIME, 60, 1),
    ("h hr hrs hour hours", TIME, 3600, 1),
    ("day days", TIME, 86_400, 1),
    ("week weeks", TIME, 604_800, 1),
    ("year years yr yrs", TIME, 31_557_600, 1),
    ("month months", TIME, 2_629_800, 1),
    ("A amp amps ampere amperes", &[(3, 1)], 1, 1),
    ("mA milliampere milliamperes", &[(3, 1)], 1, 1000),
    ("C coulomb coulombs", &[(2, 1), (3, 1)], 1, 1),
    ("K kelvin kelvins", &[(4, 1)], 1, 1),
    ("mol mole moles", &[(5, 1)], 1, 1),
    ("degree degrees deg", &[(6, 1)], 1, 1),
    ("arcmin arcminute arcminutes", &[(6, 1)], 1, 60),
    ("arcsec arcsecond arcseconds", &[(6, 1)], 1, 3600),
    ("rad radian radians", &[(6, 1)], 180, 1),
    ("celsius", &[(7, 1)], 1, 1),
    ("fahrenheit", &[(8, 1)], 1, 1),
    ("dollar dollars usd USD", &[(9, 1)], 1, 1),
    ("cent cents", &[(9, 1)], 1, 100),
    ("euro euros EUR", &[(10, 1)], 1, 1),
    ("gbp GBP", &[(11, 1)], 1, 1),
    ("yen yuan", &[(12, 1)], 1, 1),
    ("B byte bytes", &[(13, 1)], 1, 1),
    ("KB kB", &[(13, 1)], 1000, 1),
    ("MB", &[(13, 1)], 1_000_000, 1),
    ("GB", &[(13, 1)], 1_000_000_000, 1),
    ("percent percentage pct", &[(14, 1)], 1, 1),
    ("N newton newtons", FORCE, 1, 1),
    ("kN kilonewton kilonewtons", FORCE, 1000, 1),
    ("J joule joules", ENERGY, 1, 1),
    ("kJ kilojoule kilojoules", ENERGY, 1000, 1),
    ("kWh", ENERGY, 3_600_000, 1),
    ("W watt watts", POWER, 1, 1),
    ("kW kilowatt kilowatts", POWER, 1000, 1),
    ("Pa pascal pascals", PRESSURE, 1, 1),
    ("kPa kilopascal kilopascals", PRESSURE, 1000, 1),
    ("atm", PRESSURE, 101_325, 1),
    ("V volt volts", VOLTAGE, 1, 1),
    ("ohm ohms", RESISTANCE, 1, 1),
    ("Hz hertz", &[(2, -1)], 1, 1),
    ("mph", SPEED, 44_704, 100_000),
    ("kmh kph", SPEED, 10, 36),
];

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn units_have_dimensions_and_factors() {
        let same = [
            ("cm^2", "square centimeters"),
            ("\\text{cm}^{2}", "sq cm"),
            ("m/s", "meters per second"),
            ("m s^{-1}", "\\mathrm{m/s}"),
            ("km/h", "kmh"),
            ("°", "degrees"),
            ("apples", "apple"),
            ("m^3", "cubic meters"),
            ("N", "kg*m/s^2"),
        ];
        let read = |text| unit(&tokens(text).unwrap()).unwrap().unwrap();
        for (left, right) in same {
            let (left, right) = (read(left), read(right));
            let [a, b] = left.factors(&right).unwrap();
            assert_eq!(a, b);
            assert_eq!(left.normal(), right.normal());
        }
        for (left, right) in [("cm", "cm^2"), ("m", "s"), ("apples", "pears"), ("°C", "°F")] {
            assert!(read(left).factors(&read(right)).is_none(), "{left} {right}");
        }
        assert_eq!(unit(&tokens("square units").unwrap()), Some(None));
        assert_eq!(unit(&tokens("x").unwrap()), None);
        assert_eq!(unit(&tokens("2").unwrap()), None);
    }
}
