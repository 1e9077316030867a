//! Amounts of money: whole nano-dollars, so that no sum is ever rounded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decimals of a dollar that a nano-dollar is.
const DECIMALS: usize = 9;
const PER_DOLLAR: u64 = 1_000_000_000;

/// US dollars, in billionths of one. The most is about 18.4 billion dollars.
///
/// Shown as dollars with all decimals that it has, and cents at least: `$1.25`, `$0.000123`.
/// Serialised as the whole number of nano-dollars.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct NanoDollars(u64);

/// Why a text is no amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("expected dollars such as 5, 0.25 or 0.000123")]
    Form,
    /// Less than nothing.
    #[error("an amount of money is not negative")]
    Negative,
    /// Finer than a nano-dollar.
    #[error("an amount of money has at most {DECIMALS} decimals")]
    Fine,
    /// More than fits.
    #[error("an amount of money is at most {} dollars", u64::MAX / PER_DOLLAR)]
    Large,
}

impl NanoDollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that there is.
    pub const MAX: Self = Self(u64::MAX);

    /// So many billionths of a dollar.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The amount in billionths of a dollar.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// As a number of dollars, for a wire that has none but such numbers: the nearest, which is exact to the
    /// nano-dollar below nine million.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "that is what it says")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The sum, unless it is too large.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The sum, or the most that there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing where it would be negative.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount as a decimal number of dollars, without a sign: `1.25`, `0.000123`; cents at least.
    #[must_use]
    pub fn to_decimal(self) -> String {
        let fraction = format!("{:0DECIMALS$}", self.0 % PER_DOLLAR);
        let digits = fraction.trim_end_matches('0').len().max(2);
        format!("{}.{}", self.0 / PER_DOLLAR, &fraction[..digits])
    }
}

impl fmt::Display for NanoDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("${}", self.to_decimal()))
    }
}

/// Reads a decimal number of dollars, exactly: `5`, `0.25`, `$1.5`, `1e-6`. No float stands in between.
impl FromStr for NanoDollars {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let text = text.strip_prefix('$').unwrap_or(text);
        let text = match text.strip_prefix('-') {
            Some(_) => return Err(MoneyError::Negative),
            None => text.strip_prefix('+').unwrap_or(text),
        };
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, read_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return Err(MoneyError::Form);
        }
        // The digits as one whole number, and how many of its places are decimals of a nano-dollar.
        let fraction = fraction.trim_end_matches('0');
        let digits = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        let shift =
            i64::try_from(DECIMALS).unwrap_or(i64::MAX) + exponent - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let trailing = significant.len() - significant.trim_end_matches('0').len();
        let (kept, zeros) = match usize::try_from(shift) {
            Ok(zeros) => (significant, zeros),
            // Decimals that are all zero are none.
            Err(_) => match usize::try_from(-shift) {
                Ok(cut) if cut <= trailing => (&significant[..significant.len() - cut], 0),
                _ => return Err(MoneyError::Fine),
            },
        };
        let number: u64 = kept.parse().map_err(|_| MoneyError::Large)?;
        let factor = u32::try_from(zeros).ok().and_then(|zeros| 10_u64.checked_pow(zeros)).ok_or(MoneyError::Large)?;
        number.checked_mul(factor).map(Self).ok_or(MoneyError::Large)
    }
}

/// An exponent, as far as it can matter.
fn read_exponent(text: &str) -> Result<i64, MoneyError> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MoneyError::Form);
    }
    Ok(sign * digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<u64, MoneyError> {
        text.parse::<NanoDollars>().map(NanoDollars::as_nanos)
    }

    #[test]
    fn dollars_are_read_exactly_in_every_notation() {
        assert_eq!(read("5"), Ok(5_000_000_000));
        assert_eq!(read("$1.25"), Ok(1_250_000_000));
        assert_eq!(read("+0.000000001"), Ok(1));
        assert_eq!(read("0.1"), Ok(100_000_000));
        assert_eq!(read("1e-6"), Ok(1_000));
        assert_eq!(read("2.5E+2"), Ok(250_000_000_000));
        assert_eq!(read("10e-10"), Ok(1));
        assert_eq!(read("0.0000000010000"), Ok(1));
        assert_eq!(read("00012.50"), Ok(12_500_000_000));
        assert_eq!(read("0e999999999999999999999"), Ok(0));
        assert_eq!(read("18446744073.709551615"), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_amount_is_refused_and_never_rounded() {
        for text in
            ["", "$", ".", "1.", ".5", "1,5", "a", "1e", "1e-", "0x5", "nan", "inf", "1_000", " 1", "1 ", "1.2.3", "٣"]
        {
            assert_eq!(read(text), Err(MoneyError::Form), "{text:?}");
        }
        assert_eq!(read("-1"), Err(MoneyError::Negative));
        assert_eq!(read("0.0000000001"), Err(MoneyError::Fine));
        assert_eq!(read("1e-10"), Err(MoneyError::Fine));
        assert_eq!(read("1e-99999999999999999999"), Err(MoneyError::Fine));
        assert_eq!(read("18446744073.709551616"), Err(MoneyError::Large));
        assert_eq!(read("1e99999999999999999999"), Err(MoneyError::Large));
    }

    #[test]
    fn amounts_show_all_their_digits_and_cents_at_least() {
        let shown = |nanos| NanoDollars::from_nanos(nanos).to_string();
        assert_eq!(shown(0), "$0.00");
        assert_eq!(shown(123_000), "$0.000123");
        assert_eq!(shown(1), "$0.000000001");
        assert_eq!(shown(1_500_000_000), "$1.50");
        assert_eq!(shown(u64::MAX), "$18446744073.709551615");
        assert_eq!(format!("{:>7}", NanoDollars::from_nanos(10_000_000)), "  $0.01");
        assert_eq!(serde_json::to_string(&NanoDollars::from_nanos(7)).expect("json"), "7");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_itself(nanos: u64) {
            let money = NanoDollars::from_nanos(nanos);
            prop_assert_eq!(money.to_string().parse(), Ok(money));
        }

        #[test]
        fn no_text_panics(text in "[-+$0-9.eE]{0,24}|.*") {
            let _ = text.parse::<NanoDollars>();
        }
    }
}
