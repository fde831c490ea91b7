//! One spelling for what Unicode spells in many ways.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with Unicode's digits, signs, fractions, exponents and Greek letters as LaTeX has
/// them. Signs without an ASCII form stay, each as one character.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(2 * text.len());
    let mut script = None;
    for char in text.chars() {
        let level = raised(char).map(|inner| ('^', inner)).or(lowered(char).map(|i| ('_', i)));
        let now = level.map(|(kind, _)| kind);
        if now != script {
            plain.push_str(if script.is_some() { "}" } else { "" });
            plain.extend(now);
            plain.push_str(if now.is_some() { "{" } else { "" });
            script = now;
        }
        match level {
            Some((_, inner)) => plain.push(inner),
            None => write(&mut plain, char),
        }
    }
    plain.push_str(if script.is_some() { "}" } else { "" });
    Cow::Owned(plain)
}

fn write(plain: &mut String, char: char) {
    if char.is_ascii() {
        plain.push(char);
    } else if let Some(digit) = digit(char) {
        plain.push(digit);
    } else if let Some((numerator, denominator)) = fraction(char) {
        // A formatted write into a string does not fail.
        let _ = write!(plain, "\\frac{{{numerator}}}{{{denominator}}}");
    } else if let Some(name) = greek(char) {
        plain.push('\\');
        plain.push_str(name);
        plain.push(' ');
    } else {
        match sign(char) {
            Some(sign) => plain.push_str(sign),
            None => plain.push(full_width(char)),
        }
    }
}

/// ASCII as it stands between wide characters.
fn full_width(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(char as u32 - 0xfee0).unwrap_or(char),
        _ => char,
    }
}

fn sign(char: char) -> Option<&'static str> {
    Some(match char {
        '−' | '–' | '—' | '‐' | '‑' | '‒' | '﹣' => "-",
        '·' | '⋅' | '∙' | '•' | '∗' => "*",
        '⁄' | '∕' => "/",
        '√' => "\\sqrt ",
        '∛' => "\\sqrt[3]",
        'º' | '˚' | '∘' => "°",
        '⩽' | '≦' => "≤",
        '⩾' | '≧' => "≥",
        '≃' => "≅",
        '∣' => "|",
        '′' | '’' | '‘' => "'",
        '“' | '”' | '″' => "\"",
        '、' => ",",
        '。' => ".",
        '∶' => ":",
        '\u{2329}' | '\u{3008}' => "⟨",
        '\u{232a}' | '\u{3009}' => "⟩",
        '∆' => "△",
        '￥' => "¥",
        '⋯' => "…",
        '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}'..='\u{2064}' => "",
        _ if char.is_whitespace() => " ",
        _ => return None,
    })
}

fn digit(char: char) -> Option<char> {
    let zero = match char {
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        '\u{1d7ce}'..='\u{1d7ff}' => 0x1d7ce,
        _ => return None,
    };
    char::from_digit((char as u32 - zero) % 10, 10)
}

fn fraction(char: char) -> Option<(u8, u8)> {
    Some(match char {
        '½' => (1, 2),
        '⅓' => (1, 3),
        '⅔' => (2, 3),
        '¼' => (1, 4),
        '¾' => (3, 4),
        '⅕' => (1, 5),
        '⅖' => (2, 5),
        '⅗' => (3, 5),
        '⅘' => (4, 5),
        '⅙' => (1, 6),
        '⅚' => (5, 6),
        '⅛' => (1, 8),
        '⅜' => (3, 8),
        '⅝' => (5, 8),
        '⅞' => (7, 8),
        _ => return None,
    })
}

fn raised(char: char) -> Option<char> {
    Some(match char {
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁰' => '0',
        '⁴'..='⁹' => char::from_u32(char as u32 - 0x2074 + 0x34)?,
        '⁺' => '+',
        '⁻' => '-',
        'ⁿ' => 'n',
        'ˣ' => 'x',
        _ => return None,
    })
}

fn lowered(char: char) -> Option<char> {
    matches!(char, '₀'..='₉').then(|| char::from_u32(char as u32 - 0x2080 + 0x30))?
}

fn greek(char: char) -> Option<&'static str> {
    const SMALL: [&str; 25] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon",
        "phi", "chi", "psi", "omega",
    ];
    const LARGE: [&str; 25] = [
        "Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta", "Theta", "Iota", "Kappa",
        "Lambda", "Mu", "Nu", "Xi", "Omicron", "Pi", "Rho", "Sigma", "Sigma", "Tau", "Upsilon",
        "Phi", "Chi", "Psi", "Omega",
    ];
    match char {
        'α'..='ω' => SMALL.get(char as usize - 'α' as usize).copied(),
        'Α'..='Ω' => LARGE.get(char as usize - 'Α' as usize).copied(),
        'ϕ' => Some("phi"),
        'ϵ' => Some("epsilon"),
        'ϑ' => Some("theta"),
        'µ' => Some("mu"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_has_one_spelling() {
        let cases = [
            ("−５", "-5"),
            ("x²+y⁻¹⁰", "x^{2}+y^{-10}"),
            ("a₁²", "a_{1}^{2}"),
            ("2½", "2\\frac{1}{2}"),
            ("2π", "2\\pi "),
            ("∛8 ⩽ √４", "\\sqrt[3]8 ≤ \\sqrt 4"),
            ("٣\u{a0}𝟗", "3 9"),
            ("é", "é"),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
