//! A sum of floats without any rounding: what was added can be taken away again, and nothing is left of it. It is a number with a
//! fixed point that has room for every float and for the square of every float; of its digits those between the first and the last
//! that count are kept, so that sums of like values take a few words. After R. M. Neal, "Fast exact summation using small and
//! large superaccumulators" (2015).

use smallvec::SmallVec;

/// A sum that is exact.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// The place of the first digit: that at place `p` stands for as many times `2^(32 p)`.
    first: i16,
    /// Additions since the digits were carried.
    pending: u32,
    /// Digits of 32 bits, the least first. Carried, all but the last are between 0 and 2^32, and the last has the sign of all.
    digits: SmallVec<[i64; 4]>,
}

/// Bits of a digit.
const BITS: i32 = 32;
/// The values of a digit.
const BASE: i64 = 1 << BITS;
/// Room for so many times as many digits is given up.
const MUCH: usize = 8;
/// So many additions fit on top of a carried digit.
const MOST_PENDING: u32 = 1 << 30;

impl ExactSum {
    /// Adds a finite value.
    pub(crate) fn add(&mut self, value: f64) {
        let (magnitude, exponent) = decomposed(value);
        self.add_scaled(magnitude, exponent, value.is_sign_negative());
    }

    /// Adds the square of a finite value, or takes it away.
    pub(crate) fn add_square(&mut self, value: f64, away: bool) {
        let (magnitude, exponent) = decomposed(value);
        let square = u128::from(magnitude) * u128::from(magnitude);
        self.add_scaled(square as u64, 2 * exponent, away);
        self.add_scaled((square >> 64) as u64, 2 * exponent + 64, away);
    }

    /// Carries, and gives up the room of digits that do not count any more.
    pub(crate) fn settle(&mut self) {
        self.carry();
        if self.digits.capacity() > MUCH * self.digits.len() {
            self.digits.shrink_to_fit();
        }
    }

    /// As the nearest float.
    pub(crate) fn value(&self) -> f64 {
        let (mantissa, exponent) = self.rounded();
        scaled(mantissa, exponent)
    }

    /// The sum of the squared distances from their mean of `count` values, whose sum this is, divided by `by`: nothing cancels,
    /// for the difference is taken without rounding.
    pub(crate) fn spread(&self, squares: &ExactSum, count: u64, by: f64) -> f64 {
        let mut apart = ExactSum::default();
        let (away, place, digits) = squares.magnitude();
        for (digit, place) in digits.iter().zip(place..) {
            for (half, shift) in [(count & 0xFFFF_FFFF, 0), (count >> 32, BITS)] {
                apart.add_scaled(u64::from(*digit) * half, BITS * place + shift, away);
            }
        }
        let (_, place, digits) = self.magnitude();
        for (a, at) in digits.iter().zip(place..) {
            for (b, other) in digits.iter().zip(place..) {
                apart.add_scaled(u64::from(*a) * u64::from(*b), BITS * (at + other), true);
            }
        }
        let (mantissa, exponent) = apart.rounded();
        scaled(mantissa / (count as f64 * by), exponent)
    }

    /// Memory beside the sum itself.
    pub(crate) fn heap(&self) -> usize {
        if self.digits.spilled() { self.digits.capacity() * size_of::<i64>() } else { 0 }
    }

    /// The place of the first digit, and the digits as they are when they are carried; to be kept.
    pub(crate) fn parts(&self) -> (i16, Vec<i64>) {
        let carried = self.carried();
        (carried.first, carried.digits.to_vec())
    }

    /// A sum again of what [`ExactSum::parts`] gave.
    pub(crate) fn from_parts(first: i16, digits: &[i64]) -> ExactSum {
        ExactSum { first, pending: 0, digits: SmallVec::from_slice(digits) }
    }

    /// Adds `magnitude * 2^exponent`, or takes it away.
    fn add_scaled(&mut self, magnitude: u64, exponent: i32, away: bool) {
        if magnitude == 0 {
            return;
        }
        let (place, shift) = (exponent.div_euclid(BITS), exponent.rem_euclid(BITS));
        let mut rest = u128::from(magnitude) << shift;
        let mut at = self.reach(place as i16);
        while rest > 0 {
            let digit = rest as u32;
            if at == self.digits.len() {
                self.digits.push(0);
            }
            self.digits[at] += if away { -i64::from(digit) } else { i64::from(digit) };
            rest >>= BITS;
            at += 1;
        }
        self.pending += 1;
        if self.pending == MOST_PENDING {
            self.carry();
        }
    }

    /// Makes room for digits from a place on; gives where that is among them.
    fn reach(&mut self, place: i16) -> usize {
        if self.digits.is_empty() {
            self.first = place;
        }
        if place < self.first {
            self.digits.insert_many(0, std::iter::repeat_n(0, usize::from(self.first.abs_diff(place))));
            self.first = place;
        }
        let at = usize::from(place.abs_diff(self.first));
        if at > self.digits.len() {
            self.digits.resize(at, 0);
        }
        at
    }

    fn carry(&mut self) {
        self.pending = 0;
        let (mut at, mut carry) = (0, 0);
        while at < self.digits.len() || carry != 0 {
            if at == self.digits.len() {
                self.digits.push(0);
            }
            let digit = self.digits[at] + carry;
            let is_last = at + 1 == self.digits.len();
            // The last one has the sign, as long as there is room for it.
            carry = if is_last && -BASE < digit && digit < BASE { 0 } else { digit >> BITS };
            self.digits[at] = digit - (carry << BITS);
            at += 1;
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.first += zeros as i16;
    }

    fn carried(&self) -> ExactSum {
        let mut carried = self.clone();
        carried.carry();
        carried
    }

    /// Whether it is below zero; the place of the first digit, and the digits without a sign.
    fn magnitude(&self) -> (bool, i32, Vec<u32>) {
        let mut carried = self.carried();
        let is_negative = carried.digits.last().is_some_and(|last| *last < 0);
        if is_negative {
            carried.digits.iter_mut().for_each(|digit| *digit = -*digit);
            carried.carry();
        }
        (is_negative, i32::from(carried.first), carried.digits.iter().map(|digit| *digit as u32).collect())
    }

    /// A float, and the power of two that it is to be multiplied by: rounded once.
    fn rounded(&self) -> (f64, i32) {
        let (is_negative, place, digits) = self.magnitude();
        if digits.is_empty() {
            return (0.0, 0);
        }
        let from = digits.len().saturating_sub(4);
        let mut whole = digits[from..].iter().rev().fold(0, |whole: u128, digit| whole << BITS | u128::from(*digit));
        // What lies below decides only what would else be in the middle.
        if digits[..from].iter().any(|digit| *digit != 0) {
            whole |= 1;
        }
        let mantissa = whole as f64;
        (if is_negative { -mantissa } else { mantissa }, BITS * (place + from as i32))
    }
}

/// A finite float's magnitude as a whole number, and the power of two that it is multiplied by.
fn decomposed(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7FF) as i32, bits & ((1 << 52) - 1));
    let (magnitude, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    if magnitude == 0 {
        return (0, 0);
    }
    // Round values take fewer digits.
    let zeros = magnitude.trailing_zeros();
    (magnitude >> zeros, exponent + zeros as i32)
}

/// A float times a power of two; in two steps, for the power itself may be beyond what a float can be.
fn scaled(mantissa: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    mantissa * 2f64.powi(half) * 2f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    /// Any float but an infinity or NaN.
    fn float(random: &mut Random) -> f64 {
        loop {
            let value = f64::from_bits(random.next());
            if value.is_finite() {
                return value;
            }
        }
    }

    #[test]
    fn a_single_value_comes_back_bit_for_bit() {
        let mut random = Random(7);
        let extremes = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -5e-324, 0.1, -0.1, 1.0, 4_294_967_296.0, 1e300];
        for value in extremes.into_iter().chain((0..10_000).map(|_| float(&mut random))) {
            assert_eq!(sum(&[value]).value().to_bits(), value.to_bits(), "{value:e}");
        }
        assert_eq!(sum(&[]).value(), 0.0);
        assert_eq!(sum(&[-0.0]).value(), 0.0);
    }

    #[test]
    fn what_was_added_and_taken_away_leaves_nothing() {
        let mut random = Random(11);
        for _ in 0..300 {
            let values: Vec<f64> = (0..random.next() % 40).map(|_| float(&mut random)).collect();
            let stays = [1e-300, 0.1, -3.5, 7e15];
            let mut sum = sum(&values);
            stays.iter().for_each(|value| sum.add(*value));
            let (first, digits) = sum.parts();
            let mut sum = ExactSum::from_parts(first, &digits);
            values.iter().rev().for_each(|value| sum.add(-value));
            sum.settle();
            assert_eq!(sum.value(), 6_999_999_999_999_997.0);
            stays.iter().for_each(|value| sum.add(-value));
            sum.settle();
            assert_eq!((sum.value(), sum.digits.len()), (0.0, 0));
        }
    }

    #[test]
    fn whole_numbers_are_summed_as_whole_numbers() {
        let mut random = Random(13);
        for _ in 0..1_000 {
            let values: Vec<i64> = (0..1 + random.next() % 20).map(|_| random.next().cast_signed() >> 11).collect();
            let whole: i128 = values.iter().map(|value| i128::from(*value)).sum();
            let floats: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            assert_eq!(sum(&floats).value(), whole as f64, "{values:?}");
        }
    }

    #[test]
    fn a_sum_is_rounded_once() {
        assert_eq!(sum(&[1e16, 1.0, 1.0]).value(), 1e16 + 2.0);
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]).value(), 2.0);
        // The tiny one decides.
        assert_eq!(sum(&[1.0, f64::EPSILON / 2.0]).value(), 1.0);
        assert_eq!(sum(&[1.0, f64::EPSILON / 2.0, 5e-324]).value(), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[-1.0, -f64::EPSILON / 2.0, -5e-324]).value(), -1.0 - f64::EPSILON);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[-f64::MAX, -f64::MAX]).value(), f64::NEG_INFINITY);
    }

    #[test]
    fn distances_from_a_far_mean_do_not_cancel() {
        let spread = |values: &[f64], by: f64| {
            let (sum, mut squares) = (sum(values), ExactSum::default());
            values.iter().for_each(|value| squares.add_square(*value, false));
            sum.spread(&squares, values.len() as u64, by)
        };
        assert_eq!(spread(&[1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0], 2.0), 1.0);
        assert_eq!(spread(&[-1e15 - 1.0, -1e15 - 2.0, -1e15 - 3.0], 2.0), 1.0);
        assert_eq!(spread(&[0.1; 7], 6.0), 0.0);
        assert_eq!(spread(&[5e-324, -5e-324], 1.0), 0.0);
        assert_eq!(spread(&[1e-150, -1e-150], 1.0), 2.0 * (1e-150 * 1e-150));
        assert_eq!(spread(&[1e200, -1e200], 1.0), f64::INFINITY);
        let mut random = Random(17);
        for _ in 0..1_000 {
            let values: Vec<i64> = (0..2 + random.next() % 9).map(|_| random.next().cast_signed() >> 30).collect();
            let (n, floats) = (values.len() as i128, values.iter().map(|value| *value as f64).collect::<Vec<_>>());
            let (whole, squares) = values.iter().fold((0i128, 0i128), |(whole, squares), value| {
                (whole + i128::from(*value), squares + i128::from(*value) * i128::from(*value))
            });
            let expected = (n * squares - whole * whole) as f64 / (n as f64 * (n - 1) as f64);
            assert_eq!(spread(&floats, (n - 1) as f64), expected, "{values:?}");
        }
    }

    #[test]
    fn a_square_is_taken_away_as_it_was_added() {
        let mut random = Random(19);
        let mut squares = ExactSum::default();
        let values: Vec<f64> = (0..100).map(|_| float(&mut random)).collect();
        values.iter().for_each(|value| squares.add_square(*value, false));
        values.iter().for_each(|value| squares.add_square(*value, true));
        squares.settle();
        assert_eq!(squares.digits.len(), 0);
    }
}
