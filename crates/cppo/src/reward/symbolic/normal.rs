//! Expressions as text, the same for every order of terms and factors.

use super::expression::Expression;
use super::function::Function;
use super::rational::Rational;

use Expression::{
    E, Function as Apply, Ln, Number, Pi, Power, Product, Radical, Sqrt, Sum, Symbol,
};

impl Expression<'_> {
    /// Whether it has the same value for all values of its symbols, since it has none.
    pub fn is_constant(&self) -> bool {
        match self {
            Number(_) | Pi | E | Radical { .. } => true,
            Symbol(_) => false,
            Sum(parts) | Product(parts) => parts.iter().all(Self::is_constant),
            Power(base, exponent) => base.is_constant() && exponent.is_constant(),
            Sqrt(argument) | Ln(argument) | Apply(_, argument) => argument.is_constant(),
        }
    }

    /// Terms and factors sorted, numbers among them taken together; nothing is expanded.
    pub fn normal(&self) -> String {
        match self {
            Number(number) if number.denominator() == 1 => number.numerator().to_string(),
            Number(number) => format!("{}/{}", number.numerator(), number.denominator()),
            Pi => "pi".into(),
            E => "e".into(),
            Symbol(name) => name.to_string(),
            Sum(terms) => {
                let parts = |term: &Self| match term {
                    Sum(terms) => Some(terms.clone()),
                    _ => None,
                };
                join(terms, '+', Rational::ZERO, Rational::add, &parts)
            }
            Product(factors) => {
                let parts = |factor: &Self| match factor {
                    Product(factors) => Some(factors.clone()),
                    _ => None,
                };
                join(factors, '*', Rational::ONE, Rational::mul, &parts)
            }
            Power(base, exponent) => format!("{}^{}", base.atom(), exponent.atom()),
            Radical { primes, negative } => {
                let under: Vec<String> = primes.iter().map(u64::to_string).collect();
                match (under.is_empty(), negative) {
                    (true, _) => "i".into(),
                    (false, true) => format!("i*sqrt({})", under.join("*")),
                    (false, false) => format!("sqrt({})", under.join("*")),
                }
            }
            Sqrt(argument) => format!("sqrt({})", argument.normal()),
            Ln(argument) => format!("ln({})", argument.normal()),
            Apply(Function::OddRoot(degree), argument) => {
                format!("root{degree}({})", argument.normal())
            }
            Apply(function, argument) => format!("{}({})", function.name(), argument.normal()),
        }
    }

    fn atom(&self) -> String {
        let simple = match self {
            Number(number) => number.denominator() == 1 && number.numerator() >= 0,
            Sum(_) | Product(_) | Power(..) => false,
            Radical { primes, negative } => !negative || primes.is_empty(),
            _ => true,
        };
        if simple { self.normal() } else { format!("({})", self.normal()) }
    }
}

fn join<'a>(
    parts: &[Expression<'a>],
    sign: char,
    start: Rational,
    combine: fn(Rational, Rational) -> Option<Rational>,
    inner: &dyn Fn(&Expression<'a>) -> Option<Vec<Expression<'a>>>,
) -> String {
    let mut number = start;
    let mut texts = Vec::with_capacity(parts.len());
    let mut rest: Vec<Expression<'a>> = parts.to_vec();
    while let Some(part) = rest.pop() {
        if let Some(parts) = inner(&part) {
            rest.extend(parts);
            continue;
        }
        let combined = match &part {
            Number(value) => combine(number, *value),
            _ => None,
        };
        match combined {
            Some(combined) => number = combined,
            None if sign == '*' && matches!(part, Sum(_)) => texts.push(part.atom()),
            None => texts.push(part.normal()),
        }
    }
    texts.sort_unstable();
    if number != start || texts.is_empty() {
        texts.insert(0, Number(number).normal());
    }
    texts.join(sign.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;

    #[test]
    fn the_order_of_parts_is_lost() {
        let cases = [
            ("2*x*3+1+y", "1+6*x+y"),
            ("y+(1+x*6)", "1+6*x+y"),
            ("(x+1)*y", "(1+x)*y"),
            ("(x+1)^2/3", "1/3*(1+x)^2"),
            ("x^(-1)", "x^(-1)"),
            ("2sqrt(-6)", "2*i*sqrt(2*3)"),
            ("ln(x-x)", "ln(-1*x+x)"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap().normal(), expected, "{text}");
        }
    }
}
