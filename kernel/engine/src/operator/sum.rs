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
    fn infinities_stay() {
        assert_eq!(sum(&[1.0, f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
