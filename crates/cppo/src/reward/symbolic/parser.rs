//! Reads expressions as sympy's `parse_expr` does with implicit multiplication.

use super::expression::Expression;
use super::rational::Rational;

/// Brackets, signs and exponents nested deeper are not read.
const MAX_DEPTH: usize = 64;

/// Names of two letters at most that sympy does not split although they are no functions here.
const GREEK: [&str; 3] = ["mu", "nu", "xi"];

/// Names of two distinct letters at most that mean something else to sympy or to Python.
const RESERVED: [&str; 26] = [
    "all", "as", "csc", "eye", "ff", "fft", "frac", "fu", "gff", "hn1", "hn2", "id", "if", "im",
    "in", "is", "jn", "li", "nan", "ntt", "oo", "or", "re", "rf", "yn", "zoo",
];

/// The expression a text spells; `None` for anything else.
///
/// Letters that stand together are multiplied, unless they name pi or a Greek letter or hold an
/// underscore: `xy2` is `x·y·2`, and so is `xpi` `x·p·i`. A product written without its sign binds
/// as tightly as one with it: `1/2x` is `x/2`.
pub(super) fn parse(text: &str) -> Option<Expression<'_>> {
    let mut parser = Parser { text, place: 0, split_until: 0, depth: 0 };
    let expression = parser.sum()?;
    (parser.place == text.len()).then_some(expression)
}

struct Parser<'a> {
    text: &'a str,
    place: usize,
    /// Up to here, letters and digits belong to one name that is split.
    split_until: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.place..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, prefix: &str) -> bool {
        let taken = self.rest().starts_with(prefix);
        self.place += if taken { prefix.len() } else { 0 };
        taken
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|char| !accept(char)).unwrap_or(rest.len());
        self.place += length;
        &rest[..length]
    }

    fn deeper(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<Expression<'a>>,
    ) -> Option<Expression<'a>> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())?;
        let expression = read(self)?;
        self.depth -= 1;
        Some(expression)
    }

    fn sum(&mut self) -> Option<Expression<'a>> {
        let mut terms = vec![self.product()?];
        loop {
            if self.take("+") {
                terms.push(self.product()?);
            } else if self.take("-") {
                terms.push(self.product()?.negated());
            } else {
                return Some(Expression::sum(terms));
            }
        }
    }

    fn product(&mut self) -> Option<Expression<'a>> {
        let mut factors = vec![self.signed()?];
        loop {
            if self.take("*") {
                factors.push(self.signed()?);
            } else if self.take("/") {
                factors.push(self.signed()?.recip());
            } else if self.peek().is_some_and(|next| next.is_alphanumeric() || "_.(".contains(next))
            {
                factors.push(self.power()?);
            } else {
                return Some(Expression::product(factors));
            }
        }
    }

    /// A power with signs before it, which bind less tightly.
    fn signed(&mut self) -> Option<Expression<'a>> {
        let signs = self.take_while(|char| "+-".contains(char));
        let power = self.power()?;
        let negative = signs.bytes().filter(|&sign| sign == b'-').count() % 2 == 1;
        Some(if negative { power.negated() } else { power })
    }

    fn power(&mut self) -> Option<Expression<'a>> {
        let base = self.primary()?;
        if !self.take("^") && !self.take("**") {
            return Some(base);
        }
        let exponent = self.deeper(Self::signed)?;
        match &exponent {
            // sympy computes such powers in floating point.
            Expression::Number(number) if number.denominator() != 1 => None,
            _ => Some(Expression::power(base, exponent)),
        }
    }

    fn primary(&mut self) -> Option<Expression<'a>> {
        let next = self.peek()?;
        let mut expression = match next {
            '(' => self.brackets()?,
            '.' | '0'..='9' => self.number()?,
            _ if next == '_' || next.is_alphabetic() => self.name()?,
            _ => return None,
        };
        // sympy takes the factorial of a whole name.
        let ends_name = self.place == self.split_until;
        if self.take("!") {
            (!ends_name && self.peek() != Some('!')).then_some(())?;
            expression = Expression::factorial(expression)?;
        }
        Some(expression)
    }

    fn brackets(&mut self) -> Option<Expression<'a>> {
        self.take("(").then_some(())?;
        let inner = self.deeper(Self::sum)?;
        self.take(")").then_some(inner)
    }

    /// A name, or the next part of one that is split.
    fn name(&mut self) -> Option<Expression<'a>> {
        let start = self.place;
        if start >= self.split_until {
            let name = self.take_while(|char| char == '_' || char.is_alphanumeric());
            match name {
                "pi" => return Some(Expression::Pi),
                "sqrt" => return self.brackets().map(Expression::sqrt),
                "ln" => return self.brackets().map(Expression::ln),
                _ if RESERVED.contains(&name) => return None,
                _ if GREEK.contains(&name) || name.contains('_') => {
                    return Some(Expression::Symbol(name.into()));
                }
                _ => {
                    self.split_until = self.place;
                    self.place = start;
                }
            }
        }
        let length = self.peek()?.len_utf8();
        self.place += length;
        Some(Expression::Symbol(self.text[start..start + length].into()))
    }

    /// An exact number; digits inside a name have no decimal point.
    fn number(&mut self) -> Option<Expression<'a>> {
        let in_name = self.place < self.split_until;
        let whole = self.take_while(|char| char.is_ascii_digit());
        let decimals = match !in_name && self.take(".") {
            true => Some(self.take_while(|char| char.is_ascii_digit())),
            false => None,
        };
        let exponent = if in_name { None } else { self.scale() };
        if !in_name {
            let digits = whole.len() + decimals.map_or(0, str::len);
            let integer = decimals.is_none() && exponent.is_none();
            let padded = whole.len() > 1 && whole.starts_with('0');
            // Python reads `3j` as imaginary, `0xa` as hexadecimal.
            let mut next = self.rest().chars();
            let marked = match next.next() {
                Some('j' | '_') => true,
                Some('x' | 'b' | 'o') if integer && whole == "0" => {
                    next.next().is_some_and(|next| next.is_ascii_hexdigit())
                }
                _ => false,
            };
            (digits > 0 && !marked && !(integer && padded)).then_some(())?;
        }
        let decimals = decimals.unwrap_or_default().trim_end_matches('0');
        let mut value = Rational::ZERO;
        for digit in whole.bytes().chain(decimals.bytes()) {
            let shifted = value.mul(Rational::integer(10))?;
            value = shifted.add(Rational::integer(i64::from(digit - b'0')))?;
        }
        let places = exponent.unwrap_or(0).checked_sub(i64::try_from(decimals.len()).ok()?)?;
        Some(Expression::Number(value.mul(Rational::integer(10).pow(places)?)?))
    }

    /// The power of ten behind a number, as in `1e3`.
    fn scale(&mut self) -> Option<i64> {
        let rest = self.rest().strip_prefix('e')?;
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then_some(())?;
        let length = rest.len() - unsigned.len() + digits;
        self.place += 1 + length;
        // An exponent out of range makes a number out of range.
        Some(rest[..length].parse().unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_need_no_sign() {
        let equal = [
            ("2x", "2*x"),
            ("xy", "x*y"),
            ("x2", "x*2"),
            ("x2y10", "x*2*y*10"),
            ("2(x+1)", "2*(x+1)"),
            ("x(y)", "x*y"),
            ("(x)2", "x*2"),
            ("x2.5", "x*2*.5"),
            ("2pi", "2*pi"),
            ("xpi", "x*p*i"),
            ("sqrt(2)x", "sqrt(2)*x"),
            ("xsqrt(2)", "x*s*q*r*t*2"),
            ("sqrt2", "s*q*r*t*2"),
            ("2xy^2", "2*x*y^2"),
            ("x**2", "x^2"),
            ("1e3x", "1000*x"),
            ("1ex", "1*e*x"),
            ("3!x", "6*x"),
            ("--x", "x"),
            ("2a_1", "2*a_1"),
            ("0.5x", ".5*x"),
            ("x05", "x*5"),
            ("0x", "0*x"),
        ];
        for (text, expected) in equal {
            let read = parse(text);
            assert!(read.is_some(), "{text}");
            assert_eq!(read, parse(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_not_read() {
        let texts = [
            "",
            "()",
            "(1",
            "1)",
            "1,2",
            "x=1",
            "x>1",
            "|x|",
            "1//2",
            "1*/2",
            "+",
            "2^",
            "x y",
            "x!",
            "5!!",
            "x2!",
            "2^.5",
            "3j",
            "0x1",
            "05x",
            "1_0x",
            ".",
            "sqrt",
            "sqrt^2(2)",
            "zoo",
            "is",
            "[1]",
            "x²",
            "60°",
            "1e999",
            "1e99999999999999999999",
            "ln2x)",
            "{x}",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| "(".repeat(depth) + "x" + &")".repeat(depth);
        assert!(parse(&nested(MAX_DEPTH)).is_some());
        assert!(parse(&nested(MAX_DEPTH + 1)).is_none());
        assert!(parse(&("x^".repeat(MAX_DEPTH + 1) + "x")).is_none());
        assert!(parse(&("-".repeat(4000) + "x")).is_some());
    }
}
