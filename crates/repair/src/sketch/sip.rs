//! SipHash-2-4 (Aumasson and Bernstein, 2012), for inputs of whole 64-bit words: a keyed hash that
//! is short enough for one call per record, and whose collisions cannot be found without its key.

/// Hashes words, each as its eight little-endian bytes.
pub(super) fn sip24(key: (u64, u64), words: &[u64]) -> u64 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    // The last word of the padded message is the length's low byte, on top.
    let length = (words.len() as u64 * 8) << 56;
    for &word in words.iter().chain(std::iter::once(&length)) {
        v[3] ^= word;
        round(&mut v);
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::sip24;

    /// The reference implementation's vectors for inputs 00, 01, 02, … of 0, 8 and 16 bytes, under
    /// the key 00 … 0f.
    #[test]
    fn it_is_siphash() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let words = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(sip24(key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(sip24(key, &words[..1]), 0x93f5_f579_9a93_2462);
        assert_eq!(sip24(key, &words), 0x3f2a_cc7f_57c2_9bdb);
    }
}
