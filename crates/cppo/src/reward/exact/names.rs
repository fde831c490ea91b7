//! Names of functions, constants and Greek letters.

use super::super::symbolic::{Expression, Function};

/// What a name stands for in an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Name {
    Pi,
    Root,
    CubeRoot,
    Ln,
    Log,
    Exp,
    Function(Function),
    /// The inverse value of a function.
    Recip(Function),
}

pub(super) fn name(word: &str) -> Option<Name> {
    Some(match word {
        "pi" => Name::Pi,
        "sqrt" => Name::Root,
        "cbrt" => Name::CubeRoot,
        "ln" => Name::Ln,
        "log" | "lg" => Name::Log,
        "exp" => Name::Exp,
        "sin" => Name::Function(Function::Sin),
        "cos" => Name::Function(Function::Cos),
        "tan" | "tg" => Name::Function(Function::Tan),
        "csc" => Name::Recip(Function::Sin),
        "sec" => Name::Recip(Function::Cos),
        "cot" => Name::Recip(Function::Tan),
        "arcsin" | "asin" => Name::Function(Function::Arcsin),
        "arccos" | "acos" => Name::Function(Function::Arccos),
        "arctan" | "atan" => Name::Function(Function::Arctan),
        "sinh" => Name::Function(Function::Sinh),
        "cosh" => Name::Function(Function::Cosh),
        "tanh" => Name::Function(Function::Tanh),
        "abs" => Name::Function(Function::Abs),
        "floor" => Name::Function(Function::Floor),
        "ceil" => Name::Function(Function::Ceil),
        _ => return None,
    })
}

impl Name {
    /// Whether it is no function but a factor.
    pub fn is_value(self) -> bool {
        matches!(self, Self::Pi | Self::Root)
    }

    /// The function of an argument; a logarithm has a base, and sine, cosine and tangent an
    /// inverse.
    pub fn apply<'a>(
        self,
        argument: Expression<'a>,
        base: Option<Expression<'a>>,
        inverse: bool,
    ) -> Option<Expression<'a>> {
        let of = |function| Expression::Function(function, Box::new(argument.clone()));
        let ln = |argument| Expression::ln(argument);
        if self == Self::Log {
            let base = base.unwrap_or(Expression::integer(10));
            return Some(Expression::product(vec![ln(argument), ln(base).recip()]));
        }
        base.is_none().then_some(())?;
        match self {
            Self::Function(function) if inverse => match function {
                Function::Sin => Some(of(Function::Arcsin)),
                Function::Cos => Some(of(Function::Arccos)),
                Function::Tan => Some(of(Function::Arctan)),
                _ => None,
            },
            _ if inverse => None,
            Self::Function(function) => Some(of(function)),
            Self::Recip(function) => Some(of(function).recip()),
            Self::CubeRoot => Some(of(Function::OddRoot(3))),
            Self::Ln => Some(ln(argument)),
            Self::Exp => Some(Expression::power(Expression::E, argument)),
            Self::Pi | Self::Root | Self::Log => None,
        }
    }
}

/// Whether the word names a Greek letter other than pi.
pub(super) fn is_greek(word: &str) -> bool {
    const NAMES: [&str; 40] = [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "varrho",
        "sigma",
        "varsigma",
        "tau",
        "upsilon",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Pi",
        "Sigma",
        "Upsilon",
        "Phi",
        "Psi",
        "Omega",
        "omicron",
        "Alpha",
    ];
    NAMES.contains(&word)
}
