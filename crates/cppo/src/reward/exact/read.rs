//! Reads tokens as an answer.

use super::super::symbolic::Expression;
use super::compound::compound;
use super::interval::Interval;
use super::names::name;
use super::number::Number;
use super::proportion::{Clock, Ratio};
use super::relation::{combined, relation, set, set_operation};
use super::shape::Shape;
use super::split::{enclosed, split};
use super::text::{self, Phrase, phrase};
use super::token::{Kind, Token};
use super::unit::{self, Unit, unit};
use super::value::{Quantity, Value};

/// Answers nested deeper are text.
const MAX_DEPTH: usize = 12;

/// The answer that the tokens spell; text where they spell nothing else.
pub(super) fn value<'a>(tokens: &[Token<'a>], depth: usize) -> Value<'a> {
    let tokens = trimmed(tokens);
    if depth > MAX_DEPTH {
        return Value::Text(text::normal(tokens));
    }
    if let [Token { kind: Kind::Number(_), .. }] = tokens {
        return quantity(tokens).unwrap_or_else(|| Value::Text(text::normal(tokens)));
    }
    words(tokens)
        .or_else(|| compound(tokens).map(|quantity| Value::Quantity(Box::new(quantity))))
        .or_else(|| several(tokens, depth))
        .or_else(|| set_operation(tokens, depth))
        .or_else(|| relation(tokens, depth))
        .or_else(|| Ratio::read(tokens))
        .or_else(|| Clock::words(tokens).map(Value::Clock))
        .or_else(|| bracketed(tokens, depth))
        .or_else(|| matrix(tokens, depth))
        .or_else(|| Shape::read(tokens).map(Value::Shape))
        .or_else(|| if is_text(tokens) { None } else { quantity(tokens) })
        .or_else(|| both_signs(tokens))
        .unwrap_or_else(|| Value::Text(text::normal(tokens)))
}

/// Without braces around and punctuation behind.
fn trimmed<'t, 'a>(mut tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    loop {
        tokens = match tokens {
            [rest @ .., last] if last.is('.') || last.is(',') || last.is(':') || last.is(';') => {
                rest
            }
            [rest @ .., number, last]
                if last.is('…')
                    && matches!(number.kind, Kind::Number(text) if text.contains('.')) =>
            {
                &tokens[..rest.len() + 1]
            }
            [first, rest @ ..] if first.is(':') || first.is('↵') => rest,
            [about, rest @ ..] if is_about(about) && rest.first().is_some_and(is_amount) => rest,
            _ => match enclosed(tokens) {
                Some(('{', inner, '}'))
                    if split(inner, |token| token.is(',')).len() == 1
                        && !inner.iter().any(|token| token.kind == Kind::Command("over")) =>
                {
                    inner
                }
                _ => return tokens,
            },
        };
    }
}

/// Words that say a number is not exact.
fn is_about(token: &Token<'_>) -> bool {
    let words = ["about", "approximately", "approx", "around", "roughly", "nearly", "almost"];
    matches!(token.kind, Kind::Word(word) if words.iter().any(|about| word.eq_ignore_ascii_case(about)))
}

fn is_amount(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Number(_) | Kind::Command(_) => true,
        Kind::Sign(sign) => "$€£¥-".contains(sign),
        _ => false,
    }
}

fn words<'a>(tokens: &[Token<'a>]) -> Option<Value<'a>> {
    match tokens {
        [only] if only.is('ℝ') => return Some(Value::Intervals(vec![Interval::all()])),
        [only] if only.is('∅') => return Some(Value::Set(Vec::new())),
        _ => {}
    }
    if let Some(phrase) = phrase(tokens) {
        return Some(match phrase {
            Phrase::Truth(truth) => Value::Truth(truth),
            Phrase::Number(number) => Value::number(Number::exact(Expression::integer(number))),
            Phrase::Nothing => Value::Set(Vec::new()),
            Phrase::AllReals => Value::Intervals(vec![Interval::all()]),
        });
    }
    // "Yes, because …"
    let [first, comma, _, ..] = tokens else { return None };
    let Some(Phrase::Truth(truth)) = phrase(std::slice::from_ref(first)) else { return None };
    comma.is(',').then_some(Value::Truth(truth))
}

/// Answers between commas, "and", "or".
fn several<'a>(tokens: &[Token<'a>], depth: usize) -> Option<Value<'a>> {
    let or = |token: Token<'a>| token.is('∨') || token.kind == Kind::Word("or");
    let and = |token: Token<'a>| token.is('∧') || token.is('&') || token.kind == Kind::Word("and");
    for (separates, all) in [(&or as &dyn Fn(Token<'a>) -> bool, false), (&and, true)] {
        let parts = split(tokens, separates);
        if parts.len() > 1 {
            let read: Vec<_> = parts.iter().map(|part| value(part, depth + 1)).collect();
            if let Some(intervals) = combined(&read, all) {
                return Some(intervals);
            }
        }
    }
    let separates = |token: Token<'a>| token.is(',') || token.is(';') || or(token) || and(token);
    if split(tokens, separates).len() == 1 {
        return None;
    }
    let items = elements(tokens, depth, separates);
    if items.len() < 2 {
        return items.into_iter().next();
    }
    // Commas part clauses as well.
    let clause = |item: &Value<'_>| match item {
        Value::Text(text) => text.split(' ').nth(2).is_some(),
        _ => false,
    };
    let text = items.iter().all(|item| matches!(item, Value::Text(_))) && items.iter().any(clause);
    (!text).then_some(Value::List(items))
}

/// The elements within brackets.
pub(super) fn items<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<Value<'a>> {
    elements(tokens, depth, |token| token.is(',') || token.is(';'))
}

/// What is not empty between separators; a value with `±` is two.
fn elements<'a>(
    tokens: &[Token<'a>],
    depth: usize,
    separates: impl Fn(Token<'a>) -> bool,
) -> Vec<Value<'a>> {
    let parts = split(tokens, separates).into_iter().filter(|part| !part.is_empty());
    parts
        .flat_map(|part| match value(part, depth + 1) {
            Value::List(items) if part.iter().any(|token| token.is('±')) => items,
            item => vec![item],
        })
        .collect()
}

fn bracketed<'a>(tokens: &[Token<'a>], depth: usize) -> Option<Value<'a>> {
    // A point with its name.
    if let Some((name, point)) = named_point(tokens)
        && let Some(right @ Value::Tuple { .. }) = bracketed(point, depth + 1)
    {
        return Some(Value::Assignment { name, left: None, right: Box::new(right) });
    }
    let (open, inner, close) = enclosed(tokens)?;
    let several = split(inner, |token| token.is(',') || token.is(';')).len() > 1;
    match (open, close) {
        ('⦃', '⦄') => Some(set(inner, depth)),
        ('{', '}') if several => Some(set(inner, depth)),
        ('(' | '[' | '⟨', ')' | ']' | '⟩') if several => {
            Some(Value::Tuple { open, close, items: items(inner, depth) })
        }
        ('(', ')') | ('[', ']') if !inner.is_empty() => {
            match value(inner, depth + 1) {
                // The tokens may be read in another way with their brackets.
                Value::Text(_) => None,
                value => Some(value),
            }
        }
        _ => None,
    }
}

/// A letter with primes or an index, and the bracket behind it.
fn named_point<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(String, &'t [Token<'a>])> {
    let (name, point) = tokens.split_at(tokens.iter().position(|token| token.is('('))?);
    let [first, marks @ ..] = name else { return None };
    let letter = matches!(first.kind, Kind::Word(word) if word.len() == 1);
    let mark = |token: &Token<'a>| {
        matches!(token.kind, Kind::Sign('\'' | '_' | '{' | '}') | Kind::Number(_))
    };
    (letter && marks.iter().all(mark)).then(|| (text::normal(name), point))
}

fn matrix<'a>(tokens: &[Token<'a>], depth: usize) -> Option<Value<'a>> {
    let tokens = match enclosed(tokens) {
        Some(('(' | '[', inner, ')' | ']')) => inner,
        // The brace of a system of equations stays open.
        _ => match tokens {
            [brace, rest @ ..] if brace.is('⦃') => rest,
            _ => tokens,
        },
    };
    let [Token { kind: Kind::Begin(name), .. }, inner @ .., Token { kind: Kind::End, .. }] = tokens
    else {
        return None;
    };
    ["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array", "cases", "aligned"]
        .contains(name)
        .then_some(())?;
    let rows = split(inner, |token| token.is('↵'));
    let rows: Vec<Vec<Value<'a>>> = rows
        .into_iter()
        .filter(|row| !row.is_empty())
        .map(|row| {
            let cells = split(row, |token| token.is('&'));
            cells.into_iter().map(|cell| value(cell, depth + 1)).collect()
        })
        .collect();
    let width = rows.first()?.len();
    rows.iter().all(|row| row.len() == width).then_some(())?;
    let relates = |cell: &Value<'_>| {
        matches!(cell, Value::Assignment { .. } | Value::Equation(_) | Value::Inequality { .. })
    };
    if width == 1 && rows.iter().flatten().all(relates) {
        return Some(Value::List(rows.into_iter().flatten().collect()));
    }
    Some(match rows.len() == 1 || width == 1 {
        true => tuple('c', rows.into_iter().flatten().collect()),
        false => tuple('m', rows.into_iter().map(|row| tuple('m', row)).collect()),
    })
}

fn tuple(open: char, items: Vec<Value<'_>>) -> Value<'_> {
    Value::Tuple { open, close: open, items }
}

/// Whether the tokens are words, of which one is more than letters and none a number.
fn is_text(tokens: &[Token<'_>]) -> bool {
    let mut noun = false;
    let words = tokens.iter().all(|token| match token.kind {
        Kind::Word(word) => {
            noun |= unit::is_noun(word) && word.bytes().any(|byte| byte.is_ascii_lowercase());
            text::number_word(&word.to_lowercase()).is_none()
        }
        _ => false,
    });
    words && noun
}

/// A number with the longest unit behind it, or before it in the case of money.
fn quantity<'a>(tokens: &[Token<'a>]) -> Option<Value<'a>> {
    if tokens.iter().any(|token| token.is('±') || token.is('∓')) {
        return None;
    }
    let tokens = match tokens {
        [Token { kind: Kind::Word("US" | "CA" | "AU" | "HK"), .. }, rest @ ..]
            if rest.first().is_some_and(|sign| sign.is('$')) =>
        {
            rest
        }
        _ => tokens,
    };
    if let [first, rest @ ..] = tokens
        && matches!(first.kind, Kind::Sign('$' | '€' | '£' | '¥'))
    {
        let Value::Quantity(amount) = quantity(rest)? else { return None };
        // "5 per hour" and "5 each" are amounts of money still.
        (!matches!(amount.unit, Some(Unit::Measure { .. }))).then_some(())?;
        let unit = unit(std::slice::from_ref(first))?;
        return Some(Value::Quantity(Box::new(Quantity { unit, ..*amount })));
    }
    let start = tokens.len().saturating_sub(unit::MAX_TOKENS).max(1);
    for place in start..tokens.len() {
        let (before, behind) = tokens.split_at(place);
        let begins = matches!(behind[0].kind, Kind::Word(_) | Kind::Command(_))
            || "°%$€£¥".chars().any(|sign| behind[0].is(sign));
        if !begins {
            continue;
        }
        if let Some(quantity) = measured(tokens, before, behind) {
            return Some(Value::Quantity(Box::new(quantity)));
        }
    }
    Number::read(tokens, true).map(Value::number)
}

fn measured<'a>(
    tokens: &[Token<'a>],
    before: &[Token<'a>],
    behind: &[Token<'a>],
) -> Option<Quantity<'a>> {
    if let [only] = behind
        && let Kind::Word(word) = only.kind
        && let Some(scale) = text::scale(word)
    {
        let number = Number::read(before, true)?.scaled(&Expression::integer(scale));
        return Some(Quantity { number, unit: None, formula: None });
    }
    let applied = |token: &Token<'_>| match token.kind {
        Kind::Word(word) | Kind::Command(word) => name(word).is_some_and(|name| !name.is_value()),
        _ => false,
    };
    if behind[0].is('°') && before.iter().any(applied) {
        return None;
    }
    let unit = unit(behind)?;
    let variable = unit::has_letter(behind);
    let number = match text_number(before) {
        Some(number) => number,
        None => Number::read(before, true)?,
    };
    let noun = matches!(unit, Some(Unit::Noun(_)) | None);
    // What stands behind variables, or apart from digits, are variables too.
    let digits = matches!(before.last()?.kind, Kind::Number(_)) || before.last()?.is('}');
    let apart = number.value.is_constant() && (digits || !variable);
    (apart || !variable && !noun).then_some(())?;
    let formula = if variable { Some(Box::new(Number::read(tokens, true)?)) } else { None };
    Some(Quantity { number, unit, formula })
}

/// A number in words before a unit.
fn text_number<'a>(tokens: &[Token<'a>]) -> Option<Number<'a>> {
    match phrase(tokens)? {
        Phrase::Number(number) => Some(Number::exact(Expression::integer(number))),
        _ => None,
    }
}

/// The two values that `±` stands for.
fn both_signs<'a>(tokens: &[Token<'a>]) -> Option<Value<'a>> {
    tokens.iter().any(|token| token.is('±')).then_some(())?;
    let read = |upper| Number::read(tokens, upper).map(Value::number);
    Some(Value::List(vec![read(true)?, read(false)?]))
}
