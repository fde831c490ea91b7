//! Reads words and commands in expressions.

use std::borrow::Cow;

use super::super::symbolic::Expression;
use super::formula::{Parser, binomial, power};
use super::names::{Name, is_greek, name};
use super::number::literal;
use super::token::Kind;

/// Words of so many letters are no products of letters.
const WORD: usize = 4;

impl<'a> Parser<'a> {
    /// A function with its argument, a constant, or the next letter of a word.
    pub fn word(&mut self, word: &'a str) -> Option<Expression<'a>> {
        word.is_ascii().then_some(())?;
        if let Some(name) = name(word) {
            self.place += 1;
            return self.named(name);
        }
        if ["frac", "dfrac", "tfrac"].contains(&word) {
            self.place += 1;
            return self.command(word);
        }
        if word == "infinity" || word == "oo" {
            self.place += 1;
            return Some(Expression::Symbol("∞".into()));
        }
        if is_greek(word) {
            self.place += 1;
            return self.symbol(word);
        }
        for prefix in ["sin", "cos", "tan", "log", "ln", "sqrt", "pi"] {
            if let Some(rest) = word.strip_prefix(prefix).filter(|rest| rest.len() == 1) {
                self.replace(Kind::Word(rest));
                return self.named(name(prefix)?);
            }
        }
        let capital = word.bytes().all(|byte| byte.is_ascii_uppercase());
        (word.len() < WORD || capital).then_some(())?;
        let (letter, rest) = word.split_at(1);
        if rest.is_empty() {
            self.place += 1;
            return match letter {
                "e" => Some(Expression::E),
                "i" => Some(Expression::Radical { primes: Vec::new(), negative: true }),
                _ => self.symbol(letter),
            };
        }
        self.replace(Kind::Word(rest));
        Some(match letter {
            "e" => Expression::E,
            "i" => Expression::Radical { primes: Vec::new(), negative: true },
            _ => Expression::Symbol(letter.into()),
        })
    }

    fn replace(&mut self, kind: Kind<'a>) {
        self.tokens[self.place].kind = kind;
        self.tokens[self.place].spaced = false;
    }

    /// A letter with its primes and its index.
    fn symbol(&mut self, letter: &'a str) -> Option<Expression<'a>> {
        let mut name = Cow::Borrowed(letter);
        while self.take('\'') {
            name.to_mut().push('\'');
        }
        if self.take('_') {
            name.to_mut().push('_');
            let index = self.spelled()?;
            name.to_mut().push_str(&index);
        }
        Some(Expression::Symbol(name))
    }

    /// The next token or group as text.
    fn spelled(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut open = 0usize;
        loop {
            match self.kind()? {
                Kind::Sign('{') => open += 1,
                Kind::Sign('}') => open = open.checked_sub(1)?,
                Kind::Sign(sign) => text.push(sign),
                Kind::Number(part) | Kind::Word(part) | Kind::Command(part) => text.push_str(part),
                Kind::Begin(_) | Kind::End => return None,
            }
            self.place += 1;
            if open == 0 {
                return Some(text);
            }
        }
    }

    pub fn command(&mut self, command: &'a str) -> Option<Expression<'a>> {
        if let Some(name) = name(command) {
            return self.named(name);
        }
        if is_greek(command) {
            return self.symbol(command);
        }
        match command {
            "frac" | "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" => {
                let numerator = self.argument()?;
                Some(Expression::product(vec![numerator, self.argument()?.recip()]))
            }
            "binom" | "dbinom" | "tbinom" => {
                let (above, below) = (self.argument()?, self.argument()?);
                binomial(&above, &below)
            }
            "vec" | "hat" | "bar" | "tilde" | "overline" | "overrightarrow" | "widehat"
            | "overleftrightarrow" | "ell" | "hbar" | "mathscr" | "mathfrak" => {
                let text = match command {
                    "ell" | "hbar" => String::new(),
                    _ => self.spelled()?,
                };
                Some(Expression::Symbol(format!("{command} {text}").into()))
            }
            _ => None,
        }
    }

    /// A group, or one digit, letter or command.
    pub fn argument(&mut self) -> Option<Expression<'a>> {
        if let Some(Kind::Number(text)) = self.kind()
            && text.len() > 1
            && text.bytes().all(|byte| byte.is_ascii_digit())
        {
            let (digit, rest) = text.split_at(1);
            self.replace(Kind::Number(rest));
            return Some(literal(digit)?.0);
        }
        self.unmixed()
    }

    /// A number alone, which takes no fraction behind it, or anything else that is one factor.
    fn unmixed(&mut self) -> Option<Expression<'a>> {
        match self.kind() {
            Some(Kind::Number(text)) => self.decimal(text),
            _ => self.deeper(Self::primary),
        }
    }

    fn named(&mut self, name: Name) -> Option<Expression<'a>> {
        match name {
            Name::Pi => return Some(Expression::Pi),
            Name::Root => return self.root(),
            _ => {}
        }
        let base = match self.take('_') {
            true => Some(self.argument()?),
            false => None,
        };
        let exponent = match self.take('^') {
            true => Some(self.exponent()?),
            false => None,
        };
        let inverse = matches!(&exponent, Some(exponent) if *exponent == Expression::integer(-1));
        let argument = self.deeper(Self::operand)?;
        let value = name.apply(argument, base, inverse)?;
        Some(match exponent {
            Some(exponent) if !inverse => power(value, exponent),
            _ => value,
        })
    }

    /// What a function is applied to: brackets, or all factors up to the next function.
    fn operand(&mut self) -> Option<Expression<'a>> {
        if let Some(Kind::Sign('(' | '[' | '{' | '|')) = self.kind() {
            return self.primary();
        }
        let mut factors = vec![self.signed()?];
        loop {
            let next = match self.kind() {
                Some(Kind::Word(word)) => name(word).is_none_or(|name| name.is_value()),
                Some(Kind::Command(command)) => {
                    command != "over" && name(command).is_none_or(|name| name.is_value())
                }
                _ => false,
            };
            if !next {
                return Some(Expression::product(factors));
            }
            factors.push(self.power()?);
        }
    }

    /// A root whose sign is read.
    fn root(&mut self) -> Option<Expression<'a>> {
        let degree = match self.peek().is_some_and(|token| token.is('[')) {
            true => self.between(']')?,
            false => Expression::integer(2),
        };
        let argument = self.unmixed()?;
        Some(power(argument, degree.recip()))
    }
}
