//! Answers in words.

use super::token::{Kind, Token};

/// What words alone answer.
#[derive(Debug, PartialEq)]
pub(super) enum Phrase {
    Truth(bool),
    Number(i64),
    Nothing,
    AllReals,
}

/// The meaning of tokens that are words only.
pub(super) fn phrase(tokens: &[Token<'_>]) -> Option<Phrase> {
    if tokens.len() > 6 {
        return None;
    }
    if let Some(number) = ordinal(tokens) {
        return Some(Phrase::Number(number));
    }
    let words = words(tokens)?;
    Some(match words.as_str() {
        "yes" | "true" => Phrase::Truth(true),
        "no" | "false" => Phrase::Truth(false),
        "no solution" | "no solutions" | "no real solution" | "no real solutions" | "empty set"
        | "the empty set" => Phrase::Nothing,
        "all real numbers" | "all reals" | "any real number" | "reals" | "real numbers" => {
            Phrase::AllReals
        }
        word => Phrase::Number(number_word(word)?),
    })
}

fn words(tokens: &[Token<'_>]) -> Option<String> {
    let mut words = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token.kind {
            Kind::Word(word) => words.push(word.to_lowercase()),
            Kind::Sign('-') => {}
            _ => return None,
        }
    }
    Some(words.join(" "))
}

/// Numbers up to a hundred in words, hyphens being gone.
pub(super) fn number_word(word: &str) -> Option<i64> {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 9] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"];
    let find = |names: &[&str], word: &str| {
        names.iter().position(|name| *name == word).and_then(|place| i64::try_from(place).ok())
    };
    let tens = |word| find(&TENS, word).map(|place| 10 * (place + 2));
    if let Some((first, second)) = word.split_once(' ') {
        let unit = find(&SMALL, second).filter(|unit| (1..10).contains(unit))?;
        return tens(first).filter(|tens| *tens < 100).map(|tens| tens + unit);
    }
    find(&SMALL, word).or_else(|| tens(word))
}

/// The number of `3rd`, `third`, `twenty-first`.
fn ordinal(tokens: &[Token<'_>]) -> Option<i64> {
    let tokens = match tokens {
        [article, rest @ ..] if matches!(article.kind, Kind::Word("the" | "The")) => rest,
        _ => tokens,
    };
    let ended = |number: &str, ending: &Token<'_>| {
        let Kind::Word(ending) = ending.kind else { return None };
        let number = number.parse::<i64>().ok()?;
        (ending.eq_ignore_ascii_case(ending_of(number))).then_some(number)
    };
    match tokens {
        [Token { kind: Kind::Number(number), .. }, ending] if !ending.spaced || ending.upright => {
            ended(number, ending)
        }
        [Token { kind: Kind::Number(number), .. }, caret, raised @ ..] if caret.is('^') => {
            match raised {
                [ending] => ended(number, ending),
                [open, ending, close] if open.is('{') && close.is('}') => ended(number, ending),
                _ => None,
            }
        }
        [Token { kind: Kind::Word(word), .. }] => ordinal_word(&word.to_lowercase()),
        // Without the hyphen it may be twenty seconds.
        [Token { kind: Kind::Word(tens), .. }, hyphen, Token { kind: Kind::Word(word), .. }]
            if hyphen.is('-') =>
        {
            let tens = number_word(&tens.to_lowercase()).filter(|tens| tens % 10 == 0);
            let tens = tens.filter(|tens| (20..100).contains(tens))?;
            let unit = ordinal_word(&word.to_lowercase()).filter(|unit| *unit < 10)?;
            Some(tens + unit)
        }
        _ => None,
    }
}

fn ending_of(number: i64) -> &'static str {
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

fn ordinal_word(word: &str) -> Option<i64> {
    match word {
        "first" => return Some(1),
        "second" => return Some(2),
        "third" => return Some(3),
        "fifth" => return Some(5),
        "eighth" => return Some(8),
        "ninth" => return Some(9),
        "twelfth" => return Some(12),
        _ => {}
    }
    let stem = word.strip_suffix("th")?;
    let number = match stem.strip_suffix("ie") {
        Some(stem) => number_word(&format!("{stem}y")).filter(|number| *number >= 20),
        None => number_word(stem),
    };
    number.filter(|number| {
        ![0, 1, 2, 3, 5, 8, 9, 12].contains(number)
            && (*number < 20 || *number == 100 || stem.ends_with("ie"))
    })
}

/// What a word behind a number multiplies it by.
pub(super) fn scale(word: &str) -> Option<i64> {
    match word {
        "dozen" => Some(12),
        "hundred" => Some(100),
        "thousand" => Some(1000),
        "million" => Some(1_000_000),
        "billion" => Some(1_000_000_000),
        "trillion" => Some(1_000_000_000_000),
        _ => None,
    }
}

/// Words in lower case without punctuation and leading articles.
pub(super) fn normal(tokens: &[Token<'_>]) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token.kind {
            Kind::Word(word) => parts.push(word.to_lowercase()),
            Kind::Number(number) => parts.push(number.to_owned()),
            Kind::Command(name) | Kind::Begin(name) => parts.push(format!("\\{name}")),
            Kind::End => parts.push("\\end".into()),
            Kind::Sign('.' | ',' | ';' | '?') => {}
            Kind::Sign(sign) => parts.push(sign.into()),
        }
    }
    let articles = parts.iter().take_while(|part| ["the", "a", "an"].contains(&part.as_str()));
    let articles = articles.count();
    if articles < parts.len() {
        parts.drain(..articles);
    }
    quadrant(&parts).unwrap_or_else(|| parts.join(" "))
}

/// `quadrant 4` of `Quadrant IV`, `the fourth quadrant` and the like.
fn quadrant(parts: &[String]) -> Option<String> {
    let number = |part: &str| match part {
        "i" | "1" | "1st" => Some(1),
        "ii" | "2" | "2nd" => Some(2),
        "iii" | "3" | "3rd" => Some(3),
        "iv" | "4" | "4th" => Some(4),
        word => ordinal_word(word).filter(|number| *number <= 4),
    };
    match parts {
        [name, place] | [place, name] if name == "quadrant" => {
            number(place).map(|number| format!("quadrant {number}"))
        }
        [number, ending, name] if name == "quadrant" => {
            let number = number.parse().ok().filter(|number| ending_of(*number) == ending)?;
            (1..=4).contains(&number).then(|| format!("quadrant {number}"))
        }
        _ => None,
    }
}

/// Whether two texts of words differ in hyphens or the spaces in their place alone.
pub(super) fn same_words(text: &str, other: &str) -> bool {
    let words = |text: &str| text.chars().all(|char| char.is_alphabetic() || " -'".contains(char));
    let joined = |text: &str| text.replace([' ', '-'], "");
    let hyphens = text.contains('-') || other.contains('-');
    hyphens && words(text) && words(other) && joined(text) == joined(other)
}

/// The letter of an option and the text behind it: `B. 12`, `(B) 12`, `option B`, `B)`.
pub(super) fn option(text: &str) -> Option<(char, &str)> {
    let mut rest = text.trim();
    let texts = ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{"];
    let opened = texts.iter().find_map(|text| rest.strip_prefix(text));
    rest = opened.unwrap_or(rest).trim_start();
    let mut named = false;
    for name in ["option ", "choice ", "answer "] {
        if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            rest = rest[name.len()..].trim_start();
            named = true;
        }
    }
    let bracket = rest.strip_prefix('(');
    rest = bracket.unwrap_or(rest);
    let letter = rest.chars().next().filter(|letter| matches!(letter, 'A'..='J' | 'a'..='j'))?;
    rest = &rest[1..];
    let closed = match bracket {
        Some(_) => rest.strip_prefix(')'),
        None => rest.strip_prefix(')').or(rest
            .strip_prefix(['.', ':'])
            .filter(|after| letter.is_uppercase() && (after.is_empty() || after.starts_with(' ')))),
    };
    let after = match closed {
        Some(after) => after.strip_prefix(['.', ':']).unwrap_or(after),
        None if named && bracket.is_none() && (rest.is_empty() || rest.starts_with(' ')) => rest,
        None => return None,
    };
    // `(a)(b)` and `(A)+1` are expressions; a lone `(a)` is one as well.
    let mut behind = after.trim();
    if opened.is_some() {
        behind = behind.strip_prefix('}').or(behind.strip_suffix('}'))?.trim();
    }
    let apart = (after.starts_with(char::is_whitespace) || opened.is_some())
        && !behind.starts_with(is_operator);
    (apart && !behind.is_empty() || behind.is_empty() && (named || bracket.is_none()))
        .then_some((letter.to_ascii_uppercase(), behind))
}

fn is_operator(char: char) -> bool {
    "+-*/^=<>".contains(char)
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn words_have_a_meaning() {
        let read = |text| phrase(&tokens(text).unwrap());
        assert_eq!(read("Yes"), Some(Phrase::Truth(true)));
        assert_eq!(read("twenty-five"), Some(Phrase::Number(25)));
        assert_eq!(read("hundred"), Some(Phrase::Number(100)));
        assert_eq!(read("hundred one"), None);
        assert_eq!(read("No solution"), Some(Phrase::Nothing));
        let ordinals = [
            ("1st", Some(1)),
            ("the 3rd", Some(3)),
            ("11th", Some(11)),
            ("22nd", Some(22)),
            ("Third", Some(3)),
            ("the second", Some(2)),
            ("fourth", Some(4)),
            ("fifteenth", Some(15)),
            ("twentieth", Some(20)),
            ("thirty-first", Some(31)),
            ("hundredth", Some(100)),
            ("3^{rd}", Some(3)),
            ("10^\\text{th}", Some(10)),
            ("2th", None),
            ("2^{th}", None),
            ("3 rd", None),
            ("fiveth", None),
            ("twentyth", None),
            ("twenty second", None),
            ("north", None),
        ];
        for (text, number) in ordinals {
            assert_eq!(read(text), number.map(Phrase::Number), "{text}");
        }
        assert_eq!(read("nope"), None);
        assert_eq!(normal(&tokens("The red, Cat.").unwrap()), "red cat");
        assert_eq!(normal(&tokens("a").unwrap()), "a");
    }

    #[test]
    fn options_have_a_letter_and_a_text() {
        let cases = [
            ("B. 12", Some(('B', "12"))),
            ("(B) 12", Some(('B', "12"))),
            ("b) x", Some(('B', "x"))),
            ("Option C", Some(('C', ""))),
            ("option (c)", Some(('C', ""))),
            ("B.", Some(('B', ""))),
            ("D: none of these", Some(('D', "none of these"))),
            ("\\text{B. } 12", Some(('B', "12"))),
            ("\\textbf{(B) 12}", Some(('B', "12"))),
            ("\\text{B}", None),
            ("A", None),
            ("(A)", None),
            ("(a)(b)", None),
            ("(A) + 1", None),
            ("AB", None),
            ("A:B", None),
            ("B.5", None),
            ("Choice", None),
            ("Answer 12", None),
            ("Ö", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(option(text), expected, "{text}");
        }
    }
}
