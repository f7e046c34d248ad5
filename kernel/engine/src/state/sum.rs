//! A sum of floats that does not depend on how its input was cut: Neumaier's variant of Kahan's compensated summation
//! (A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, 1974).

/// A running sum and what rounding has taken from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CompensatedSum {
    sum: f64,
    lost: f64,
}

impl CompensatedSum {
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: CompensatedSum) {
        self.add(other.sum);
        if other.sum.is_finite() {
            self.add(other.lost);
        }
    }

    /// What it consists of, to be kept.
    pub(crate) fn parts(self) -> [f64; 2] {
        [self.sum, self.lost]
    }

    pub(crate) fn from_parts([sum, lost]: [f64; 2]) -> CompensatedSum {
        CompensatedSum { sum, lost }
    }

    pub(crate) fn value(self) -> f64 {
        // Past an infinity or NaN there is nothing to compensate, and the difference of two infinities would be NaN.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

/// A sum of integers of 128 bits, in 192.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WideSum {
    low: u128,
    high: i64,
}

impl WideSum {
    pub(crate) fn add(&mut self, value: i128) {
        let (low, carry) = self.low.overflowing_add(value.cast_unsigned());
        self.low = low;
        self.high = self.high.wrapping_add((value >> 127) as i64).wrapping_add(i64::from(carry));
    }

    pub(crate) fn subtract(&mut self, value: i128) {
        let (low, borrow) = self.low.overflowing_sub(value.cast_unsigned());
        self.low = low;
        self.high = self.high.wrapping_sub((value >> 127) as i64).wrapping_sub(i64::from(borrow));
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: WideSum) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(i64::from(carry));
    }

    /// What it consists of, to be kept.
    pub(crate) fn parts(self) -> (i128, i64) {
        (self.low.cast_signed(), self.high)
    }

    pub(crate) fn from_parts((low, high): (i128, i64)) -> WideSum {
        WideSum { low: low.cast_unsigned(), high }
    }

    /// As it is, where it has room in 128 bits.
    pub(crate) fn as_whole(self) -> Option<i128> {
        let low = self.low.cast_signed();
        (i128::from(self.high) == low >> 127).then_some(low)
    }

    /// As the nearest float.
    pub(crate) fn as_float(self) -> f64 {
        self.as_whole().map_or_else(|| self.high as f64 * 2f64.powi(128) + self.low as f64, |whole| whole as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = CompensatedSum::default();
        values.iter().for_each(|v| sum.add(*v));
        sum.value()
    }

    #[test]
    fn small_values_survive_large_ones() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
    }

    #[test]
    fn integers_do_not_wrap() {
        let wide = |values: &[i128]| {
            let mut sum = WideSum::default();
            values.iter().for_each(|value| sum.add(*value));
            assert_eq!(WideSum::from_parts(sum.parts()), sum);
            sum.as_float()
        };
        let large = 9 * 10i128.pow(37);
        assert_eq!(wide(&[large, large]), 1.8e38);
        assert_eq!(wide(&[-large, -large, -large]), -2.7e38);
        assert_eq!(wide(&[large, large, large, -large, -large, -large, 5, -7]), -2.0);
        assert_eq!(wide(&[i128::MIN, i128::MIN]), 2.0 * i128::MIN as f64);
        assert_eq!(wide(&[]), 0.0);
        let [mut one, mut other] = [WideSum::default(), WideSum::default()];
        [large, large, -5].iter().for_each(|value| one.add(*value));
        [-large, -large, -large].iter().for_each(|value| other.add(*value));
        one.merge(other);
        assert_eq!(one.as_float(), -(large + 5) as f64);
    }

    #[test]
    fn a_sum_of_integers_that_was_too_long_comes_back() {
        let mut sum = WideSum::default();
        let values = [i128::MAX, i128::MAX, 7, i128::MIN, -1, i128::MIN, i128::MIN, 12, i128::MAX];
        values.iter().for_each(|value| sum.add(*value));
        let mut other = sum;
        [i128::MAX, i128::MAX, i128::MAX].iter().for_each(|value| other.subtract(*value));
        assert_eq!(other.as_whole(), None);
        for value in values.iter().rev().filter(|value| **value != 12) {
            sum.subtract(*value);
        }
        assert_eq!((sum.as_whole(), sum.as_float()), (Some(12), 12.0));
        sum.subtract(i128::MIN);
        assert_eq!(sum.as_whole(), None);
        sum.add(i128::MIN);
        sum.subtract(12);
        assert_eq!(sum, WideSum::default());
    }

    #[test]
    fn sums_of_parts_are_the_sum_of_all() {
        let of = |values: &[f64]| {
            let mut sum = CompensatedSum::default();
            values.iter().for_each(|v| sum.add(*v));
            sum
        };
        let mut sum = of(&[1.0, 1e100]);
        sum.merge(of(&[1.0, -1e100]));
        assert_eq!(sum.value(), 2.0);
        sum.merge(of(&[f64::INFINITY, 1.0]));
        assert_eq!(sum.value(), f64::INFINITY);
    }

    #[test]
    fn infinities_stay() {
        assert_eq!(sum(&[1.0, f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
