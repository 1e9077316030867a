//! Arithmetic expressions, evaluated as they are read.
//!
//! ```text
//! sum     = product (("+" | "-") product)*
//! product = signed (("*" | "/" | "%") signed)*
//! signed  = ("+" | "-") signed | power
//! power   = primary ("^" signed)?
//! primary = number | "(" sum ")"
//! ```
//!
//! So `-2^2` is -4, and `2^3^2` is 2^9.

use std::fmt;

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use crate::number::power_of_ten;

/// The longest expression, in characters.
pub const MAX_LENGTH: usize = 1_000;

/// The deepest nesting of parentheses, signs and exponents. A level takes a few hundred bytes of
/// a stack of 128 KiB.
const MAX_DEPTH: usize = 64;

/// The largest numerator or denominator. Bounds the time that any expression can take: the
/// greatest common divisor after each operation is quadratic in it.
const MAX_BITS: u64 = 8_192;

/// The largest exponent of a literal such as `1e100`.
const MAX_LITERAL_EXPONENT: u32 = 2_000;

/// Why an expression has no value.
#[derive(Debug, PartialEq, Eq)]
pub enum ExpressionError {
    TooLong,
    TooDeep,
    TooLarge,
    DivisionByZero,
    Exponent,
    /// What was expected, and what is there instead, at which character (from 1).
    Unexpected {
        expected: &'static str,
        found: Option<char>,
        position: usize,
    },
    Literal {
        position: usize,
    },
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "an expression has at most {MAX_LENGTH} characters; split it"),
            Self::TooDeep => write!(f, "an expression nests at most {MAX_DEPTH} deep; split it"),
            Self::TooLarge => write!(f, "a number on the way is larger or finer than {MAX_BITS} bits (2,466 digits)"),
            Self::DivisionByZero => write!(f, "division by zero"),
            Self::Exponent => write!(f, "`^` takes whole exponents only"),
            Self::Unexpected { expected, found: Some(found), position } => {
                write!(f, "{expected} was expected at character {position}, where `{found}` stands")
            }
            Self::Unexpected { expected, found: None, .. } => {
                write!(f, "{expected} was expected where the expression ends")
            }
            Self::Literal { position } => {
                write!(f, "the number at character {position} has an exponent beyond {MAX_LITERAL_EXPONENT}")
            }
        }
    }
}

/// The value of an expression.
pub fn evaluate(text: &str) -> Result<BigRational, ExpressionError> {
    if text.chars().take(MAX_LENGTH + 1).count() > MAX_LENGTH {
        return Err(ExpressionError::TooLong);
    }
    let mut reader = Reader { characters: text.chars().collect(), position: 0, depth: 0 };
    let value = reader.sum()?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("an operator")),
    }
}

struct Reader {
    characters: Vec<char>,
    position: usize,
    depth: usize,
}

impl Reader {
    fn sum(&mut self) -> Result<BigRational, ExpressionError> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value = bounded(value + self.product()?)?;
            } else if self.take('-') {
                value = bounded(value - self.product()?)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<BigRational, ExpressionError> {
        let mut value = self.signed()?;
        loop {
            if self.take('*') {
                value = bounded(value * self.signed()?)?;
            } else if self.take('/') {
                value = bounded(value / divisor(self.signed()?)?)?;
            } else if self.take('%') {
                let divisor = divisor(self.signed()?)?;
                // Whole parts of a quotient may be longer than either side.
                let quotient = bounded(&value / &divisor)?.floor();
                value = bounded(value - quotient * divisor)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn signed(&mut self) -> Result<BigRational, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpressionError::TooDeep);
        }
        let value = if self.take('-') {
            -self.signed()?
        } else if self.take('+') {
            self.signed()?
        } else {
            self.power()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn power(&mut self) -> Result<BigRational, ExpressionError> {
        let base = self.primary()?;
        if self.take('^') { power(&base, &self.signed()?) } else { Ok(base) }
    }

    fn primary(&mut self) -> Result<BigRational, ExpressionError> {
        match self.peek() {
            Some('(') => {
                self.position += 1;
                let value = self.sum()?;
                if self.take(')') { Ok(value) } else { Err(self.unexpected("`)` or an operator")) }
            }
            Some('0'..='9' | '.') => self.literal(),
            _ => Err(self.unexpected("a number or `(`")),
        }
    }

    /// `12`, `1.5`, `.5`, `1.2e-3`.
    fn literal(&mut self) -> Result<BigRational, ExpressionError> {
        let start = self.position;
        let mut digits = self.digits();
        let mut places = 0;
        if self.characters.get(self.position) == Some(&'.') {
            self.position += 1;
            let fraction = self.digits();
            places = fraction.len();
            digits += &fraction;
        }
        if digits.is_empty() {
            return Err(self.unexpected("a digit"));
        }
        let mut exponent = 0_i64;
        if let Some('e' | 'E') = self.characters.get(self.position) {
            self.position += 1;
            let negative = self.characters.get(self.position) == Some(&'-');
            if let Some('+' | '-') = self.characters.get(self.position) {
                self.position += 1;
            }
            let digits = self.digits();
            if digits.is_empty() {
                return Err(self.unexpected("the exponent's digits"));
            }
            let magnitude = digits.parse::<u32>().ok().filter(|exponent| *exponent <= MAX_LITERAL_EXPONENT);
            let magnitude = i64::from(magnitude.ok_or(ExpressionError::Literal { position: start + 1 })?);
            exponent = if negative { -magnitude } else { magnitude };
        }
        let whole: BigInt = digits.parse().unwrap_or_default();
        let shift = exponent - places as i64;
        let scale = power_of_ten(shift.unsigned_abs() as usize);
        bounded(if shift < 0 { BigRational::new(whole, scale) } else { BigRational::from(whole * scale) })
    }

    fn digits(&mut self) -> String {
        let rest = self.characters.iter().skip(self.position);
        let digits: String = rest.take_while(|c| c.is_ascii_digit()).collect();
        self.position += digits.len();
        digits
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        while self.characters.get(self.position).is_some_and(|c| c.is_whitespace()) {
            self.position += 1;
        }
        self.characters.get(self.position).copied().map(ascii)
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.position += 1;
        }
        there
    }

    fn unexpected(&mut self, expected: &'static str) -> ExpressionError {
        self.peek();
        let found = self.characters.get(self.position).copied();
        ExpressionError::Unexpected { expected, found, position: self.position + 1 }
    }
}

/// Operators as people type them.
fn ascii(character: char) -> char {
    match character {
        '×' | '·' => '*',
        '÷' => '/',
        '−' | '–' => '-',
        other => other,
    }
}

fn divisor(value: BigRational) -> Result<BigRational, ExpressionError> {
    if value.is_zero() { Err(ExpressionError::DivisionByZero) } else { Ok(value) }
}

fn bits(value: &BigRational) -> u64 {
    value.numer().bits().max(value.denom().bits())
}

fn bounded(value: BigRational) -> Result<BigRational, ExpressionError> {
    if bits(&value) > MAX_BITS { Err(ExpressionError::TooLarge) } else { Ok(value) }
}

fn power(base: &BigRational, exponent: &BigRational) -> Result<BigRational, ExpressionError> {
    if !exponent.is_integer() {
        return Err(ExpressionError::Exponent);
    }
    if base.is_zero() && exponent.is_negative() {
        return Err(ExpressionError::DivisionByZero);
    }
    // 0, 1 and -1 take any exponent; nothing else one that is not small.
    if bits(base) <= 1 {
        let odd = exponent.numer().is_odd();
        return Ok(match (exponent.is_zero(), base.is_zero()) {
            (true, _) => BigRational::from(BigInt::from(1)),
            (false, true) => base.clone(),
            (false, false) => {
                if odd {
                    base.clone()
                } else {
                    base.abs()
                }
            }
        });
    }
    let times = exponent.numer().abs().to_u32().ok_or(ExpressionError::TooLarge)?;
    // A number of n bits is at least 2^(n-1), so its power has at least this many.
    if (bits(base) - 1).saturating_mul(u64::from(times)) > MAX_BITS {
        return Err(ExpressionError::TooLarge);
    }
    let raised = BigRational::new_raw(base.numer().pow(times), base.denom().pow(times));
    bounded(if exponent.is_negative() { raised.recip() } else { raised })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::decimal;

    fn value(text: &str) -> String {
        evaluate(text).map_or_else(|error| error.to_string(), |value| decimal(&value))
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(value("0.1 + 0.2"), "0.3");
        assert_eq!(value("(19.99 * 3) / 4"), "14.9925");
        assert_eq!(value("1/8 - 1"), "-0.875");
        assert_eq!(value("2^200"), "1606938044258990275541962092341162602522202993782792835301376");
        assert_eq!(value("1.5e3 × 2 − .5"), "2999.5");
        assert_eq!(value("5e-1"), "0.5");
        assert_eq!(value("0 / 7"), "0");
    }

    #[test]
    fn operators_bind_as_in_mathematics() {
        assert_eq!(value("-2^2"), "-4");
        assert_eq!(value("2^3^2"), "512");
        assert_eq!(value("2^-2"), "0.25");
        assert_eq!(value("10 - 4 - 3"), "3");
        assert_eq!(value("7 % 4 * 2"), "6");
        assert_eq!(value("-7 % 4"), "1");
        assert_eq!(value("5.5 % 2"), "1.5");
        assert_eq!(value("0^0"), "1");
        assert_eq!(value("(-1)^999999999999"), "-1");
    }

    #[test]
    fn what_does_not_end_is_rounded_and_says_so() {
        assert_eq!(value("2/3"), "0.6666666666666666666666666666666667 (rounded to 34 significant digits)");
        assert_eq!(value("-1e50/3"), "-3.333333333333333333333333333333333e+49 (rounded to 34 significant digits)");
        assert_eq!(value("1/3e9"), "3.333333333333333333333333333333333e-10 (rounded to 34 significant digits)");
        assert_eq!(value("100/3"), "33.33333333333333333333333333333333 (rounded to 34 significant digits)");
        assert_eq!(value("1-1/3e40"), "1.000000000000000000000000000000000 (rounded to 34 significant digits)");
    }

    #[test]
    fn what_is_no_expression_says_where() {
        assert_eq!(value("2 +"), "a number or `(` was expected where the expression ends");
        assert_eq!(value("2 $ 3"), "an operator was expected at character 3, where `$` stands");
        assert_eq!(value("(1"), "`)` or an operator was expected where the expression ends");
        assert_eq!(value("1,000"), "an operator was expected at character 2, where `,` stands");
        assert_eq!(value("20%"), "a number or `(` was expected where the expression ends");
        assert_eq!(value("."), "a digit was expected where the expression ends");
        assert_eq!(value("1/0"), "division by zero");
        assert_eq!(value("1 % (1-1)"), "division by zero");
        assert_eq!(value("0^-1"), "division by zero");
        assert_eq!(value("2^0.5"), "`^` takes whole exponents only");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert_eq!(evaluate("9^9^9"), Err(ExpressionError::TooLarge));
        assert_eq!(evaluate("2^8191 * 2^8191"), Err(ExpressionError::TooLarge));
        assert_eq!(evaluate("1e99999999999"), Err(ExpressionError::Literal { position: 1 }));
        assert_eq!(evaluate(&("(".repeat(65) + "1")), Err(ExpressionError::TooDeep));
        assert_eq!(evaluate(&"-".repeat(65)), Err(ExpressionError::TooDeep));
        assert_eq!(evaluate(&"1".repeat(1_001)), Err(ExpressionError::TooLong));
        assert!(evaluate(&("(".repeat(63) + "1" + &")".repeat(63))).is_ok());
        assert!(evaluate(&"9".repeat(1_000)).is_ok());
    }
}
