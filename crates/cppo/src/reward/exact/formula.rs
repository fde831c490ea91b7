//! Reads tokens as an expression.

use super::super::symbolic::{Expression, Function, Rational};
use super::token::{Kind, Token};

/// Brackets, arguments and exponents nested deeper are not read.
const MAX_DEPTH: usize = 48;

/// An expression, and whether it holds no decimal fraction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Formula<'a> {
    pub value: Expression<'a>,
    pub exact: bool,
}

/// The expression that the tokens spell; `±` is read as `+`, or as `-` if not `upper`.
///
/// A product without its sign binds as tightly as one with it: `1/2x` is `x/2`. Words of up to
/// three letters are products of their letters. `i` is the imaginary unit and `e` Euler's number;
/// `log` without a base has base 10; angles are radians unless they have a degree sign; odd roots
/// of negative numbers are real.
pub(super) fn formula<'a>(tokens: &[Token<'a>], upper: bool) -> Option<Formula<'a>> {
    let mut parser = Parser { tokens: tokens.to_vec(), place: 0, depth: 0, exact: true, upper };
    let value = parser.sum()?;
    (parser.place == tokens.len()).then_some(Formula { value, exact: parser.exact })
}

/// Reads an expression from left to right.
pub(super) struct Parser<'a> {
    pub tokens: Vec<Token<'a>>,
    pub place: usize,
    depth: usize,
    pub exact: bool,
    upper: bool,
}

impl<'a> Parser<'a> {
    pub fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.place).copied()
    }

    pub fn kind(&self) -> Option<Kind<'a>> {
        self.peek().map(|token| token.kind)
    }

    pub fn take(&mut self, sign: char) -> bool {
        let taken = self.peek().is_some_and(|token| token.is(sign));
        self.place += usize::from(taken);
        taken
    }

    pub fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())?;
        let read = read(self)?;
        self.depth -= 1;
        Some(read)
    }

    fn sum(&mut self) -> Option<Expression<'a>> {
        let mut terms = vec![self.product()?];
        loop {
            let negative = match self.kind() {
                Some(Kind::Sign('+')) => false,
                Some(Kind::Sign('-')) => true,
                Some(Kind::Sign('±')) => !self.upper,
                Some(Kind::Sign('∓')) => self.upper,
                _ => return Some(Expression::sum(terms)),
            };
            self.place += 1;
            let term = self.product()?;
            terms.push(if negative { term.negated() } else { term });
        }
    }

    fn product(&mut self) -> Option<Expression<'a>> {
        let mut factors = vec![self.signed()?];
        loop {
            if self.take('*') {
                factors.push(self.signed()?);
            } else if self.take('/') {
                factors.push(self.signed()?.recip());
            } else if self.starts_factor() {
                factors.push(self.power()?);
            } else {
                return Some(Expression::product(factors));
            }
        }
    }

    /// Whether a factor without a sign before it comes next; two numbers are no product.
    fn starts_factor(&self) -> bool {
        match self.kind() {
            Some(Kind::Number(_)) => {
                self.place == 0 || !matches!(self.tokens[self.place - 1].kind, Kind::Number(_))
            }
            Some(Kind::Word(_)) => true,
            Some(Kind::Command(name)) => name != "over",
            Some(Kind::Sign(sign)) => "([{⌊⌈∞∠".contains(sign),
            _ => false,
        }
    }

    /// A power with signs before it, which bind less tightly.
    pub fn signed(&mut self) -> Option<Expression<'a>> {
        let mut negative = false;
        while let Some(Kind::Sign(sign @ ('+' | '-' | '±' | '∓'))) = self.kind() {
            negative ^= match sign {
                '+' => false,
                '-' => true,
                '±' => !self.upper,
                _ => self.upper,
            };
            self.place += 1;
        }
        let power = self.power()?;
        Some(if negative { power.negated() } else { power })
    }

    pub fn power(&mut self) -> Option<Expression<'a>> {
        let base = self.postfix()?;
        if !self.take('^') {
            return Some(base);
        }
        let exponent = self.exponent()?;
        let power = power(base, exponent);
        Some(if self.take('!') { factorial(power) } else { power })
    }

    pub fn exponent(&mut self) -> Option<Expression<'a>> {
        self.deeper(Self::signed)
    }

    fn postfix(&mut self) -> Option<Expression<'a>> {
        let mut value = self.primary()?;
        loop {
            if self.take('!') {
                value = factorial(value);
            } else if self.take('°') || self.take_degrees() {
                let degree = Expression::Number(Rational::new(1, 180)?);
                value = Expression::product(vec![value, degree, Expression::Pi]);
            } else if self.take('%') {
                let percent = Expression::Number(Rational::new(1, 100)?);
                value = Expression::product(vec![value, percent]);
            } else {
                return Some(value);
            }
        }
    }

    fn take_degrees(&mut self) -> bool {
        let degrees = matches!(self.kind(), Some(Kind::Word("degrees" | "degree" | "deg")));
        self.place += usize::from(degrees);
        degrees
    }

    pub fn primary(&mut self) -> Option<Expression<'a>> {
        match self.kind()? {
            Kind::Number(text) => self.number(text),
            Kind::Word(word) => self.word(word),
            Kind::Command(name) => {
                self.place += 1;
                self.command(name)
            }
            Kind::Sign('$') => {
                self.place += 1;
                self.deeper(Self::primary)
            }
            Kind::Sign('{') => self.group(),
            Kind::Sign('(') => self.between(')'),
            Kind::Sign('[') => self.between(']'),
            Kind::Sign('|') => Some(function(Function::Abs, self.between('|')?)),
            Kind::Sign('⌊') => Some(function(Function::Floor, self.between('⌋')?)),
            Kind::Sign('⌈') => Some(function(Function::Ceil, self.between('⌉')?)),
            Kind::Sign('∞') => {
                self.place += 1;
                Some(Expression::Symbol("∞".into()))
            }
            Kind::Sign('∠') => {
                self.place += 1;
                let Some(Kind::Word(vertices) | Kind::Number(vertices)) = self.kind() else {
                    return None;
                };
                self.place += 1;
                Some(Expression::Symbol(format!("∠{vertices}").into()))
            }
            _ => None,
        }
    }

    pub fn between(&mut self, close: char) -> Option<Expression<'a>> {
        self.place += 1;
        let inner = self.deeper(Self::sum)?;
        self.take(close).then_some(inner)
    }

    /// What stands in braces, which may hold one `\over`.
    fn group(&mut self) -> Option<Expression<'a>> {
        self.place += 1;
        let mut inner = self.deeper(Self::sum)?;
        if self.kind() == Some(Kind::Command("over")) {
            self.place += 1;
            inner = Expression::product(vec![inner, self.deeper(Self::sum)?.recip()]);
        }
        self.take('}').then_some(inner)
    }
}

fn function<'a>(function: Function, argument: Expression<'a>) -> Expression<'a> {
    Expression::Function(function, Box::new(argument))
}

fn factorial(argument: Expression<'_>) -> Expression<'_> {
    let small = Expression::factorial(argument.clone());
    small.unwrap_or_else(|| function(Function::Factorial, argument))
}

/// A power; fractional exponents of odd denominator take the real root.
pub(super) fn power<'a>(base: Expression<'a>, exponent: Expression<'a>) -> Expression<'a> {
    let Expression::Number(number) = exponent else { return Expression::power(base, exponent) };
    let numerator = i64::try_from(number.numerator()).ok().map(Expression::integer);
    match (number.denominator(), numerator) {
        (2, Some(numerator)) => raised(Expression::sqrt(base), numerator),
        (degree @ 3..=999, Some(numerator)) if degree % 2 == 1 => {
            let root = Function::OddRoot(degree as u32);
            raised(function(root, base), numerator)
        }
        _ => Expression::power(base, exponent),
    }
}

fn raised<'a>(base: Expression<'a>, exponent: Expression<'a>) -> Expression<'a> {
    match exponent == Expression::integer(1) {
        true => base,
        false => Expression::power(base, exponent),
    }
}

pub(super) fn binomial<'a>(
    above: &Expression<'a>,
    below: &Expression<'a>,
) -> Option<Expression<'a>> {
    let (Expression::Number(above), Expression::Number(below)) = (above, below) else {
        return None;
    };
    let (above, below) = (above.to_integer()?, below.to_integer()?);
    (0..=1000).contains(&above).then_some(())?;
    let below = below.min(above - below);
    let mut value = Rational::ONE;
    for factor in 0..below {
        let part = Rational::new((above - factor).into(), (factor + 1).into())?;
        value = value.mul(part)?;
    }
    Some(Expression::Number(if below < 0 { Rational::ZERO } else { value }))
}

#[cfg(test)]
mod tests {
    use super::super::super::symbolic::{exactly, nearly};
    use super::super::plain::plain;
    use super::super::token::tokens;
    use super::*;

    fn agree(left: &str, right: &str) -> bool {
        let (left, right) = (plain(left), plain(right));
        let read = |text| formula(&tokens(text).unwrap(), true);
        let (Some(a), Some(b)) = (read(&left), read(&right)) else {
            panic!("{left} or {right} is not read");
        };
        exactly(&a.value, &b.value).unwrap_or_else(|| nearly(&a.value, &b.value, 1e-9))
    }

    #[test]
    fn notations_have_their_meaning() {
        let pairs = [
            ("\\frac12", "1/2"),
            ("\\dfrac{3}{4}x", "3x/4"),
            ("{1 \\over 2}", "0.5"),
            ("1\\frac{1}{2}", "3/2"),
            ("-7 3/4", "-31/4"),
            ("2\\frac{x}{3}", "2x/3"),
            ("√12", "2\\sqrt3"),
            ("\\sqrt[3]{-8}", "-2"),
            ("8^{2/3}", "4"),
            ("2^{-1}", "0.5"),
            ("1.5×10^3", "1500"),
            ("1,234,567", "1234567"),
            ("5!", "120"),
            ("\\binom{5}{2}", "10"),
            ("\\sin 30°", "\\frac{1}{2}"),
            ("\\sin^2 x+\\cos^2 x", "\\sin^{2}(x)+cos(x)^2"),
            ("\\sin 2x", "2\\sin x\\cos x"),
            ("\\tan^{-1}1", "\\frac{\\pi}{4}"),
            ("\\log_2 8", "3"),
            ("\\log_3\\frac{1}{9}", "-2"),
            ("\\sqrt3\\frac{1}{2}", "\\sqrt{3}/2"),
            ("\\log 100", "2"),
            ("\\ln e^2", "2"),
            ("e^{i\\pi}", "-1"),
            ("(1+i)^2", "2i"),
            ("|-3|", "3"),
            ("\\lfloor 2.5 \\rfloor", "2"),
            ("x_1+x_{2}", "x_{2}+x_{1}"),
            ("xy^2", "y^2x"),
            ("2pi r", "2\\pi r"),
            ("10^{10^{10}}", "100^{5*10^9}"),
            ("25%", "1/4"),
            ("sinx", "\\sin{x}"),
            ("0.1\\overline{6}", "1/6"),
            ("0.\\dot{3}", "1/3"),
            ("0.\\dot{1}4285\\dot{7}", "1/7"),
            ("1.\\dot{1}\\dot{2}x", "37x/33"),
            ("1011_2", "11"),
            ("1A_{16}+1", "27"),
            ("2x_1", "x_1*2"),
            ("3a_{12}", "a_{12}*3"),
            ("sin(30 degrees)", "0.5"),
        ];
        for (left, right) in pairs {
            assert!(agree(left, right), "{left} = {right}");
        }
    }

    #[test]
    fn what_is_no_expression_is_not_read() {
        for text in ["", "1 2", "1,2", "x=1", "(1", "1)", "word", "\\frac1", "\\foo", "+", "2^"] {
            assert_eq!(formula(&tokens(text).unwrap(), true), None, "{text}");
        }
        for piece in ["(", "\\sqrt{", "2^", "\\sin ", "{", "|", "\\frac{1}{"] {
            let text = piece.repeat(400) + "x";
            assert_eq!(formula(&tokens(&text).unwrap(), true), None, "{piece}");
        }
    }
}
