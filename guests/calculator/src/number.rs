//! A rational as a decimal text: exact where it ends, rounded where it does not.

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

/// The precision of decimal128 (IEEE 754-2008, table 3.6).
const SIGNIFICANT: u32 = 34;

/// The most digits that are written out; every integer within the evaluator's bound has fewer.
const MAX_DIGITS: usize = 2_500;

/// Rounded results from 10^-7 up to this are written without an exponent.
const MAX_PLAIN_EXPONENT: i64 = 40;

/// `value` in decimal.
pub fn decimal(value: &BigRational) -> String {
    exact(value).unwrap_or_else(|| format!("{} (rounded to {SIGNIFICANT} significant digits)", rounded(value)))
}

/// The whole expansion, where there is an end to it within [`MAX_DIGITS`].
fn exact(value: &BigRational) -> Option<String> {
    let (twos, rest) = strip(value.denom().clone(), 2);
    let (fives, rest) = strip(rest, 5);
    if !rest.is_one() {
        return None;
    }
    let places = twos.max(fives);
    if places > MAX_DIGITS {
        return None;
    }
    let scaled = value.numer() * power_of_ten(places) / value.denom();
    let digits = scaled.abs().to_string();
    (digits.len() <= MAX_DIGITS).then(|| with_sign(scaled.sign(), &point(&digits, places)))
}

/// How often `factor` divides `number`, and what is left.
fn strip(mut number: BigInt, factor: u32) -> (usize, BigInt) {
    let factor = BigInt::from(factor);
    let mut count = 0;
    loop {
        let (quotient, remainder) = number.div_rem(&factor);
        if !remainder.is_zero() {
            return (count, number);
        }
        number = quotient;
        count += 1;
    }
}

/// [`SIGNIFICANT`] digits, halves to even.
fn rounded(value: &BigRational) -> String {
    let magnitude = value.abs();
    let mut exponent = exponent(&magnitude);
    let shift = i64::from(SIGNIFICANT) - 1 - exponent;
    let scaled = if shift >= 0 {
        magnitude * power_of_ten(shift.unsigned_abs() as usize)
    } else {
        magnitude / power_of_ten(shift.unsigned_abs() as usize)
    };
    let (mut digits, remainder) = scaled.numer().div_rem(scaled.denom());
    let twice = remainder * 2;
    if &twice > scaled.denom() || (&twice == scaled.denom() && digits.is_odd()) {
        digits += 1;
    }
    let mut digits = digits.to_string();
    if digits.len() > SIGNIFICANT as usize {
        digits.pop();
        exponent += 1;
    }
    let text = if (0..MAX_PLAIN_EXPONENT).contains(&exponent) {
        let whole = exponent as usize + 1;
        if digits.len() > whole {
            format!("{}.{}", &digits[..whole], &digits[whole..])
        } else {
            digits.clone() + &"0".repeat(whole - digits.len())
        }
    } else if (-7..0).contains(&exponent) {
        format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize))
    } else {
        format!("{}.{}e{exponent:+}", &digits[..1], &digits[1..])
    };
    with_sign(value.numer().sign(), &text)
}

/// The `e` of `10^e <= magnitude < 10^(e+1)`; `magnitude` is not zero.
fn exponent(magnitude: &BigRational) -> i64 {
    let bits = magnitude.numer().bits() as i64 - magnitude.denom().bits() as i64;
    // log10(2), and one below, so that the loop only goes up.
    let mut exponent = (bits as f64 * core::f64::consts::LOG10_2).floor() as i64 - 1;
    while &ten_to(exponent + 1) <= magnitude {
        exponent += 1;
    }
    exponent
}

fn ten_to(exponent: i64) -> BigRational {
    let power = power_of_ten(exponent.unsigned_abs() as usize);
    if exponent < 0 { BigRational::new(BigInt::one(), power) } else { BigRational::from(power) }
}

/// `10^places`.
pub fn power_of_ten(places: usize) -> BigInt {
    BigInt::from(10).pow(places.to_u32().unwrap_or(u32::MAX))
}

fn point(digits: &str, places: usize) -> String {
    if places == 0 {
        return digits.to_owned();
    }
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{whole}.{fraction}")
}

fn with_sign(sign: Sign, text: &str) -> String {
    if sign == Sign::Minus { format!("-{text}") } else { text.to_owned() }
}
