//! Answers as tokens.

use super::command::{Meaning, meaning};

/// Text and environments nested deeper are not read.
const MAX_DEPTH: usize = 16;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// Digits with separators of thousands, a decimal point, and a power of ten behind `e`.
    Number(&'a str),
    /// Letters outside of commands.
    Word(&'a str),
    /// The name of a command that takes arguments or stands for a letter or function.
    Command(&'a str),
    /// Anything else; `\{` is `⦃`, `\}` is `⦄`, the end of a row `↵`, and LaTeX's signs are
    /// Unicode's.
    Sign(char),
    /// Begin and end of an environment.
    Begin(&'a str),
    End,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub kind: Kind<'a>,
    /// White space stands before it.
    pub spaced: bool,
    /// It stands in `\text{…}` or the like.
    pub upright: bool,
}

impl Token<'_> {
    pub fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// The tokens of a text without its typesetting; `None` where text nests too deep.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut lexer = Lexer { rest: text, tokens: Vec::with_capacity(16), brackets: 0 };
    lexer.read(false, 0)?;
    Some(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    tokens: Vec<Token<'a>>,
    /// Open brackets that hold elements between commas.
    brackets: usize,
}

impl<'a> Lexer<'a> {
    /// Reads to the end, or to the brace that ends text.
    fn read(&mut self, upright: bool, depth: usize) -> Option<()> {
        (depth <= MAX_DEPTH).then_some(())?;
        let (mut spaced, mut braces) = (upright, 0usize);
        while let Some(char) = self.rest.chars().next() {
            let before = self.rest;
            let kind = match char {
                '0'..='9' => Some(self.number()),
                '.' if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                    Some(self.number())
                }
                '\\' => match self.command(depth)? {
                    Read::Kind(kind) => Some(kind),
                    Read::Space => {
                        spaced = true;
                        continue;
                    }
                    Read::Nothing => continue,
                    Read::Text => {
                        self.read(true, depth + 1)?;
                        spaced = true;
                        continue;
                    }
                },
                '~' | '$' | '"' => None,
                '*' if self.rest.starts_with("**") => self.advance(2, Kind::Sign('^')),
                '<' if self.rest.starts_with("<=") => self.advance(2, Kind::Sign('≤')),
                '>' if self.rest.starts_with(">=") => self.advance(2, Kind::Sign('≥')),
                '=' if self.rest.starts_with("==") => self.advance(2, Kind::Sign('=')),
                '!' if spaced && self.rest.starts_with("!=") => self.advance(2, Kind::Sign('≠')),
                '.' if self.rest.starts_with("...") => self.advance(3, Kind::Sign('…')),
                '^' => self.exponent(),
                '{' => {
                    braces += 1;
                    self.advance(1, Kind::Sign('{'))
                }
                '}' if upright && braces == 0 => {
                    self.rest = &self.rest[1..];
                    return Some(());
                }
                '}' => {
                    braces = braces.saturating_sub(1);
                    self.advance(1, Kind::Sign('}'))
                }
                _ if char.is_whitespace() => None,
                _ if char.is_alphabetic() && !is_sign(char) => Some(self.word()),
                '×' => self.advance(2, Kind::Sign('*')),
                '÷' => self.advance(2, Kind::Sign('/')),
                _ => self.advance(char.len_utf8(), Kind::Sign(char)),
            };
            match kind {
                Some(kind) => self.push(Token { kind, spaced, upright }),
                None => self.rest = &self.rest[char.len_utf8()..],
            }
            spaced = kind.is_none() && (spaced || char.is_whitespace() || char == '~');
            debug_assert!(self.rest.len() < before.len());
        }
        Some(())
    }

    fn push(&mut self, token: Token<'a>) {
        match token.kind {
            Kind::Sign('(' | '[' | '⦃') => self.brackets += 1,
            Kind::Sign(')' | ']' | '⦄') => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.tokens.push(token);
    }

    fn advance(&mut self, bytes: usize, kind: Kind<'a>) -> Option<Kind<'a>> {
        self.rest = &self.rest[bytes..];
        Some(kind)
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn word(&mut self) -> Kind<'a> {
        let other = |char: char| !char.is_alphabetic() || is_sign(char);
        let length = self.rest.find(other).unwrap_or(self.rest.len());
        Kind::Word(self.take(length))
    }

    /// A degree sign or an exponent's beginning.
    fn exponent(&mut self) -> Option<Kind<'a>> {
        let rest = self.rest[1..].trim_start();
        for degree in ["\\circ", "{\\circ}", "°", "{°}", "{ \\circ }", "\\degree"] {
            if let Some(after) = rest.strip_prefix(degree) {
                self.rest = after;
                return Some(Kind::Sign('°'));
            }
        }
        self.advance(1, Kind::Sign('^'))
    }

    fn number(&mut self) -> Kind<'a> {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| {
            bytes
                .get(from..)
                .map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
        };
        let mut end = digits(0);
        if (1..=3).contains(&end) {
            end = self.thousands(end);
        }
        let bar = |from: usize| {
            ["\\overline", "\\bar", "\\dot"].iter().any(|bar| self.rest[from..].starts_with(bar))
        };
        if bytes.get(end) == Some(&b'.') && (digits(end + 1) > 0 || bar(end + 1)) {
            end += 1 + digits(end + 1);
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let scale = digits(end + 1 + sign);
            if scale > 0 {
                end += 1 + sign + scale;
            }
        }
        Kind::Number(self.take(end))
    }

    /// The end of the groups of three digits after `start`.
    ///
    /// Within brackets commas part elements, unless a group begins with 0.
    fn thousands(&self, start: usize) -> usize {
        let bytes = self.rest.as_bytes();
        let (mut end, mut leading_zero) = (start, false);
        let mut used = None;
        loop {
            let rest = &self.rest[end..];
            let separators = ["{,}", ",\\!", "\\,", "\\ ", ",", " "];
            let Some(separator) =
                separators.into_iter().find(|separator| rest.starts_with(separator))
            else {
                break;
            };
            let group = end + separator.len();
            let digits = bytes[group..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
            // "2 500/3" is no mixed number; "1 200" is one number.
            if digits != 3 || used.is_some_and(|used| used != separator) {
                break;
            }
            used = Some(separator);
            leading_zero |= bytes[group] == b'0';
            end = group + 3;
        }
        let parts = self.brackets > 0 && used.is_some_and(|used| matches!(used, "," | " "));
        if parts && !leading_zero { start } else { end }
    }

    /// Reads a command and what belongs to it.
    fn command(&mut self, depth: usize) -> Option<Read<'a>> {
        let rest = &self.rest[1..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let length =
            if letters > 0 { letters } else { rest.chars().next().map_or(0, char::len_utf8) };
        let name = &rest[..length];
        self.rest = &rest[length..];
        Some(match meaning(name) {
            Meaning::Space => Read::Space,
            Meaning::Nothing => Read::Nothing,
            Meaning::Sign(sign) => Read::Kind(Kind::Sign(sign)),
            Meaning::Delimiter => {
                self.rest = self.rest.trim_start();
                self.rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
                Read::Nothing
            }
            Meaning::Text => match self.rest.trim_start().strip_prefix('{') {
                Some(inner) => {
                    self.rest = inner;
                    Read::Text
                }
                None => Read::Nothing,
            },
            Meaning::Not => {
                let rest = self.rest.trim_start();
                match rest.strip_prefix('=') {
                    Some(after) => {
                        self.rest = after;
                        Read::Kind(Kind::Sign('≠'))
                    }
                    None => Read::Kind(Kind::Sign('¬')),
                }
            }
            Meaning::Blackboard => match self.rest.trim_start().strip_prefix("{R}") {
                Some(after) => {
                    self.rest = after;
                    Read::Kind(Kind::Sign('ℝ'))
                }
                None => Read::Nothing,
            },
            Meaning::Begin => {
                let environment = self.braced();
                if environment == "array" {
                    self.braced();
                }
                (depth < MAX_DEPTH).then_some(())?;
                Read::Kind(Kind::Begin(environment))
            }
            Meaning::End => {
                self.braced();
                Read::Kind(Kind::End)
            }
            Meaning::Command => Read::Kind(Kind::Command(name)),
        })
    }

    /// What stands between the next braces, if they come next.
    fn braced(&mut self) -> &'a str {
        let Some(inner) = self.rest.trim_start().strip_prefix('{') else { return "" };
        let Some((content, rest)) = inner.split_once('}') else { return "" };
        self.rest = rest;
        content
    }
}

enum Read<'a> {
    Kind(Kind<'a>),
    Space,
    Nothing,
    Text,
}

/// Letters of Unicode that are signs here.
fn is_sign(char: char) -> bool {
    matches!(char, 'ℝ' | '∅' | '∞')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> String {
        let spell = |token: &Token<'_>| match token.kind {
            Kind::Number(text) | Kind::Word(text) => text.to_owned(),
            Kind::Command(name) => format!("\\{name}"),
            Kind::Sign(sign) => sign.to_string(),
            Kind::Begin(name) => format!("<{name}>"),
            Kind::End => "</>".into(),
        };
        tokens(text).unwrap().iter().map(spell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn answers_are_read_as_tokens() {
        let cases = [
            ("$\\left( 1, 2 \\right)$", "( 1 , 2 )"),
            ("1,234,567.50", "1,234,567.50"),
            ("1{,}000", "1{,}000"),
            ("10\\,000", "10\\,000"),
            ("(100,200)", "( 100 , 200 )"),
            ("(1,000)", "( 1,000 )"),
            ("1,2", "1 , 2"),
            ("1,0000", "1 , 0000"),
            ("12,345, 6", "12,345 , 6"),
            ("1.5e-3x", "1.5e-3 x"),
            ("2ex", "2 ex"),
            ("5.", "5 ."),
            ("60^{\\circ}", "60 °"),
            ("5\\text{ cm}^2", "5 cm ^ 2"),
            ("\\dfrac{1}{2}", "\\dfrac { 1 } { 2 }"),
            ("\\{1\\}", "⦃ 1 ⦄"),
            ("x \\leq 2", "x ≤ 2"),
            ("x != 2", "x ≠ 2"),
            ("5!", "5 !"),
            ("\\begin{array}{cc}1&2\\\\3\\end{array}", "<array> 1 & 2 ↵ 3 </>"),
            ("\\mathbb{R}", "ℝ"),
            ("\\", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(spelled(text), expected, "{text}");
        }
    }

    #[test]
    fn text_nests_to_a_bound() {
        assert!(tokens(&"\\text{".repeat(MAX_DEPTH)).is_some());
        assert!(tokens(&"\\text{".repeat(4000)).is_none());
    }
}
