//! Quantities in several units, the larger before the smaller: `2 hours 30 minutes`, `5 ft 3 in`.

use super::super::symbolic::{Expression, approximate};
use super::number::Number;
use super::text::{Phrase, phrase};
use super::token::{Kind, Token};
use super::unit::{Unit, unit};
use super::value::Quantity;

/// No quantity has more units.
const MAX_PARTS: usize = 6;

/// The quantity in the smallest of the units that the tokens name, if they name two or more.
pub(super) fn compound<'a>(tokens: &[Token<'a>]) -> Option<Quantity<'a>> {
    let mut parts: Vec<(Number<'a>, Unit)> = Vec::new();
    let (mut rest, mut joined) = (tokens, false);
    while !rest.is_empty() {
        if !parts.is_empty() {
            let before = rest.len();
            rest = without(rest, |token| token.is(','));
            rest = without(rest, |token| token.kind == Kind::Word("and") || token.is('&'));
            joined |= rest.len() < before;
        }
        let (number, behind) = number(rest)?;
        let angle = parts.last().map(|(_, unit)| unit.is_angle());
        let (name, behind) = named(behind, angle)?;
        let hours = parts.last().is_some_and(|(_, unit)| unit.is_time());
        let unit = match name.kind {
            // After hours, m are minutes.
            Kind::Word("m") if hours => unit(&[Token { kind: Kind::Word("min"), ..name }]),
            Kind::Word(_) | Kind::Sign('°') => unit(std::slice::from_ref(&name)),
            _ => None,
        }??;
        if let Some((_, larger)) = parts.last() {
            let [larger, smaller] = larger.factors(&unit)?.map(|factor| approximate(&factor, 1));
            (larger?.real > smaller?.real).then_some(())?;
        }
        parts.push((number, unit));
        (parts.len() <= MAX_PARTS).then_some(())?;
        rest = without(behind, |token| token.is('.'));
    }
    let (_, smallest) = parts.last().filter(|_| parts.len() > 1)?;
    // "3 m and 5 cm" may be two answers; times are said so.
    (!joined || smallest.is_time()).then_some(())?;
    let mut terms = Vec::with_capacity(parts.len());
    for (number, unit) in &parts {
        let [factor, smallest] = unit.factors(smallest)?;
        terms.push(number.scaled(&Expression::product(vec![factor, smallest.recip()])).value);
    }
    let exact = parts.iter().all(|(number, _)| number.exact);
    let number = Number { value: Expression::sum(terms), exact, decimal: None };
    Some(Quantity { number, unit: Some(smallest.clone()), formula: None })
}

/// The name of a unit at the start, and what stands behind it; behind degrees, primes are minutes,
/// two primes or none seconds.
fn named<'t, 'a>(
    tokens: &'t [Token<'a>],
    angle: Option<bool>,
) -> Option<(Token<'a>, &'t [Token<'a>])> {
    let second = Token { kind: Kind::Word("arcsec"), spaced: false, upright: false };
    match tokens {
        [] if angle == Some(true) => Some((second, tokens)),
        [one, two, rest @ ..] if angle == Some(true) && one.is('\'') && two.is('\'') => {
            Some((second, rest))
        }
        [prime, rest @ ..] if angle == Some(true) && prime.is('\'') => {
            Some((Token { kind: Kind::Word("arcmin"), ..second }, rest))
        }
        [name, rest @ ..] => Some((*name, rest)),
        [] => None,
    }
}

fn without<'t, 'a>(
    tokens: &'t [Token<'a>],
    unwanted: impl Fn(&Token<'a>) -> bool,
) -> &'t [Token<'a>] {
    match tokens.split_first() {
        Some((first, rest)) if unwanted(first) => rest,
        _ => tokens,
    }
}

/// The number at the start, in digits or words, and what stands behind it.
fn number<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(Number<'a>, &'t [Token<'a>])> {
    let first = tokens.first()?;
    if matches!(first.kind, Kind::Number(_)) {
        return Some((Number::read(&tokens[..1], true)?, &tokens[1..]));
    }
    // "twenty-five" is three tokens.
    [3, 2, 1].into_iter().find_map(|length| {
        let (words, behind) = tokens.split_at_checked(length)?;
        match phrase(words)? {
            Phrase::Number(number) => Some((Number::exact(Expression::integer(number)), behind)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::super::value::Value;
    use super::*;

    #[test]
    fn several_units_are_one_quantity_in_the_smallest() {
        let cases = [
            ("2 hours 30 minutes", Some("9000 s")),
            ("two hours and thirty-five minutes", Some("9300 s")),
            ("1 hr. 5 min. 3 sec.", Some("3903 s")),
            ("2h30m", Some("9000 s")),
            ("1 day, 1 hour, and 1 second", Some("90001 s")),
            ("5 ft 3 in", Some("8001/5000 m")),
            ("1.5 kg 500 g", Some("2 kg")),
            ("30°30'", Some("61/2 °")),
            ("10^\\circ 15' 36''", Some("513/50 °")),
            ("30'", None),
            ("2 hours", None),
            ("30 minutes 2 hours", None),
            ("2 hours 30 hours", None),
            ("2 hours 30", None),
            ("2 hours 30 cm", None),
            ("3 m and 5 cm", None),
            ("3 m, 5 cm", None),
            ("2 m 30 s", None),
            ("2 x 3 y", None),
        ];
        for (text, expected) in cases {
            let found = compound(&tokens(text).unwrap());
            let found = found.map(|quantity| Value::Quantity(Box::new(quantity)).normal());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
