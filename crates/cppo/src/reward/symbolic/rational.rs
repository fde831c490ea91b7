//! Exact fractions.

/// A reduced fraction; every operation gives `None` where a part leaves `i128`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reward) struct Rational {
    numerator: i128,
    /// Above 0.
    denominator: i128,
}

impl Rational {
    pub const ZERO: Self = Self::integer(0);
    pub const ONE: Self = Self::integer(1);

    pub const fn integer(value: i64) -> Self {
        Self { numerator: value as i128, denominator: 1 }
    }

    /// `None` for a denominator of 0.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor = i128::try_from(gcd(numerator.unsigned_abs(), denominator.unsigned_abs()));
        let divisor = divisor.ok().filter(|_| denominator != 0)? * denominator.signum();
        Some(Self {
            numerator: numerator.checked_div(divisor)?,
            denominator: denominator.checked_div(divisor)?,
        })
    }

    pub fn numerator(self) -> i128 {
        self.numerator
    }

    pub fn denominator(self) -> i128 {
        self.denominator
    }

    /// The value, if it is an integer.
    pub fn to_integer(self) -> Option<i64> {
        (self.denominator == 1).then_some(())?;
        self.numerator.try_into().ok()
    }

    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }

    pub fn add(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Self::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    pub fn mul(self, other: Self) -> Option<Self> {
        Self::new(
            self.numerator.checked_mul(other.numerator)?,
            self.denominator.checked_mul(other.denominator)?,
        )
    }

    /// `None` for 0.
    pub fn recip(self) -> Option<Self> {
        Self::new(self.denominator, self.numerator)
    }

    pub fn pow(self, exponent: i64) -> Option<Self> {
        let power = u32::try_from(exponent.unsigned_abs()).ok()?;
        let base = if exponent < 0 { self.recip()? } else { self };
        Some(Self {
            numerator: base.numerator.checked_pow(power)?,
            denominator: base.denominator.checked_pow(power)?,
        })
    }
}

fn gcd(mut left: u128, mut right: u128) -> u128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_reduced_and_checked() {
        let half = Rational::new(-3, -6).unwrap();
        assert_eq!((half.numerator(), half.denominator()), (1, 2));
        assert_eq!(half.add(half), Some(Rational::ONE));
        assert_eq!(half.mul(Rational::integer(-4)).unwrap().to_integer(), Some(-2));
        assert_eq!(half.pow(-3), Some(Rational::integer(8)));
        assert_eq!(Rational::ZERO.pow(0), Some(Rational::ONE));
        assert_eq!(Rational::new(0, -5), Some(Rational::ZERO));
        assert_eq!(Rational::ZERO.recip(), None);
        assert_eq!(Rational::new(1, 0), None);
        assert_eq!(Rational::new(i128::MIN, i128::MIN), None);
        assert_eq!(Rational::integer(2).pow(127), None);
        let huge = Rational::new(i128::MAX, 1).unwrap();
        assert_eq!(huge.add(Rational::ONE), None);
        assert_eq!(huge.mul(Rational::integer(2)), None);
    }
}
