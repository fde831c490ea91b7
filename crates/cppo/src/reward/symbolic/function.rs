//! Functions beyond roots and logarithms, evaluated in floating point only.

use super::complex::Complex;

/// Factorials of larger numbers leave `f64`.
const MAX_FACTORIAL: f64 = 170.0;

/// A function of one argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reward) enum Function {
    Sin,
    Cos,
    Tan,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Abs,
    Floor,
    Ceil,
    Factorial,
    /// The real root of this odd degree.
    OddRoot(u32),
}

impl Function {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Tan => "tan",
            Self::Arcsin => "arcsin",
            Self::Arccos => "arccos",
            Self::Arctan => "arctan",
            Self::Sinh => "sinh",
            Self::Cosh => "cosh",
            Self::Tanh => "tanh",
            Self::Abs => "abs",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
            Self::Factorial => "factorial",
            Self::OddRoot(_) => "root",
        }
    }

    /// `None` outside the domain; all but sizes and roots have real arguments only.
    pub(super) fn evaluate(self, value: Complex) -> Option<Complex> {
        if self == Self::Abs {
            return Some(Complex { real: value.size(), imaginary: 0.0 });
        }
        let x = value.real;
        if value.imaginary != 0.0 {
            let Self::OddRoot(degree) = self else { return None };
            let angle = value.imaginary.atan2(x) / f64::from(degree);
            let size = value.size().powf(1.0 / f64::from(degree));
            return Some(Complex { real: size * angle.cos(), imaginary: size * angle.sin() });
        }
        let real = match self {
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => (x.cos().abs() > 1e-12).then(|| x.tan())?,
            Self::Arcsin => x.asin(),
            Self::Arccos => x.acos(),
            Self::Arctan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Tanh => x.tanh(),
            Self::Abs => x.abs(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Factorial => {
                let whole = x.fract() == 0.0 && (0.0..=MAX_FACTORIAL).contains(&x);
                whole.then(|| (2..=x as u32).fold(1.0, |product, n| product * f64::from(n)))?
            }
            Self::OddRoot(degree) => x.abs().powf(1.0 / f64::from(degree)).copysign(x),
        };
        real.is_finite().then_some(Complex { real, imaginary: 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_values_and_domains() {
        let real = |real| Complex { real, imaginary: 0.0 };
        let cases = [
            (Function::Sin, std::f64::consts::FRAC_PI_6, Some(0.5)),
            (Function::Tan, std::f64::consts::FRAC_PI_2, None),
            (Function::Arcsin, 2.0, None),
            (Function::Arctan, 1.0, Some(std::f64::consts::FRAC_PI_4)),
            (Function::Abs, -3.0, Some(3.0)),
            (Function::Floor, -0.5, Some(-1.0)),
            (Function::Ceil, 0.5, Some(1.0)),
            (Function::Factorial, 5.0, Some(120.0)),
            (Function::Factorial, 0.5, None),
            (Function::Factorial, 1e6, None),
            (Function::Factorial, -1.0, None),
            (Function::OddRoot(3), -8.0, Some(-2.0)),
        ];
        for (function, argument, expected) in cases {
            let value = function.evaluate(real(argument));
            match expected {
                Some(expected) => assert!(value.unwrap().distance(real(expected)) < 1e-12),
                None => assert_eq!(value, None, "{function:?} {argument}"),
            }
        }
        let imaginary = Complex { real: 3.0, imaginary: 4.0 };
        assert_eq!(Function::Abs.evaluate(imaginary), Some(real(5.0)));
        assert_eq!(Function::Sin.evaluate(imaginary), None);
    }
}
