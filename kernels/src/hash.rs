//! A hash whose value is part of the bundle's contract: buckets of a model must not move.

/// 64-bit FNV-1a of the UTF-8 bytes, then the finaliser of SplitMix64, whose low bits are well mixed.
pub fn hash64(text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mixed(h)
}

/// Another hash function of the same text, from its [`hash64`]: function 0 is that hash itself, `i` the `i`-th number that
/// SplitMix64 gives from it as its seed. So buckets of several functions are independent as long as the 64 bits differ.
pub fn rehash(hash: u64, function: u64) -> u64 {
    match function {
        0 => hash,
        i => mixed(hash.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(h: u64) -> u64 {
    let h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::{hash64, rehash};

    #[test]
    fn values_never_move() {
        // Computed apart, by the definition, in Python.
        assert_eq!(hash64(""), EMPTY);
        assert_eq!(hash64("NL"), NL);
        assert_eq!(hash64("ä𝄞"), UNICODE);
        assert_eq!([0, 1, 7].map(|i| rehash(NL, i)), [NL, 0x0ece3dddbd3d7abd, 0x712416d3da1e9d11]);
    }

    const EMPTY: u64 = 0xf52a15e9a9b5e89b;
    const NL: u64 = 0x42a93768950f0eaf;
    const UNICODE: u64 = 0xf7f197313398840d;
}
