//! Numeric identity testing in complex floating point, for what has no exact form.

use super::evaluate::Domain;
use super::function::Function;
use super::rational::Rational;

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::reward) struct Complex {
    pub real: f64,
    pub imaginary: f64,
}

/// The complex numbers, with principal values.
pub(super) struct Numeric {
    /// Tells the values of symbols at one point from those at another.
    pub point: u64,
    /// Symbols have real values, of either sign.
    pub real: bool,
}

const RELATIVE_TOLERANCE: f64 = 1e-11;

impl Complex {
    pub fn size(self) -> f64 {
        self.real.hypot(self.imaginary)
    }

    /// Whether both are finite and equal up to rounding.
    pub fn is_near(self, other: Self) -> bool {
        self.is_within(RELATIVE_TOLERANCE, other)
    }

    /// Whether both are finite and differ by `tolerance` times the smaller one's size at most.
    pub fn is_within(self, tolerance: f64, other: Self) -> bool {
        self.distance(other) <= tolerance * self.size().min(other.size())
    }

    pub fn distance(self, other: Self) -> f64 {
        (self.real - other.real).hypot(self.imaginary - other.imaginary)
    }

    pub fn exp(self) -> Self {
        let (sine, cosine) = self.imaginary.sin_cos();
        let size = self.real.exp();
        Self { real: size * cosine, imaginary: size * sine }
    }

    fn ln(self) -> Self {
        Self { real: self.size().ln(), imaginary: self.imaginary.atan2(self.real) }
    }
}

impl Domain for Numeric {
    type Value = Complex;

    fn number(&self, value: Rational) -> Option<Complex> {
        Some(Complex { real: value.to_f64(), imaginary: 0.0 })
    }

    /// Sizes between 0.5 and 1.5 in any direction, or to both sides of 0.
    fn symbol(&self, seed: u64) -> Complex {
        let mixed = mix(seed ^ self.point);
        let fraction = |bits: u64| bits as u32 as f64 / f64::from(u32::MAX);
        let (sine, cosine) = (fraction(mixed) * std::f64::consts::TAU).sin_cos();
        let size = 0.5 + fraction(mixed >> 32);
        if self.real {
            return Complex { real: size.copysign(cosine), imaginary: 0.0 };
        }
        Complex { real: size * cosine, imaginary: size * sine }
    }

    fn pi(&self) -> Complex {
        Complex { real: std::f64::consts::PI, imaginary: 0.0 }
    }

    fn e(&self) -> Complex {
        Complex { real: std::f64::consts::E, imaginary: 0.0 }
    }

    fn add(&self, left: Complex, right: Complex) -> Complex {
        Complex { real: left.real + right.real, imaginary: left.imaginary + right.imaginary }
    }

    fn mul(&self, left: Complex, right: Complex) -> Complex {
        Complex {
            real: left.real * right.real - left.imaginary * right.imaginary,
            imaginary: left.real * right.imaginary + left.imaginary * right.real,
        }
    }

    fn recip(&self, value: Complex) -> Option<Complex> {
        let norm = value.real * value.real + value.imaginary * value.imaginary;
        // Subtracting from 0 keeps -0 away, which lies on the other side of the branch cut.
        let imaginary = 0.0 - value.imaginary / norm;
        norm.is_normal().then_some(Complex { real: value.real / norm, imaginary })
    }

    fn radical(&self, primes: &[u64], negative: bool) -> Complex {
        let root = primes.iter().map(|&prime| (prime as f64).sqrt()).product();
        match negative {
            true => Complex { real: 0.0, imaginary: root },
            false => Complex { real: root, imaginary: 0.0 },
        }
    }

    fn sqrt(&self, value: Complex) -> Option<Complex> {
        let size = value.size();
        let imaginary = ((size - value.real) / 2.0).max(0.0).sqrt();
        Some(Complex {
            real: ((size + value.real) / 2.0).max(0.0).sqrt(),
            imaginary: imaginary.copysign(value.imaginary),
        })
    }

    fn ln(&self, value: Complex) -> Option<Complex> {
        (value.size() > 0.0).then(|| value.ln())
    }

    fn power(&self, base: Complex, exponent: Complex) -> Option<Complex> {
        (base.size() > 0.0).then(|| self.mul(exponent, base.ln()).exp())
    }

    fn function(&self, function: Function, value: Complex) -> Option<Complex> {
        function.evaluate(value)
    }
}

/// Spreads the bits of a seed (the finalizer of splitmix64).
pub(super) fn mix(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: Numeric = Numeric { point: 1, real: false };

    #[test]
    fn roots_powers_and_logarithms_agree() {
        let half = FIELD.number(Rational::new(1, 2).unwrap()).unwrap();
        for seed in 0..20 {
            let value = FIELD.symbol(mix(seed));
            let root = FIELD.sqrt(value).unwrap();
            assert!(FIELD.mul(root, root).is_near(value));
            assert!(FIELD.power(value, half).unwrap().is_near(root));
            assert!(FIELD.ln(value).unwrap().exp().is_near(value));
            assert!(!FIELD.recip(value).unwrap().is_near(value));
        }
    }

    #[test]
    fn what_is_not_finite_equals_nothing() {
        let bad = Complex { real: f64::NAN, imaginary: 0.0 };
        let huge = Complex { real: f64::INFINITY, imaginary: 0.0 };
        assert!(!bad.is_near(bad));
        assert!(!huge.is_near(huge));
        assert_eq!(FIELD.recip(Complex { real: 0.0, imaginary: 0.0 }), None);
    }
}
