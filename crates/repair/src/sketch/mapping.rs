//! Which coded symbols an element is part of: all of both sides' agreement is here.
//!
//! An element is part of symbol `i` with probability `1 / (1 + i / 2)`. Instead of tossing a coin
//! for each, the distance to the next symbol is drawn at once by inverting its distribution (the
//! paper, section 4.2): from symbol `i`, with `u` uniform in (0, 1], it is
//! `⌈(i + 1.5) · (1 / √u − 1)⌉`. An element of `m` symbols costs about `2 ln m` draws.

/// Walks through the indices of one element's symbols, ascending, beginning with 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    random: u64,
    index: u64,
}

impl Mapping {
    /// Of this element. Its id is a keyed hash: as random as is needed.
    #[inline]
    pub(super) fn new(id: u64) -> Self {
        Self {
            random: id,
            index: 0,
        }
    }

    /// The index that it stands at.
    #[inline]
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// On to the next index, which is greater; `u64::MAX` is none.
    #[inline]
    pub(super) fn advance(&mut self) {
        const TWO_POW_32: f64 = 4_294_967_296.0;
        let draw = (self.draw() as f64) + 1.0;
        // 1 / √(draw / 2⁶⁴) − 1.
        let factor = TWO_POW_32 / draw.sqrt() - 1.0;
        let distance = ((self.index as f64 + 1.5) * factor).ceil();
        // Converting saturates. At least one, where rounding would make it none.
        self.index = self.index.saturating_add((distance as u64).max(1));
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    #[inline]
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::Mapping;

    #[test]
    fn every_element_is_part_of_the_first_symbol_and_indices_grow() {
        for id in [0, 1, u64::MAX, 0x1234_5678] {
            let mut mapping = Mapping::new(id);
            assert_eq!(mapping.index(), 0);
            for _ in 0..200 {
                let before = mapping.index();
                mapping.advance();
                assert!(mapping.index() > before || before == u64::MAX);
            }
        }
    }

    #[test]
    fn symbol_i_has_an_element_with_probability_one_in_one_plus_half_i() {
        const ELEMENTS: u64 = 50_000;
        let mut counts = [0u64; 65];
        for element in 0..ELEMENTS {
            let mut mapping = Mapping::new(element.wrapping_mul(0x9e37_79b9_97f4_a7c1));
            while mapping.index() < counts.len() as u64 {
                counts[mapping.index() as usize] += 1;
                mapping.advance();
            }
        }
        for (index, &count) in counts.iter().enumerate() {
            let expected = ELEMENTS as f64 / (1.0 + index as f64 / 2.0);
            let off = (count as f64 - expected).abs() / expected;
            assert!(off < 0.1, "symbol {index}: {count}, expected {expected:.0}");
        }
    }

    /// Golden: both sides must walk alike, whatever machine they run on.
    #[test]
    fn the_walk_is_pinned() {
        let mut mapping = Mapping::new(42);
        let walk: Vec<u64> = std::iter::repeat_with(|| {
            mapping.advance();
            mapping.index()
        })
        .take(8)
        .collect();
        assert_eq!(walk, PINNED);
    }

    const PINNED: [u64; 8] = [1, 5, 11, 20, 109, 118, 255, 286];
}
