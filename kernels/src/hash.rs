//! A hash whose value is part of the bundle's contract: buckets of a model must not move.

/// 64-bit FNV-1a of the UTF-8 bytes, then the finaliser of SplitMix64, whose low bits are well mixed.
pub fn hash64(text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::hash64;

    #[test]
    fn values_never_move() {
        // Computed apart, by the definition, in Python.
        assert_eq!(hash64(""), EMPTY);
        assert_eq!(hash64("NL"), NL);
        assert_eq!(hash64("ä𝄞"), UNICODE);
    }

    const EMPTY: u64 = 0xf52a15e9a9b5e89b;
    const NL: u64 = 0x42a93768950f0eaf;
    const UNICODE: u64 = 0xf7f197313398840d;
}
