//! Reproducible chance.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): its
//! output is fixed by definition, while a library's default generator may change with a version and
//! so break "same seed, same bytes". Every use has its own stream, so a new system never changes the others' data.

/// One stream of chance.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of one thing: `stream` names the use, `index` the row, person or file.
    pub fn new(seed: u64, stream: &str, index: u64) -> Self {
        let mut state = seed ^ 0x6a09_e667_f3bc_c908;
        for byte in stream.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Self { state: mix(state ^ mix(index)) }
    }

    /// 64 even bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number of `0..bound`; 0 when `bound` is 0. The bias of the multiply-shift is below 2^-32 for our bounds.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
        low + i64::try_from(self.below(width)).unwrap_or(0)
    }

    /// True in `per_10k` of ten thousand cases.
    pub fn chance(&mut self, per_10k: u64) -> bool {
        self.below(10_000) < per_10k
    }

    /// An index of `0..len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// One of the items; `items` is never empty, the lists are constants of this module.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.index(items.len())]
    }

    /// One of the pairs; `pairs` is never empty.
    pub fn pick_pair(&mut self, pairs: &[(&'static str, &'static str)]) -> (&'static str, &'static str) {
        pairs[self.index(pairs.len())]
    }

    /// One character of a text that is not empty.
    pub fn character(&mut self, text: &str) -> char {
        let wanted = self.index(text.chars().count());
        text.chars().nth(wanted).unwrap_or('一')
    }

    /// A place drawn by weight.
    pub fn weighted_index(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            if left < *weight {
                return place;
            }
            left -= weight;
        }
        0
    }

    /// The item at a place drawn by weight.
    pub fn weighted<'a, T: ?Sized>(&mut self, items: &[(&'a T, u64)]) -> &'a T {
        let total = items.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(total);
        for (item, weight) in items {
            if left < *weight {
                return item;
            }
            left -= weight;
        }
        items[0].0
    }
}

/// 2^64 divided by the golden ratio, the step of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, stream, index| Random::new(seed, stream, index).bits();
        assert_eq!(draw(7, "funeral", 3), draw(7, "funeral", 3));
        assert_ne!(draw(7, "funeral", 3), draw(8, "funeral", 3));
        assert_ne!(draw(7, "funeral", 3), draw(7, "funeral", 4));
        assert_ne!(draw(7, "funeral", 3), draw(7, "family", 3));
    }

    #[test]
    fn chance_keeps_its_rate() {
        let mut random = Random::new(1, "rate", 0);
        let hits = (0..100_000).filter(|_| random.chance(300)).count();
        assert!((2_700..3_300).contains(&hits), "{hits} of 100,000 at 3 %");
    }

    #[test]
    fn bounds_hold() {
        let mut random = Random::new(1, "bounds", 0);
        for _ in 0..1_000 {
            assert!(random.below(3) < 3);
            assert!((-2..=2).contains(&random.between(-2, 2)));
        }
        assert_eq!(random.below(0), 0);
    }
}
