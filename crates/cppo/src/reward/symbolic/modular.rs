//! Exact identity testing: arithmetic modulo a prime, with a square root of every integer.

use super::complex::mix;
use super::evaluate::Domain;
use super::function::Function;
use super::rational::Rational;

/// Primes of the form 4n + 3, so that -1 has no root and serves to build the others.
pub(super) const PRIMES: [u64; 2] = [(1 << 61) - 1, 4_611_686_018_427_387_847];

/// `real + imaginary · i` modulo a prime, where i² = -1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Residue {
    real: u64,
    imaginary: u64,
}

/// The field of residues modulo `prime`, extended by i.
pub(super) struct Modular {
    pub prime: u64,
    /// Tells the values of symbols at one point from those at another.
    pub point: u64,
}

impl Modular {
    fn add_parts(&self, left: u64, right: u64) -> u64 {
        (left + right) % self.prime
    }

    fn mul_parts(&self, left: u64, right: u64) -> u64 {
        (u128::from(left) * u128::from(right) % u128::from(self.prime)) as u64
    }

    fn negated(&self, part: u64) -> u64 {
        (self.prime - part) % self.prime
    }

    fn pow_part(&self, mut base: u64, mut exponent: u64) -> u64 {
        let mut power = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = self.mul_parts(power, base);
            }
            base = self.mul_parts(base, base);
            exponent >>= 1;
        }
        power
    }

    fn recip_part(&self, part: u64) -> Option<u64> {
        (part != 0).then(|| self.pow_part(part, self.prime - 2))
    }

    fn real(&self, real: u64) -> Residue {
        Residue { real, imaginary: 0 }
    }
}

impl Domain for Modular {
    type Value = Residue;

    fn number(&self, value: Rational) -> Option<Residue> {
        let prime = i128::from(self.prime);
        let part = |value: i128| value.rem_euclid(prime) as u64;
        if value.denominator() == 1 {
            return Some(self.real(part(value.numerator())));
        }
        let denominator = self.recip_part(part(value.denominator()))?;
        Some(self.real(self.mul_parts(part(value.numerator()), denominator)))
    }

    fn symbol(&self, seed: u64) -> Residue {
        let mixed = if self.point == 0 { seed } else { mix(seed ^ self.point) };
        self.real(mixed % self.prime)
    }

    fn pi(&self) -> Residue {
        self.real(mix(u64::MAX) % self.prime)
    }

    fn e(&self) -> Residue {
        self.real(mix(u64::MAX - 1) % self.prime)
    }

    fn add(&self, left: Residue, right: Residue) -> Residue {
        Residue {
            real: self.add_parts(left.real, right.real),
            imaginary: self.add_parts(left.imaginary, right.imaginary),
        }
    }

    fn mul(&self, left: Residue, right: Residue) -> Residue {
        let crossed = self.mul_parts(left.imaginary, right.imaginary);
        Residue {
            real: self.add_parts(self.mul_parts(left.real, right.real), self.negated(crossed)),
            imaginary: self.add_parts(
                self.mul_parts(left.real, right.imaginary),
                self.mul_parts(left.imaginary, right.real),
            ),
        }
    }

    fn recip(&self, value: Residue) -> Option<Residue> {
        let Residue { real, imaginary } = value;
        let norm = self.add_parts(self.mul_parts(real, real), self.mul_parts(imaginary, imaginary));
        let scale = self.recip_part(norm)?;
        Some(Residue {
            real: self.mul_parts(real, scale),
            imaginary: self.mul_parts(self.negated(imaginary), scale),
        })
    }

    fn radical(&self, primes: &[u64], negative: bool) -> Residue {
        let unit = Residue { real: 0, imaginary: 1 };
        let start = if negative { unit } else { self.real(1) };
        // Roots of primes are chosen one by one, so that they multiply as the real roots do.
        primes.iter().fold(start, |product, &prime| {
            let value = prime % self.prime;
            let root = self.pow_part(value, (self.prime + 1) / 4);
            let root = match self.mul_parts(root, root) == value {
                true => self.real(root),
                false => Residue { real: 0, imaginary: root },
            };
            self.mul(product, root)
        })
    }

    fn sqrt(&self, _: Residue) -> Option<Residue> {
        None
    }

    fn ln(&self, _: Residue) -> Option<Residue> {
        None
    }

    fn power(&self, _: Residue, _: Residue) -> Option<Residue> {
        None
    }

    fn function(&self, _: Function, _: Residue) -> Option<Residue> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radicals_are_roots_that_multiply() {
        for prime in PRIMES {
            assert_eq!(prime % 4, 3);
            let field = Modular { prime, point: 0 };
            let minus_one = field.number(Rational::integer(-1)).unwrap();
            for [left, right] in [[2, 3], [3, 5], [7, 11], [13, 1_000_003]] {
                let product =
                    field.mul(field.radical(&[left], false), field.radical(&[right], false));
                assert_eq!(product, field.radical(&[left, right], false));
                let square = field.mul(product, product);
                assert_eq!(square, field.real(left * right));
                let imaginary = field.radical(&[left, right], true);
                assert_eq!(field.mul(imaginary, imaginary), field.mul(square, minus_one));
            }
        }
    }

    #[test]
    fn values_have_reciprocals() {
        for prime in PRIMES {
            let field = Modular { prime, point: 0 };
            let value = field.add(field.radical(&[3], true), field.symbol(u64::MAX));
            assert_eq!(field.mul(value, field.recip(value).unwrap()), field.real(1));
            assert_eq!(field.recip(field.real(0)), None);
            let third = field.number(Rational::new(-1, 3).unwrap()).unwrap();
            assert_eq!(field.mul(third, field.real(3)), field.real(prime - 1));
        }
    }
}
