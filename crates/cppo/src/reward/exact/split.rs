//! Tokens apart, as far as brackets allow.

use super::token::{Kind, Token};

/// The parts of the tokens between those that `separates` chooses outside of brackets.
pub(super) fn split<'t, 'a>(
    tokens: &'t [Token<'a>],
    separates: impl Fn(Token<'a>) -> bool,
) -> Vec<&'t [Token<'a>]> {
    let (mut parts, mut start, mut depth) = (Vec::with_capacity(1), 0, 0usize);
    for (place, token) in tokens.iter().enumerate() {
        if opens(token) {
            depth += 1;
        } else if closes(token) {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && separates(*token) {
            parts.push(&tokens[start..place]);
            start = place + 1;
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// What stands in the brackets that the tokens begin and end with, if those are one pair.
pub(super) fn enclosed<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(char, &'t [Token<'a>], char)> {
    let [first, inner @ .., last] = tokens else { return None };
    let (Kind::Sign(open), Kind::Sign(close)) = (first.kind, last.kind) else { return None };
    (opens(first) && closes(last)).then_some(())?;
    let mut depth = 0usize;
    for token in inner {
        if opens(token) {
            depth += 1;
        } else if closes(token) {
            depth = depth.checked_sub(1)?;
        }
    }
    (depth == 0).then_some((open, inner, close))
}

fn opens(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Sign(sign) => "([{⦃⟨⌊⌈".contains(sign),
        Kind::Begin(_) => true,
        _ => false,
    }
}

fn closes(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Sign(sign) => ")]}⦄⟩⌋⌉".contains(sign),
        Kind::End => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn brackets_hold_together() {
        let comma = |token: Token<'_>| token.is(',');
        let count = |text| split(&tokens(text).unwrap(), comma).len();
        for (text, parts) in [("1, 2", 2), ("(1, 2), 3", 2), ("[1, 2), 3", 2), ("", 1), ("),", 2)] {
            assert_eq!(count(text), parts, "{text}");
        }
        let pairs = [("(1,2]", true), ("(1)(2)", false), ("\\{1\\}", true), ("(1", false)];
        for (text, one) in pairs {
            assert_eq!(enclosed(&tokens(text).unwrap()).is_some(), one, "{text}");
        }
    }
}
